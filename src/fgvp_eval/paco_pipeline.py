"""The order of a part-detection run: objects, crops, candidates, renderer, CLIP, assignment.

The protocol is this project's own, since none was published with the method: see
``docs/part-detection.md``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from fgvp_eval.boxes import xyxy_from_xywh
from fgvp_eval.clip_models import ClipModel, check_clip_name, load_clips, split_ensemble
from fgvp_eval.config import EvalConfig, SplitSettings
from fgvp_eval.count_check import require_counts, warn_of_counts
from fgvp_eval.devices import choose_device
from fgvp_eval.errors import DataError, UsageError
from fgvp_eval.feature_cache import open_feature_cache
from fgvp_eval.grid_candidates import GridCandidates
from fgvp_eval.images import decode_image
from fgvp_eval.paco import read_paco
from fgvp_eval.part_candidates import (
    CandidateMasks,
    annotated_candidates,
    found_candidates,
    gold_parts,
)
from fgvp_eval.part_crops import crop_around
from fgvp_eval.part_scoring import PartScorer, choose_parts
from fgvp_eval.parts_records import PartedObject, PartResult, PartsDataset, PartsImage
from fgvp_eval.parts_report import PartsReport, PartsSplitResult
from fgvp_eval.records import ImageRecord, Unscored
from fgvp_eval.run_folder import RunFolder
from fgvp_eval.sam_models import SamModel, find_checkpoint, load_sam
from fgvp_eval.scorer import Scorer
from fgvp_eval.splits import Split
from fgvp_eval.stage_times import Progress, StageTimes
from fgvp_kernels import RenderOptions

_LOG = logging.getLogger(__name__)

PROTOCOLS = {"gt": "naming", "sam-grid": "detection"}


def evaluate_parts(config: EvalConfig, folder: RunFolder) -> PartsReport:
    """Evaluate every split of ``config``, all of which have parts.

    Args:
        config: The options.
        folder: Made once everything needed is there.

    Raises:
        UsageError: An option does not fit part detection, this machine or the models.
        DataError: Data or weights are missing or broken. A single broken image is no reason: its
            parts are reported in the result as unscored.
    """
    protocols = chosen_protocols(config)
    device = choose_device(config.device)
    torch.manual_seed(config.seed)
    times = StageTimes(device)
    for split in config.splits:
        for name in split_ensemble(config.settings(split).clip):
            check_clip_name(name)
    with times.measure("load"):
        datasets = [_read(config, split) for split in config.splits]
        # The splits of a run are all demo or all PACO, or differ in nothing but their data.
        sams: dict[str, SamModel] = {}
        if "detection" in protocols:
            names = dict.fromkeys(config.settings(split).sam for split in config.splits)
            for name in names:
                find_checkpoint(name, config.folder_of_data())
            sams = {name: load_sam(name, device, config.folder_of_data()) for name in names}
        ensembles = dict.fromkeys(config.settings(split).clip for split in config.splits)
        clips = {name: load_clips(name, device, config.precision) for name in ensembles}
    folder.create()
    results = []
    for dataset in datasets:
        settings = config.settings(dataset.split)
        ensemble = clips[settings.clip]
        scorer = _scorer(dataset, settings, ensemble, config, device, times)
        sam = sams.get(settings.sam)
        results.append(_evaluate_split(dataset, settings, protocols, sam, scorer, config, times))
    distinct = {clip.name: clip for ensemble in clips.values() for clip in ensemble}
    return PartsReport(
        config=config,
        splits=tuple(results),
        models=[sam.identity() for sam in sams.values()]
        + [clip.identity() for clip in distinct.values()],
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        precision=str(next(iter(distinct.values())).dtype).removeprefix("torch."),
        seconds=times.seconds,
    )


def chosen_protocols(config: EvalConfig) -> tuple[str, ...]:
    """Return the protocols that ``--proposals`` asks for, both if it is not given.

    Raises:
        UsageError: An option has no meaning for part detection.
    """
    for split in config.splits:
        post = config.settings(split).post
        if post not in ("none", "S"):
            raise UsageError(
                f"--post {post} is not for {split.name}: parts have no relations; choices: none, S"
            )
    pointless = {
        "--preset": config.preset is not None,
        "--negatives": config.negatives is not None,
        "--aggregate max": config.aggregate == "max",
        "--size-prior": bool(config.size_prior),
        "--color text": config.color == "text",
        "--template": config.template is not None,
        "--masks gt": config.masks == "gt",
    }
    for option, given in pointless.items():
        if given:
            raise UsageError(f"{option} has no meaning for splits of parts")
    if config.proposals is None:
        return tuple(PROTOCOLS.values())
    protocol = PROTOCOLS.get(config.proposals.kind)
    if protocol is None:
        raise UsageError(
            f"--proposals {config.proposals.kind} is not for splits of parts; choices: gt (naming "
            "of annotated parts), sam-grid (detection)"
        )
    return (protocol,)


def _read(config: EvalConfig, split: Split) -> PartsDataset:
    dataset = read_paco(_data_root(config, split), split, config.limit)
    if config.strict_data:
        require_counts(split.name, dataset.counts, dataset.published)
    warn_of_counts(split.name, dataset.counts, dataset.published)
    for reason, count in dataset.left_out.items():
        _LOG.info("%s: left out: %d %s", split.name, count, reason)
    return dataset


def _data_root(config: EvalConfig, split: Split) -> Path:
    if not split.is_demo:
        return config.folder_of_data()
    if config.data_root is not None and (config.data_root / split.dataset).is_dir():
        return config.data_root
    from fgvp_eval.demo.parts_dataset import parts_data_root

    return parts_data_root()


def _scorer(
    dataset: PartsDataset,
    settings: SplitSettings,
    clips: tuple[ClipModel, ...],
    config: EvalConfig,
    device: torch.device,
    times: StageTimes,
) -> PartScorer:
    options = RenderOptions(seed=config.seed)
    if config.color is not None:
        options = RenderOptions(seed=config.seed, line_color=config.color, tint_color=config.color)
    return PartScorer(
        Scorer(
            clips,
            settings.modes,
            device=device,
            options=options,
            batch_size=config.batch_size,
            times=times,
            cache=open_feature_cache(device) if settings.feature_cache else None,
        ),
        settings.modes,
        settings.mode_groups,
        sum(clip.logit_scale for clip in clips),
        dataset.phrases if settings.post == "S" else None,
    )


def _evaluate_split(
    dataset: PartsDataset,
    settings: SplitSettings,
    protocols: tuple[str, ...],
    sam: SamModel | None,
    scorer: PartScorer,
    config: EvalConfig,
    times: StageTimes,
) -> PartsSplitResult:
    propose = GridCandidates(sam, times)
    results: list[PartResult] = []
    unscored: list[Unscored] = []
    name = dataset.split.name
    total = sum(len(thing.parts) for image in dataset.images for thing in image.objects)
    with Progress(name, total, "part") as progress:
        for image in dataset.images:
            for thing, found in _evaluate_image(
                image, name, protocols, propose, scorer, config, times
            ):
                if isinstance(found, str):
                    _LOG.warning("not scored: %d parts: %s", len(thing.parts), found)
                    for part in thing.parts:
                        sample_id = f"{name}:{thing.object_id}:{part.annotation.ann_id}"
                        unscored.append(Unscored(sample_id, image.name, found))
                else:
                    results += found
                progress.add(len(thing.parts))
    return PartsSplitResult(dataset, settings, tuple(results), tuple(unscored))


def _evaluate_image(
    image: PartsImage,
    split: str,
    protocols: tuple[str, ...],
    propose: CandidateMasks,
    scorer: PartScorer,
    config: EvalConfig,
    times: StageTimes,
) -> Iterator[tuple[PartedObject, list[PartResult] | str]]:
    """Yield the objects of an image, each with its results or why it has none."""
    try:
        with times.measure("decode"):
            record = ImageRecord(image.image_id, image.path, image.name, image.size, (), ())
            pixels = decode_image(record)  # [H, W, 3]
    except DataError as error:
        for thing in image.objects:
            yield thing, " ".join(str(error).split())
        return
    for thing in image.objects:
        try:
            found: list[PartResult] = []
            crop = crop_around(thing.box_xywh, image.size)
            picture = np.ascontiguousarray(crop.of(pixels), dtype=np.uint8)  # [h, w, 3]
            with times.measure("masks"):
                gold = gold_parts(thing, crop, image.size)
            seed = (config.seed, thing.object_id)
            for protocol in protocols:
                if protocol == "naming":
                    candidates = annotated_candidates(gold, seed)
                else:
                    object_xyxy = crop.to_crop(xyxy_from_xywh(thing.box_xywh))
                    candidates = found_candidates(picture, object_xyxy, propose, seed)
                texts = [part.text for part in thing.parts]
                similar = scorer.cosines(picture, candidates, texts)
                found += choose_parts(
                    similar,
                    image,
                    thing,
                    crop,
                    gold,
                    candidates,
                    protocol=protocol,
                    split=split,
                )
            yield thing, found
        except DataError as error:
            yield thing, f"{image.path}: object {thing.object_id}: {' '.join(str(error).split())}"
