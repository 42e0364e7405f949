"""Candidate masks of an object's parts: its annotated parts, or what SAM finds in its box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fgvp_eval.data.annotated_masks import annotated_masks
from fgvp_eval.data.boxes import xyxy_from_xywh
from fgvp_eval.data.parts_records import PartedObject
from fgvp_eval.data.records import Box
from fgvp_eval.tasks.parts.crops import Crop, share_inside, tight_boxes_xyxy

LEAST_SHARE_INSIDE = 0.7  # of a candidate's pixels, in the object's box


@dataclass(frozen=True, eq=False)
class GoldParts:
    """The annotated parts of an object, on its crop.

    Attributes:
        masks: ``[T, h, w]`` bool, the windows of the part masks.
        areas: ``[T]`` pixels of the whole masks.
        boxes_xyxy: The T annotated boxes in pixels of the crop; they may reach beyond it.
    """

    masks: NDArray[np.bool_]
    areas: NDArray[np.float64]
    boxes_xyxy: tuple[Box, ...]


@dataclass(frozen=True, eq=False)
class PartCandidates:
    """Candidates on a crop.

    Attributes:
        masks: ``[N, h, w]`` bool.
        boxes_xyxy: N boxes in pixels of the crop.
        part_of: ``[N]`` index of the part that a candidate is the annotation of; None if they are
            not annotated.
    """

    masks: NDArray[np.bool_]
    boxes_xyxy: tuple[Box, ...]
    part_of: NDArray[np.intp] | None


def gold_parts(thing: PartedObject, crop: Crop, size: tuple[int, int]) -> GoldParts:
    """Draw the annotated parts of an object; ``size`` is that of the image, height and width.

    Raises:
        DataError: A segmentation is broken.
    """
    masks = annotated_masks([part.annotation for part in thing.parts], size).numpy()  # [T, H, W]
    areas = masks.sum(axis=(1, 2)).astype(np.float64)
    windows = masks[:, crop.top : crop.bottom, crop.left : crop.right]
    boxes_xyxy = tuple(
        crop.to_crop(xyxy_from_xywh(part.annotation.box_xywh)) for part in thing.parts
    )
    return GoldParts(windows, areas, boxes_xyxy)


def annotated_candidates(gold: GoldParts, seed: Sequence[int]) -> PartCandidates:
    """Return the annotated parts as candidates, in a random order.

    In the order of the texts, ties would be broken in favour of the right answer: a Hungarian
    assignment of equal scores pairs the first with the first, and so on.

    Args:
        gold: The parts.
        seed: Seed of the order.
    """
    order = np.random.default_rng(seed).permutation(len(gold.masks))  # [N]
    height, width = gold.masks.shape[1:]
    boxes_xyxy = tuple(_clipped(gold.boxes_xyxy[index], height, width) for index in order)
    return PartCandidates(gold.masks[order], boxes_xyxy, order)


def found_candidates(
    masks: NDArray[np.bool_], object_xyxy: Box, seed: Sequence[int]
) -> PartCandidates:
    """Return the masks found on a crop that lie mostly in the object's box, in a random order.

    SAM gives its best masks first, so that in its own order ties would be broken by its judgement.

    Args:
        masks: ``[M, h, w]`` bool.
        object_xyxy: The object's box in pixels of the crop.
        seed: Seed of the order.
    """
    kept = masks[share_inside(masks, object_xyxy) >= LEAST_SHARE_INSIDE]  # [N, h, w]
    kept = kept[np.random.default_rng(seed).permutation(len(kept))]
    return PartCandidates(kept, tight_boxes_xyxy(kept), None)


def _clipped(box_xyxy: Box, height: int, width: int) -> Box:
    """Return the part of a box that is in the crop, at least a pixel, as it must be drawn."""
    x0, y0, x1, y1 = box_xyxy
    left, top = min(max(x0, 0.0), width - 1.0), min(max(y0, 0.0), height - 1.0)
    return left, top, max(min(x1, float(width)), left + 1), max(min(y1, float(height)), top + 1)
