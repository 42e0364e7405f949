"""Masks from points: SAM prompted with what a user points at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything import SamPredictor


@torch.no_grad()
def point_mask(
    predictor: SamPredictor, points_xy: Sequence[tuple[float, float]]
) -> NDArray[np.bool_]:
    """Segment the one thing that all points are on.

    One point may mean a thing, a part of it or what it belongs to: of SAM's three masks the one
    of the highest quality that SAM predicts is taken. Several points get its single mask.

    Args:
        predictor: SAM with the image set.
        points_xy: At least one point in pixels of the image.

    Returns:
        ``[H, W]`` bool.
    """
    masks, qualities, _ = predictor.predict(
        point_coords=np.asarray(points_xy, dtype=np.float32),  # [P, 2]
        point_labels=np.ones(len(points_xy), dtype=np.int64),
        multimask_output=len(points_xy) == 1,
    )  # [M, H, W] bool, [M]
    best: NDArray[np.bool_] = masks[int(np.argmax(qualities))]
    return best
