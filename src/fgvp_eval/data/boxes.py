"""Boxes: the one place that converts between layouts, and their overlap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fgvp_eval.data.records import Box


def xyxy_from_xywh(box_xywh: Box) -> Box:
    """Return the same box as left, top, right, bottom."""
    left, top, width, height = box_xywh
    return left, top, left + width, top + height


def iou_matrix(a_xyxy: Sequence[Box], b_xyxy: Sequence[Box]) -> NDArray[np.float64]:
    """Return the overlap of every pair of boxes, intersection over union of plain areas.

    Args:
        a_xyxy: N boxes.
        b_xyxy: M boxes.

    Returns:
        ``[N, M]`` in 0 to 1; 0 where both boxes are empty.
    """
    a = np.asarray(a_xyxy, dtype=np.float64).reshape(-1, 1, 4)  # [N, 1, 4]
    b = np.asarray(b_xyxy, dtype=np.float64).reshape(1, -1, 4)  # [1, M, 4]
    low = np.maximum(a[..., :2], b[..., :2])  # [N, M, 2]
    high = np.minimum(a[..., 2:], b[..., 2:])  # [N, M, 2]
    common = np.prod(np.clip(high - low, 0.0, None), axis=-1)  # [N, M]
    area_a = np.prod(a[..., 2:] - a[..., :2], axis=-1)  # [N, 1]
    area_b = np.prod(b[..., 2:] - b[..., :2], axis=-1)  # [1, M]
    union = area_a + area_b - common  # [N, M]
    overlap: NDArray[np.float64] = np.divide(
        common, union, out=np.zeros_like(common), where=union > 0
    )
    return overlap
