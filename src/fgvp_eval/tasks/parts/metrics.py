"""Shares of parts that were named or found right, over parts and over objects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fgvp_eval.data.parts_records import PartResult
from fgvp_eval.results.bootstrap import clustered_interval
from fgvp_eval.scoring.choice import IOU_THRESHOLD


@dataclass(frozen=True)
class PartMetrics:
    """What is counted over the parts of one row; shares are in 0 to 1, None if nothing was scored.

    Attributes:
        parts: Parts scored.
        objects: Objects that they belong to.
        correct: Parts that are right: in naming, given their own mask; in detection, given one
            whose box overlaps theirs with IoU above one half.
        share: Their share.
        interval_95: Its 95 % interval, by a bootstrap over images.
        share_of_objects: Mean over objects of the share of their parts that are right.
        chance: What ``share`` is on average if candidates are drawn at random.
        chance_of_objects: The same for ``share_of_objects``.
        mask_share: Share of parts given a mask that overlaps theirs with IoU above one half.
        mean_box_iou: Mean overlap of boxes.
        mean_mask_iou: Mean overlap of masks.
        oracle_share: Share of parts for which some candidate's box is right.
        oracle_mask_share: Share of parts for which some candidate's mask is right.
        candidates: Mean number of candidates of an object.
    """

    parts: int
    objects: int
    correct: int
    share: float | None = None
    interval_95: tuple[float, float] | None = None
    share_of_objects: float | None = None
    chance: float | None = None
    chance_of_objects: float | None = None
    mask_share: float | None = None
    mean_box_iou: float | None = None
    mean_mask_iou: float | None = None
    oracle_share: float | None = None
    oracle_mask_share: float | None = None
    candidates: float | None = None


def measure_parts(results: Sequence[PartResult], *, seed: int, least_parts: int = 1) -> PartMetrics:
    """Count the results of one row: one protocol, ensemble of modes, and way of assignment.

    Args:
        results: At most one for each part.
        seed: Seed of the bootstrap.
        least_parts: Count only objects with at least so many parts; of 2 or more, no object is
            right by having nothing to choose from.
    """
    kept = [result for result in results if result.parts >= least_parts]
    by_object: dict[int, list[PartResult]] = defaultdict(list)
    for result in kept:
        by_object[result.object_id].append(result)
    correct = sum(result.correct for result in kept)
    if not kept:
        return PartMetrics(0, 0, 0)
    per_object = list(by_object.values())
    return PartMetrics(
        parts=len(kept),
        objects=len(by_object),
        correct=correct,
        share=correct / len(kept),
        # The parts of an image are not independent of each other.
        interval_95=clustered_interval(
            [float(result.correct) for result in kept],
            [result.image for result in kept],
            seed=seed,
        ),
        share_of_objects=_mean([_mean([r.correct for r in parts]) for parts in per_object]),
        chance=_mean([result.share_correct for result in kept]),
        chance_of_objects=_mean([_mean([r.share_correct for r in parts]) for parts in per_object]),
        mask_share=_mean([result.mask_iou > IOU_THRESHOLD for result in kept]),
        mean_box_iou=_mean([result.box_iou for result in kept]),
        mean_mask_iou=_mean([result.mask_iou for result in kept]),
        oracle_share=_mean([result.best_box_iou > IOU_THRESHOLD for result in kept]),
        oracle_mask_share=_mean([result.best_mask_iou > IOU_THRESHOLD for result in kept]),
        candidates=_mean([len(parts[0].candidates_xyxy) for parts in per_object]),
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
