"""Masks of parts, as PACO stores them: RLE, polygons, or nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pycocotools import mask as coco_mask

from fgvp_eval.data.annotated_masks import annotated_masks, annotated_runs
from fgvp_eval.data.records import Annotation, Box
from fgvp_eval.errors import DataError


def has_area(annotation: Annotation, size: tuple[int, int]) -> bool:
    """Return whether there is anything in a mask.

    Args:
        annotation: Its segmentation may be None or empty, which PACO has for some parts.
        size: Height and width of the image.

    Raises:
        DataError: The segmentation is broken.
    """
    segmentation = annotation.segmentation
    if not segmentation:
        return False
    if isinstance(segmentation, list) and all(
        isinstance(polygon, list) and len(polygon) < 6 for polygon in segmentation
    ):
        return False
    return bool(annotated_runs(annotation, size)[1::2].any())


def merge_annotations(annotations: Sequence[Annotation], size: tuple[int, int]) -> Annotation:
    """Return one annotation for all: PACO means parts of equal name on an object to be one.

    Args:
        annotations: At least one; the id of the first is kept.
        size: Height and width of the image.

    Returns:
        The only annotation as it is; of several, the union of masks and the enclosing box. If the
        mask of one is broken, that one, so that drawing it says so.
    """
    first = annotations[0]
    if len(annotations) == 1:
        return first
    for annotation in annotations:
        try:
            annotated_runs(annotation, size)
        except DataError:
            return annotation
    union = annotated_masks(annotations, size).any(0).numpy()  # [H, W]
    rle = coco_mask.encode(np.asfortranarray(union.astype(np.uint8)))
    corners = [
        (x, y, x + width, y + height) for x, y, width, height in (a.box_xywh for a in annotations)
    ]
    left, top = min(box[0] for box in corners), min(box[1] for box in corners)
    right, bottom = max(box[2] for box in corners), max(box[3] for box in corners)
    box_xywh: Box = (left, top, right - left, bottom - top)
    segmentation = {"size": list(size), "counts": rle["counts"].decode("ascii")}
    return Annotation(first.ann_id, box_xywh, segmentation)
