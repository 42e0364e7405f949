"""Masks from annotations: polygons or RLE, as COCO stores them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask

from fgvp_eval.data.file_values import brief
from fgvp_eval.data.records import Annotation
from fgvp_eval.errors import DataError
from fgvp_kernels.rle import Runs, decode_runs, runs_of

_LEAST_POLYGON = 6  # three corners; some COCO polygons are lines or points


def annotated_masks(annotations: Sequence[Annotation], size: tuple[int, int]) -> torch.Tensor:
    """Draw the masks of annotations.

    Args:
        annotations: N annotations.
        size: Height and width of the image.

    Returns:
        ``[N, H, W]`` bool.

    Raises:
        DataError: A segmentation is missing or broken, or is of another size.
    """
    masks = np.zeros((len(annotations), *size), dtype=bool)  # [N, H, W]
    for mask, annotation in zip(masks, annotations, strict=True):
        decode_runs(annotated_runs(annotation, size), mask)
    return torch.from_numpy(masks)


def annotated_runs(annotation: Annotation, size: tuple[int, int]) -> Runs:
    """Return the runs of an annotation's mask, int64 ``[R]``, which add up to H·W.

    What the file says is checked before pycocotools sees it, which reads whatever memory a
    broken segmentation leads it to.

    Args:
        annotation: The annotation.
        size: Height and width of the image.

    Raises:
        DataError: The segmentation is missing or broken, or is of another size.
    """
    what = f"segmentation of annotation {annotation.ann_id}"
    segmentation = annotation.segmentation
    try:
        if isinstance(segmentation, dict):
            return _checked_runs(segmentation, size)
        if isinstance(segmentation, list):
            polygons = _checked_polygons(segmentation, size)
            return runs_of(coco_mask.merge(coco_mask.frPyObjects(polygons, *size)), "rle", size)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} is broken: {error}") from None
    raise DataError(f"{what} must be polygons or RLE, got {brief(segmentation)}")


def _checked_runs(rle: dict[str, Any], size: tuple[int, int]) -> Runs:
    given, counts = rle.get("size"), rle.get("counts")
    if not isinstance(given, (list, tuple)) or tuple(given) != size:
        raise ValueError(f"its size must be the image's, {list(size)}, got {brief(given)}")
    if isinstance(counts, list) and any(type(count) is not int for count in counts):
        raise ValueError(f"its counts must be integers, got {brief(counts)}")
    return runs_of(rle, "rle", size)


def _checked_polygons(polygons: list[Any], size: tuple[int, int]) -> list[list[float]]:
    """Return the polygons that have an area, all of them lists of numbers within reason."""
    drawn: list[list[float]] = []
    for index, polygon in enumerate(polygons):
        if not isinstance(polygon, list):
            raise TypeError(f"polygon {index} must be a list x, y, x, y, ..., got {brief(polygon)}")
        if len(polygon) >= _LEAST_POLYGON:
            _check_polygon(polygon, f"polygon {index}", size)
            drawn.append(polygon)
    if not drawn:
        raise ValueError("it has no polygon of three or more corners")
    return drawn


def _check_polygon(polygon: list[Any], what: str, size: tuple[int, int]) -> None:
    """Check that a polygon has whole corners that are at most the image's size beyond it."""
    if len(polygon) % 2:
        raise ValueError(f"{what} must be pairs x, y, got {len(polygon)} numbers")
    for coordinates, side in ((polygon[::2], size[1]), (polygon[1::2], size[0])):
        for number in coordinates:
            if type(number) not in (int, float) or not -side <= number <= 2 * side:
                raise ValueError(
                    f"{what} must be numbers from {-side} to {2 * side}, got {brief(number)}"
                )
