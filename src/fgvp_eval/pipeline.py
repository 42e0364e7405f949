"""The order of an evaluation: data, candidates, masks, renderer, CLIP, metrics."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fgvp_eval.annotated_masks import annotated_masks
from fgvp_eval.box_masks import box_masks
from fgvp_eval.boxes import xyxy_from_xywh
from fgvp_eval.candidates import Candidates, read_candidates
from fgvp_eval.clip_models import ClipModel, check_clip_name, load_clips, split_ensemble
from fgvp_eval.config import EvalConfig, SplitSettings
from fgvp_eval.errors import DataError, UsageError
from fgvp_eval.images import decode_image
from fgvp_eval.metrics import judge
from fgvp_eval.records import (
    Box,
    Dataset,
    ImageRecord,
    Prediction,
    RunReport,
    SplitResult,
    Unscored,
)
from fgvp_eval.refcoco import read_refcoco
from fgvp_eval.sam_models import SamModel, find_checkpoint, load_sam
from fgvp_eval.scorer import Scorer
from fgvp_eval.splits import Split
from fgvp_eval.stage_times import Progress, StageTimes
from fgvp_kernels import Mode, RenderOptions
from fgvp_kernels.modes import Region

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Plan:
    """A split whose data is read and found good."""

    dataset: Dataset
    settings: SplitSettings
    candidates: Candidates

    @property
    def masks(self) -> str:
        """Where masks come from; ``unused`` spares SAM where no mode looks at a mask."""
        regions = {Mode(mode).spec.region for mode in self.settings.modes}
        return self.settings.masks if Region.MASK in regions else "unused"


def evaluate(config: EvalConfig, before_scoring: Callable[[], None] | None = None) -> RunReport:
    """Evaluate every split of ``config``.

    All data is read and checked before any model is loaded, and all models before anything is
    scored, so that a mistake shows within seconds and not after hours.

    Args:
        config: The options.
        before_scoring: Called once everything needed is there.

    Raises:
        UsageError: An option does not fit this machine or the models.
        DataError: Data or weights are missing or broken. A single broken image is no reason: its
            sentences are reported in the result as unscored.
    """
    device = choose_device(config.device)
    torch.manual_seed(config.seed)
    times = StageTimes(device)
    for split in config.splits:
        for name in split_ensemble(config.settings(split).clip):
            check_clip_name(name)
    with times.measure("load"):
        plans = [_plan(config, split) for split in config.splits]
        clips, sams = _load_models(plans, config, device)
    if before_scoring is not None:
        before_scoring()
    options = RenderOptions(seed=config.seed)
    results = []
    for plan in plans:
        scorer = Scorer(
            clips[plan.settings.clip],
            plan.settings.modes,
            device=device,
            options=options,
            batch_size=config.batch_size,
            times=times,
        )
        results.append(_evaluate_split(plan, sams.get(plan.settings.sam), scorer, times))
    all_clips = {clip.name: clip for ensemble in clips.values() for clip in ensemble}
    return RunReport(
        config=config,
        splits=tuple(results),
        models=[sam.identity() for sam in sams.values()]
        + [clip.identity() for clip in all_clips.values()],
        blur={"kind": options.blur, "sigma": options.sigma, "frame": "short side = CLIP size"},
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        precision=str(next(iter(all_clips.values())).dtype).removeprefix("torch."),
        seconds=times.seconds,
    )


def choose_device(name: str) -> torch.device:
    """Return the device that ``name`` stands for; ``auto`` is a GPU if there is one.

    Raises:
        UsageError: There is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"--device {name} cannot be used: {reason}") from None
    return device


def _plan(config: EvalConfig, split: Split) -> _Plan:
    settings = config.settings(split)
    dataset = read_refcoco(_data_root(config, split), split, config.limit)
    return _Plan(dataset, settings, read_candidates(dataset, settings.proposals))


def _load_models(
    plans: list[_Plan], config: EvalConfig, device: torch.device
) -> tuple[dict[str, tuple[ClipModel, ...]], dict[str, SamModel]]:
    """Return the CLIP ensembles and the SAMs that the plans need, by their options."""
    sam_names = dict.fromkeys(plan.settings.sam for plan in plans if plan.masks == "sam")
    data_root = config.folder_of_data()
    for name in sam_names:
        find_checkpoint(name, data_root)  # before a CLIP is downloaded for nothing
    clip_names = dict.fromkeys(plan.settings.clip for plan in plans)
    clips = {name: load_clips(name, device, config.precision) for name in clip_names}
    return clips, {name: load_sam(name, device, data_root) for name in sam_names}


def _warn_of_counts(dataset: Dataset) -> None:
    split, found, published = dataset.split, dataset.counts, dataset.split.published
    if published is not None and found != published:
        _LOG.warning(
            "WARNING: %s has %d refs, %d images, %d sentences, but the published split has %d, "
            "%d, %d: results do not compare with published ones",
            *(split.name, found.refs, found.images, found.sentences),
            *(published.refs, published.images, published.sentences),
        )


def _data_root(config: EvalConfig, split: Split) -> Path:
    if not split.is_demo:
        return config.folder_of_data()
    if config.data_root is not None and (config.data_root / split.dataset).is_dir():
        return config.data_root
    from fgvp_eval.demo.dataset import demo_data_root

    return demo_data_root()


def _evaluate_split(
    plan: _Plan, sam: SamModel | None, scorer: Scorer, times: StageTimes
) -> SplitResult:
    _warn_of_counts(plan.dataset)
    rows: dict[str, list[Prediction]] = {"+".join(group): [] for group in plan.settings.mode_groups}
    unscored: list[Unscored] = []
    total = sum(len(image.samples) for image in plan.dataset.images)
    with Progress(plan.dataset.split.name, total) as progress:
        for image in plan.dataset.images:
            try:
                _evaluate_image(image, plan, sam, scorer, times, rows)
            except DataError as error:
                reason = " ".join(str(error).split())
                _LOG.warning("not scored: %d sentences: %s", len(image.samples), reason)
                unscored += [
                    Unscored(sample.sample_id, image.name, reason) for sample in image.samples
                ]
            progress.add(len(image.samples))
    hashes = plan.dataset.files_sha256 | plan.candidates.files_sha256
    return SplitResult(plan.dataset, plan.settings, plan.masks, rows, unscored, hashes)


def _evaluate_image(
    image: ImageRecord,
    plan: _Plan,
    sam: SamModel | None,
    scorer: Scorer,
    times: StageTimes,
    rows: dict[str, list[Prediction]],
) -> None:
    """Score all sentences of one image; adds to ``rows`` only if all of them can be scored."""
    with times.measure("decode"):
        pixels = decode_image(image)  # [H, W, 3]
    size = (pixels.shape[0], pixels.shape[1])
    candidates_xyxy = plan.candidates.boxes_xyxy(image, size)
    with times.measure("sam" if plan.masks == "sam" else "masks"):
        masks = _masks(image, plan, sam, pixels, candidates_xyxy)  # [N, H, W]
    texts = [sample.text for sample in image.samples]
    logits = scorer.score(pixels, masks, candidates_xyxy, texts)  # [K, T, N]
    if not np.isfinite(logits).all():
        raise DataError(f"{image.path}: CLIP gave scores that are not finite; try --precision fp32")
    gold_xyxy = {
        annotation.ann_id: xyxy_from_xywh(annotation.box_xywh) for annotation in image.annotations
    }
    for group in plan.settings.mode_groups:
        label = "+".join(group)
        members = [plan.settings.modes.index(mode) for mode in group]
        for sample, scores in zip(image.samples, logits[members].sum(axis=0), strict=True):
            values = tuple(float(score) for score in scores)
            golds_xyxy = [gold_xyxy[ann_id] for ann_id in sample.gold_ann_ids]
            choice = judge(values, candidates_xyxy, golds_xyxy)
            rows[label].append(
                Prediction(
                    sample_id=sample.sample_id,
                    image=image.name,
                    text=sample.text,
                    mode=label,
                    candidates_xyxy=candidates_xyxy,
                    scores=values,
                    **vars(choice),
                )
            )


def _masks(
    image: ImageRecord,
    plan: _Plan,
    sam: SamModel | None,
    pixels: NDArray[np.uint8],
    candidates_xyxy: tuple[Box, ...],
) -> torch.Tensor:
    """Return one mask per candidate, ``[N, H, W]`` bool."""
    size = (pixels.shape[0], pixels.shape[1])
    if plan.masks == "unused":
        return torch.zeros(len(candidates_xyxy), *size, dtype=torch.bool)
    if plan.masks == "gt":
        return annotated_masks(image.annotations, size)
    if sam is None:
        raise RuntimeError("masks come from SAM, but none was loaded")
    return box_masks(sam.sam, pixels, candidates_xyxy)
