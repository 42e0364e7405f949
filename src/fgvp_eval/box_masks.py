"""Masks from boxes: SAM prompted with every candidate box of an image."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything import SamPredictor
from segment_anything.modeling import Sam

from fgvp_eval.records import Box

# Bounds SAM's float masks at its own 1024x1024 canvas and at the image's size.
_BOXES_AT_ONCE = 64


@torch.no_grad()
def box_masks(
    sam: Sam,
    image: NDArray[np.uint8],
    boxes_xyxy: tuple[Box, ...],
    *,
    boxes_at_once: int = _BOXES_AT_ONCE,
) -> torch.Tensor:
    """Segment what each box holds; the image encoder runs once.

    Args:
        sam: The model.
        image: ``[H, W, 3]`` uint8 RGB.
        boxes_xyxy: N boxes in pixels of the image.
        boxes_at_once: Boxes that go through the decoder together.

    Returns:
        ``[N, H, W]`` bool on the model's device: SAM's single mask of each box.
    """
    height, width = image.shape[:2]
    if not boxes_xyxy:
        return torch.zeros((0, height, width), dtype=torch.bool, device=sam.device)
    predictor = SamPredictor(sam)
    predictor.set_image(image)
    boxes = torch.tensor(boxes_xyxy, dtype=torch.float32, device=sam.device)  # [N, 4]
    prompts = predictor.transform.apply_boxes_torch(boxes, (height, width))  # [N, 4]
    masks = []
    for chunk in prompts.split(boxes_at_once):
        found, _, _ = predictor.predict_torch(
            point_coords=None, point_labels=None, boxes=chunk, multimask_output=False
        )  # [n, 1, H, W] bool
        masks.append(found[:, 0])
    return torch.cat(masks)
