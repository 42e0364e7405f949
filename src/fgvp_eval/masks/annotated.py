"""Masks from annotations: polygons or RLE, as COCO stores them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask

from fgvp_eval.errors import DataError
from fgvp_eval.records import Annotation

_LEAST_POLYGON = 6  # three corners; some COCO polygons are lines or points


def annotated_masks(annotations: Sequence[Annotation], size: tuple[int, int]) -> torch.Tensor:
    """Draw the masks of annotations.

    Args:
        annotations: N annotations.
        size: Height and width of the image.

    Returns:
        ``[N, H, W]`` bool.

    Raises:
        DataError: A segmentation is missing, has no area to draw, or is of another size.
    """
    masks = np.zeros((len(annotations), *size), dtype=bool)  # [N, H, W]
    for index, annotation in enumerate(annotations):
        masks[index] = _draw(annotation, size)
    return torch.from_numpy(masks)


def _draw(annotation: Annotation, size: tuple[int, int]) -> Any:
    what = f"segmentation of annotation {annotation.ann_id}"
    segmentation = annotation.segmentation
    try:
        if isinstance(segmentation, dict):
            rle = _rle(segmentation, size)
        elif isinstance(segmentation, list):
            polygons = [part for part in segmentation if len(part) >= _LEAST_POLYGON]
            if not polygons:
                raise DataError(f"{what} has no polygon of three or more corners")
            rle = coco_mask.merge(coco_mask.frPyObjects(polygons, *size))
        else:
            raise DataError(f"{what} must be polygons or RLE, got {type(segmentation).__name__}")
        mask = coco_mask.decode(rle)  # [H, W] uint8
    except (TypeError, ValueError, KeyError) as error:
        raise DataError(f"{what} is broken: {type(error).__name__}: {error}") from None
    return mask.astype(bool)


def _rle(segmentation: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    given = tuple(int(length) for length in segmentation["size"])
    if given != size:
        raise ValueError(f"its size is {given}, the image's is {size}")
    counts = segmentation["counts"]
    if isinstance(counts, list):
        if sum(counts) != size[0] * size[1]:
            raise ValueError(f"its runs cover {sum(counts)} of {size[0] * size[1]} pixels")
        rle: dict[str, Any] = coco_mask.frPyObjects(segmentation, *size)
        return rle
    text = counts.encode("ascii") if isinstance(counts, str) else counts
    return {"size": list(size), "counts": text}
