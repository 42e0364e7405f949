"""The order of an evaluation: data, candidates, masks, renderer, CLIP, metrics."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from fgvp_eval.encoding.clip_models import check_clip_name
from fgvp_eval.options.config import EvalConfig
from fgvp_eval.data.count_check import warn_of_counts
from fgvp_eval.options.demo_models import warn_of_demo_models
from fgvp_eval.machine.devices import choose_device, device_name, use_one_thread
from fgvp_eval.encoding.drawing import blur_facts
from fgvp_eval.scoring.entity_trees import load_parser, parser_identity
from fgvp_eval.encoding.feature_cache import open_feature_cache
from fgvp_eval.runs.finished_run import FinishedRun
from fgvp_eval.runs.group_scoring import GroupScorer
from fgvp_eval.encoding.image_groups import MOST_IMAGES, TYPICAL_GRID_MASKS
from fgvp_eval.runs.images_to_do import outcomes_in_order, seconds_of_run
from fgvp_eval.runs.journal import Outcomes
from fgvp_eval.options.values import split_ensemble
from fgvp_eval.encoding.picture_batches import pictures_at_once
from fgvp_eval.machine.processes import ALONE, Processes
from fgvp_eval.data.records import Prediction, RunReport, SplitResult, Unscored
from fgvp_eval.results.miss_pictures import MissPictures
from fgvp_eval.results.seen_pictures import misses_path
from fgvp_eval.runs.run_folder import RunFolder
from fgvp_eval.runs.run_identity import run_identity
from fgvp_eval.runs.run_models import distinct_clips, load_models
from fgvp_eval.scoring.scorer import Scorer
from fgvp_eval.scoring.sentence_scores import SentenceScorer
from fgvp_eval.tasks.split_plan import SplitPlan, read_plan
from fgvp_eval.machine.stage_times import StageTimes
from fgvp_kernels import RenderOptions

_LOG = logging.getLogger(__name__)


def evaluate(
    config: EvalConfig, folder: RunFolder, processes: Processes = ALONE
) -> RunReport | FinishedRun | None:
    """Evaluate every split of ``config``.

    All data is read and checked before any model is loaded, and all models before anything is
    scored, so that a mistake shows within seconds and not after hours. Every finished image goes
    to the journal in the run folder at once; what a journal there already holds is not done again.

    Args:
        config: The options.
        folder: Made once everything needed is there.
        processes: This process among those that share the images.

    Returns:
        The results in the first process, None in the others. A run that the folder holds, finished
        and unchanged, is not read again: all processes return what it printed.

    Raises:
        UsageError: An option does not fit this machine or the models, or the run folder holds
            another run.
        DataError: Data or weights are missing or broken. A single broken image is no reason: its
            sentences are reported in the result as unscored.
        ProcessError: Another process failed.
        StorageError: The disk of the run folder is full, read-only or broken.
    """
    device = choose_device(config.device, processes.local_rank)
    if all(config.settings(split).is_small for split in config.splits):
        use_one_thread(device)
    torch.manual_seed(config.seed)
    times = StageTimes(device)
    for split in config.splits:
        settings = config.settings(split)
        for name in split_ensemble(settings.clip):
            check_clip_name(name)
        if "R" in settings.post:
            load_parser()
    with times.measure("load"):
        plans = [read_plan(config, split) for split in config.splits]
        clips, sams = load_models(plans, config, device)
    models = [sam.identity() for sam in sams.values()]
    distinct = distinct_clips(clips)
    models += [clip.identity() for clip in distinct]
    if any("R" in plan.settings.post for plan in plans):
        models.append(parser_identity())
    precision = str(distinct[0].dtype).removeprefix("torch.")
    at_once = pictures_at_once(config.batch_size, device)
    identity = run_identity(
        config,
        {plan.name: plan.settings for plan in plans},
        {plan.name: plan.files_sha256 for plan in plans},
        models,
        grids={plan.name: plan.grid for plan in plans if plan.masks == "sam-grid"},
        device=device.type,
        precision=precision,
        packing={
            "candidates": at_once,
            "images": MOST_IMAGES,
            "grid_masks": TYPICAL_GRID_MASKS,
        },
    )
    finished_run = folder.find_finished(config, identity, processes)
    if finished_run is not None:
        if processes.is_first:
            _warn_of_data(plans)
        return finished_run
    options = RenderOptions(seed=config.seed)
    keeps_features = any(plan.settings.feature_cache for plan in plans)
    cache = open_feature_cache(device) if keeps_features else None
    with folder.open_journal(identity, config.resume, processes) as (journal, done):
        failure: Exception | None = None
        try:
            for plan in plans:
                source = plan.mask_source(sams.get(plan.settings.sam))
                scorer = Scorer(
                    clips[plan.settings.clip],
                    plan.settings.modes,
                    device=device,
                    options=options,
                    batch_size=config.batch_size,
                    times=times,
                    styles=plan.styles(config.seed),
                    template=plan.settings.template,
                    cache=cache if plan.settings.feature_cache else None,
                )
                sentences = SentenceScorer(scorer, plan.settings, plan.bank(config.seed), times)
                misses = MissPictures(
                    misses_path(folder.path, processes),
                    clips[plan.settings.clip][0],
                    plan.styles(config.seed),
                    per_row=config.report_misses if config.report else 0,
                    seed=config.seed,
                    color_of=sentences.color_of,
                    device=device,
                    times=times,
                )
                for (name, _), outcome in done.items():
                    if name == plan.name:
                        misses.count(outcome.rows)
                groups = _groups_left(plan, at_once, done, processes)
                scored = GroupScorer(plan, source, sentences, misses, times)
                for outcome in scored.outcomes(groups):
                    journal.add(outcome)
        except Exception as error:
            failure = error
        if cache is not None:
            cache.log()
        processes.check(failure, "scoring")
    if not processes.is_first:
        return None
    finished = folder.read_journals(identity)
    return RunReport(
        config=config,
        splits=tuple(_result(plan, finished) for plan in plans),
        models=models,
        blur=blur_facts(plans[0].styles(config.seed)),
        device=device_name(device),
        precision=precision,
        seconds=seconds_of_run(times, finished),
    )


def _warn_of_data(plans: Sequence[SplitPlan]) -> None:
    for plan in plans:
        warn_of_counts(plan.name, plan.dataset.counts, plan.dataset.split.published)
        warn_of_demo_models(plan.name, plan.demo_models)
        if plan.settings.proposals.kind == "detections":
            _LOG.info("%s: the detector's boxes are read as xywh", plan.name)


def _groups_left(
    plan: SplitPlan, at_once: int, done: Outcomes, processes: Processes
) -> list[range]:
    """Return the groups of images that this process has to do."""
    groups = [(group, _is_finished(group, plan.name, done)) for group in plan.groups(at_once)]
    finished = sum(len(group) for group, is_finished in groups if is_finished)
    if processes.is_first:
        _warn_of_data([plan])
    if finished and processes.is_first:
        total = len(plan.dataset.images)
        _LOG.info("%s: %d of %d images are done already", plan.name, finished, total)
    return [
        group
        for number, (group, is_finished) in enumerate(groups)
        if processes.owns(number) and not is_finished
    ]


def _is_finished(group: Sequence[int], split: str, done: Outcomes) -> bool:
    """Say whether the images of a group were all scored, and encoded together.

    What could not be scored is tried again, since its image may have been mended; and with it its
    group, whose batches lacked it.
    """
    known = [done.get((split, index)) for index in group]
    return all(outcome is not None and outcome.together == len(group) for outcome in known)


def _result(plan: SplitPlan, finished: Outcomes) -> SplitResult:
    """Put the images of a split together, in the order of the split."""
    rows: dict[str, list[Prediction]] = {"+".join(group): [] for group in plan.settings.mode_groups}
    unscored: list[Unscored] = []
    names = [image.name for image in plan.dataset.images]
    for outcome in outcomes_in_order(plan.name, names, finished):
        unscored += outcome.unscored
        for label, predictions in outcome.rows.items():
            rows[label] += predictions
    return SplitResult(
        plan.dataset, plan.settings, plan.masks, rows, unscored, plan.files_sha256, plan.frame
    )
