"""The order of a part-detection run: objects, crops, candidates, renderer, CLIP, assignment.

The protocol is this project's own, since none was published with the method: see
``docs/part-detection.md``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import torch

from fgvp_eval.encoding.clip_models import ClipModel, check_clip_name
from fgvp_eval.options.config import EvalConfig
from fgvp_eval.data.count_check import warn_of_counts
from fgvp_eval.options.demo_models import warn_of_demo_models
from fgvp_eval.machine.devices import choose_device, device_name, use_one_thread
from fgvp_eval.encoding.drawing import blur_facts
from fgvp_eval.errors import DataError
from fgvp_eval.encoding.feature_cache import open_feature_cache
from fgvp_eval.runs.finished_run import FinishedRun
from fgvp_eval.data.images import decode_image
from fgvp_eval.runs.images_to_do import images_left, outcomes_in_order, seconds_of_run
from fgvp_eval.runs.journal import ImageOutcome, Outcomes
from fgvp_eval.options.values import split_ensemble
from fgvp_eval.tasks.parts.object_scoring import ObjectScorer
from fgvp_eval.tasks.parts.outcome import PartsReport, PartsSplitResult
from fgvp_eval.tasks.parts.plan import PartsPlan, read_parts_plan
from fgvp_eval.data.parts_records import PartedObject, PartResult, PartsImage
from fgvp_eval.tasks.parts.scored_objects import ScoredObject
from fgvp_eval.tasks.parts.scoring import PartScorer, choose_parts
from fgvp_eval.machine.processes import ALONE, Processes
from fgvp_eval.machine.progress import Progress
from fgvp_eval.data.records import ImageRecord, Unscored
from fgvp_eval.runs.run_folder import RunFolder
from fgvp_eval.runs.run_identity import run_identity
from fgvp_eval.runs.run_models import distinct_clips, load_models
from fgvp_eval.scoring.scorer import Scorer
from fgvp_eval.machine.stage_times import StageTimes
from fgvp_kernels import RenderOptions

_LOG = logging.getLogger(__name__)


def evaluate_parts(
    config: EvalConfig, folder: RunFolder[ScoredObject], processes: Processes = ALONE
) -> PartsReport | FinishedRun | None:
    """Evaluate every split of ``config``, all of which have parts.

    As in :func:`pipeline.evaluate`, every finished image goes to the journal at once, and what a
    journal already holds is not done again.

    Args:
        config: The options.
        folder: Made once everything needed is there.
        processes: This process among those that share the images.

    Returns:
        The results in the first process, None in the others. A run that the folder holds, finished
        and unchanged, is not read again: all processes return what it printed.

    Raises:
        UsageError: An option does not fit part detection, this machine or the models, or the run
            folder holds another run.
        DataError: Data or weights are missing or broken. A single broken image is no reason: its
            parts are reported in the result as unscored.
        ProcessError: Another process failed.
        StorageError: The disk of the run folder is full, read-only or broken.
    """
    device = choose_device(config.device, processes.local_rank)
    if all(config.settings(split).is_small for split in config.splits):
        use_one_thread(device)
    torch.manual_seed(config.seed)
    times = StageTimes(device)
    for split in config.splits:
        for name in split_ensemble(config.settings(split).clip):
            check_clip_name(name)
    with times.measure("load"):
        plans = [read_parts_plan(config, split) for split in config.splits]
        clips, sams = load_models(plans, config, device)
    distinct = distinct_clips(clips)
    models = [sam.identity() for sam in sams.values()] + [clip.identity() for clip in distinct]
    precision = str(distinct[0].dtype).removeprefix("torch.")
    identity = run_identity(
        replace(config, proposals=None),  # which the protocols among the facts stand for
        {plan.name: plan.facts() for plan in plans},
        {plan.name: plan.dataset.files_sha256 for plan in plans},
        models,
        device=device.type,
        precision=precision,
    )
    finished_run = folder.find_finished(config, identity, processes)
    if finished_run is not None:
        if processes.is_first:
            _warn_of_data(plans)
        return finished_run
    with folder.open_journal(identity, config.resume, processes) as (journal, done):
        failure: Exception | None = None
        try:
            for plan in plans:
                part_scorer = _part_scorer(plan, clips[plan.settings.clip], config, device, times)
                grid = plan.candidates(sams.get(plan.settings.sam), times)
                scorer = ObjectScorer(plan.conditions, part_scorer, grid, config.seed, times)
                for outcome in _outcomes(plan, scorer, done, processes):
                    journal.add(outcome)
        except Exception as error:
            failure = error
        processes.check(failure, "scoring")
    if not processes.is_first:
        return None
    finished = folder.read_journals(identity)
    return PartsReport(
        config=config,
        splits=tuple(_result(plan, finished) for plan in plans),
        models=models,
        blur=blur_facts(plans[0].styles(config.seed)),
        device=device_name(device),
        precision=precision,
        seconds=seconds_of_run(times, finished),
    )


def _warn_of_data(plans: Sequence[PartsPlan]) -> None:
    for plan in plans:
        warn_of_counts(plan.name, plan.dataset.counts, plan.dataset.published)
        warn_of_demo_models(plan.name, plan.demo_models)


def _part_scorer(
    plan: PartsPlan,
    clips: tuple[ClipModel, ...],
    config: EvalConfig,
    device: torch.device,
    times: StageTimes,
) -> PartScorer:
    return PartScorer(
        Scorer(
            clips,
            plan.settings.modes,
            device=device,
            options=RenderOptions(seed=config.seed),
            batch_size=config.batch_size,
            times=times,
            styles=plan.styles(config.seed),
            cache=open_feature_cache(device) if plan.settings.feature_cache else None,
        ),
        plan.settings.modes,
        plan.settings.mode_groups,
        sum(clip.logit_scale for clip in clips),
        plan.bank,
    )


def _outcomes(
    plan: PartsPlan,
    scorer: ObjectScorer,
    done: Outcomes[ScoredObject],
    processes: Processes,
) -> Iterator[ImageOutcome[ScoredObject]]:
    """Yield this process's images of a split, those that are done left out."""
    dataset, times = plan.dataset, scorer.times
    if processes.is_first:
        _warn_of_data([plan])
    left = images_left(plan.name, len(dataset.images), done, processes)
    if not left:
        return
    # In one order and all at once: what a text is encoded with decides the last bits of its
    # features, and they must not depend on which images this process has seen.
    scorer.prepare(dataset.phrases)
    parts = sum(dataset.images[index].parts for index in left)
    with Progress(plan.name, parts, "part") as progress:
        for index in left:
            before = dict(times.seconds)
            rows, unscored = _evaluate_image(dataset.images[index], plan, scorer)
            yield ImageOutcome(plan.name, index, rows, unscored, times.since(before))
            progress.add(dataset.images[index].parts)


def _evaluate_image(
    image: PartsImage, plan: PartsPlan, scorer: ObjectScorer
) -> tuple[dict[str, list[ScoredObject]], list[Unscored]]:
    """Return the scored objects of an image under each condition, and the unscored parts."""
    rows: dict[str, list[ScoredObject]] = {condition.label: [] for condition in plan.conditions}
    unscored: list[Unscored] = []
    try:
        with scorer.times.measure("decode"):
            record = ImageRecord(image.image_id, image.path, image.name, image.size, (), ())
            pixels = decode_image(record)  # [H, W, 3]
    except DataError as error:
        return rows, _unscored(image.objects, image, plan.name, error)
    for thing, found in scorer.score(image, pixels):
        if isinstance(found, DataError):
            unscored += _unscored((thing,), image, plan.name, found)
        else:
            for label, scored in zip(rows, found, strict=True):
                rows[label].append(scored)
    return rows, unscored


def _unscored(
    objects: Iterable[PartedObject], image: PartsImage, split: str, error: DataError
) -> list[Unscored]:
    """Return the parts of objects as unscored, and say so."""
    reason = " ".join(str(error).split())
    sample_ids = [sample_id for thing in objects for sample_id in thing.sample_ids(split)]
    _LOG.warning("not scored: %d parts: %s", len(sample_ids), reason)
    return [Unscored(sample_id, image.name, reason) for sample_id in sample_ids]


def _result(plan: PartsPlan, finished: Outcomes[ScoredObject]) -> PartsSplitResult:
    """Choose the parts of all objects of a split, in the order of the split.

    Raises:
        ProcessError: An image is in no journal.
    """
    results: list[PartResult] = []
    unscored: list[Unscored] = []
    images = plan.dataset.images
    outcomes = outcomes_in_order(plan.name, [image.name for image in images], finished)
    for image, outcome in zip(images, outcomes, strict=True):
        things = {thing.object_id: thing for thing in image.objects}
        for condition in plan.conditions:
            for scored in outcome.rows[condition.label]:
                thing = things[scored.object_id]
                results += choose_parts(scored, thing, image, condition, plan.name)
        unscored += outcome.unscored
    return PartsSplitResult(plan, tuple(results), tuple(unscored))
