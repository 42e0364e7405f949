"""The order of an evaluation: data, candidates, masks, renderer, CLIP, metrics."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence

import torch

from fgvp_eval.clip_models import ClipModel, check_clip_name, load_clips, split_ensemble
from fgvp_eval.config import EvalConfig
from fgvp_eval.count_check import warn_of_counts
from fgvp_eval.devices import choose_device, use_one_thread
from fgvp_eval.drawing import blur_facts
from fgvp_eval.entity_trees import load_parser, parser_identity
from fgvp_eval.errors import DataError, ProcessError
from fgvp_eval.images import decode_image
from fgvp_eval.journal import ImageOutcome, Outcomes
from fgvp_eval.mask_sources import MaskSource
from fgvp_eval.processes import ALONE, Processes
from fgvp_eval.records import (
    ImageRecord,
    Prediction,
    RunReport,
    SplitResult,
    Unscored,
)
from fgvp_eval.report.miss_pictures import MissPictures
from fgvp_eval.report.seen_pictures import misses_path
from fgvp_eval.run_folder import RunFolder
from fgvp_eval.run_identity import run_identity
from fgvp_eval.sam_models import SamModel, find_checkpoint, load_sam
from fgvp_eval.scorer import Scorer
from fgvp_eval.sentence_scores import SentenceScorer
from fgvp_eval.split_plan import SplitPlan, read_plan
from fgvp_eval.stage_times import Progress, StageTimes
from fgvp_kernels import RenderOptions

_LOG = logging.getLogger(__name__)


def evaluate(
    config: EvalConfig, folder: RunFolder, processes: Processes = ALONE
) -> RunReport | None:
    """Evaluate every split of ``config``.

    All data is read and checked before any model is loaded, and all models before anything is
    scored, so that a mistake shows within seconds and not after hours. Every finished image goes
    to the journal in the run folder at once; what a journal there already holds is not done again.

    Args:
        config: The options.
        folder: Made once everything needed is there.
        processes: This process among those that share the images.

    Returns:
        The results in the first process, None in the others.

    Raises:
        UsageError: An option does not fit this machine or the models, or the run folder holds
            another run.
        DataError: Data or weights are missing or broken. A single broken image is no reason: its
            sentences are reported in the result as unscored.
        ProcessError: Another process failed.
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
        clips, sams = _load_models(plans, config, device)
    models = [sam.identity() for sam in sams.values()]
    models += [clip.identity() for clip in _distinct(clips.values())]
    if any("R" in plan.settings.post for plan in plans):
        models.append(parser_identity())
    precision = str(_distinct(clips.values())[0].dtype).removeprefix("torch.")
    identity = run_identity(
        config,
        {plan.name: plan.settings for plan in plans},
        {plan.name: plan.files_sha256 for plan in plans},
        models,
        grids={plan.name: plan.grid for plan in plans if plan.masks == "sam-grid"},
        device=device.type,
        precision=precision,
    )
    options = RenderOptions(seed=config.seed)
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
                for outcome in _outcomes(plan, source, sentences, misses, times, done, processes):
                    journal.add(outcome)
        except Exception as error:
            failure = error
        processes.check(failure, "scoring")
    if not processes.is_first:
        return None
    finished = folder.read_journals(identity)
    return RunReport(
        config=config,
        splits=tuple(_result(plan, finished) for plan in plans),
        models=models,
        blur=blur_facts(plans[0].styles(config.seed)),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        precision=precision,
        seconds=_seconds(times, finished),
    )


def _load_models(
    plans: list[SplitPlan], config: EvalConfig, device: torch.device
) -> tuple[dict[str, tuple[ClipModel, ...]], dict[str, SamModel]]:
    """Return the CLIP ensembles and the SAMs that the plans need, by their options."""
    sam_names = dict.fromkeys(plan.settings.sam for plan in plans if plan.needs_sam)
    data_root = config.folder_of_data()
    for name in sam_names:
        find_checkpoint(name, data_root)  # before a CLIP is downloaded for nothing
    clip_names = dict.fromkeys(plan.settings.clip for plan in plans)
    clips = {name: load_clips(name, device, config.precision) for name in clip_names}
    return clips, {name: load_sam(name, device, data_root) for name in sam_names}


def _outcomes(
    plan: SplitPlan,
    source: MaskSource,
    sentences: SentenceScorer,
    misses: MissPictures,
    times: StageTimes,
    done: Outcomes,
    processes: Processes,
) -> Iterator[ImageOutcome]:
    """Yield this process's images of a split, those that are done left out."""
    if processes.is_first:
        warn_of_counts(plan.name, plan.dataset.counts, plan.dataset.split.published)
    images = plan.dataset.images
    # What could not be scored is tried again: its image may have been mended.
    scored = {
        index: outcome
        for (split, index), outcome in done.items()
        if split == plan.name and not outcome.unscored
    }
    for outcome in scored.values():
        misses.count(outcome.rows)
    if scored and processes.is_first:
        _LOG.info("%s: %d of %d images are done already", plan.name, len(scored), len(images))
    mine = [index for index in range(len(images)) if processes.owns(index)]
    left = [index for index in mine if index not in scored]
    if not left:
        return
    # In one order and all at once: what a text is encoded with decides the last bits of its
    # features, and they must not depend on which images this process has seen.
    with times.measure("texts"):
        sentences.prepare(sample for image in images for sample in image.samples)
    with Progress(plan.name, sum(len(images[index].samples) for index in left)) as progress:
        for index in left:
            yield _outcome(index, plan, source, sentences, misses, times)
            progress.add(len(images[index].samples))


def _outcome(
    index: int,
    plan: SplitPlan,
    source: MaskSource,
    sentences: SentenceScorer,
    misses: MissPictures,
    times: StageTimes,
) -> ImageOutcome:
    """Evaluate one image; one that is broken is an outcome, too."""
    image = plan.dataset.images[index]
    rows: dict[str, list[Prediction]] = {}
    unscored: list[Unscored] = []
    before = dict(times.seconds)
    try:
        rows = _evaluate_image(image, source, sentences, misses, times)
    except DataError as error:
        reason = " ".join(str(error).split())
        _LOG.warning("not scored: %d sentences: %s", len(image.samples), reason)
        unscored = [Unscored(sample.sample_id, image.name, reason) for sample in image.samples]
    return ImageOutcome(plan.name, index, rows, unscored, times.since(before))


def _evaluate_image(
    image: ImageRecord,
    source: MaskSource,
    sentences: SentenceScorer,
    misses: MissPictures,
    times: StageTimes,
) -> dict[str, list[Prediction]]:
    """Score all sentences of one image; returns the predictions of each row, by its label."""
    with times.measure("decode"):
        pixels = decode_image(image)  # [H, W, 3]
    with times.measure(source.stage):
        found = source.find(image, pixels)  # N boxes, masks [N, H, W]
    rows = sentences.predict(image, pixels, found.masks, found.boxes_xyxy)
    misses.keep(image, pixels, found, rows)
    return rows


def _result(plan: SplitPlan, finished: Outcomes) -> SplitResult:
    """Put the images of a split together, in the order of the split.

    Raises:
        ProcessError: An image is in no journal.
    """
    rows: dict[str, list[Prediction]] = {"+".join(group): [] for group in plan.settings.mode_groups}
    unscored: list[Unscored] = []
    for index, image in enumerate(plan.dataset.images):
        outcome = finished.get((plan.name, index))
        if outcome is None:
            raise ProcessError(
                f"{plan.name}: {image.name} is in no journal; the run folder must be one that all "
                "processes share"
            )
        unscored += outcome.unscored
        for label, predictions in outcome.rows.items():
            rows[label] += predictions
    return SplitResult(plan.dataset, plan.settings, plan.masks, rows, unscored, plan.files_sha256)


def _seconds(times: StageTimes, finished: Outcomes) -> dict[str, float]:
    """Return the seconds of each stage, for the images those of all starts and processes."""
    total = {stage: times.seconds.get(stage, 0.0) for stage in ("load", "texts")}
    for outcome in finished.values():
        for stage, spent in outcome.seconds.items():
            total[stage] = total.get(stage, 0.0) + spent
    return total


def _distinct(ensembles: Iterable[Sequence[ClipModel]]) -> list[ClipModel]:
    """Return each model of several ensembles once."""
    return list({clip.name: clip for ensemble in ensembles for clip in ensemble}.values())
