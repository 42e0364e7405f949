"""COCO segmentations of pixel masks."""

from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from fgvp_eval.demo.polygons import mask_outlines


def segmentation_of(
    mask: np.ndarray, *, prefer_polygons: bool
) -> list[list[float]] | dict[str, Any]:
    """COCO segmentation of a mask, exact in both forms.

    Args:
        mask: bool [H, W], not empty.
        prefer_polygons: use polygons where they can say it, that is for masks without holes.

    Returns:
        A list of polygons [x0, y0, x1, y1, ...] along the pixel edges, or a compressed RLE
        {"size": [H, W], "counts": str}.
    """
    if prefer_polygons:
        outer, holes = mask_outlines(mask)
        if not holes:
            return [[float(v) for corner in loop for v in corner] for loop in outer]
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(v) for v in rle["size"]], "counts": rle["counts"].decode("ascii")}
