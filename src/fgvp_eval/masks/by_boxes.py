"""Masks from boxes: SAM prompted with every candidate box of an image."""

from __future__ import annotations

import torch
from segment_anything import SamPredictor

from fgvp_eval.data.records import Box
from fgvp_eval.machine.out_of_memory import ShrinkingBatch

# Bounds SAM's float masks at its own 1024x1024 canvas and at the image's size.
BOXES_AT_ONCE = 64


@torch.no_grad()
def box_masks(
    predictor: SamPredictor, boxes_xyxy: tuple[Box, ...], batch: ShrinkingBatch | None = None
) -> torch.Tensor:
    """Segment what each box holds.

    Args:
        predictor: SAM with the image set.
        boxes_xyxy: N boxes in pixels of the image.
        batch: How many boxes go through the decoder together.

    Returns:
        ``[N, H, W]`` bool on the model's device: SAM's single mask of each box.
    """
    height, width = predictor.original_size
    if not boxes_xyxy:
        return torch.zeros((0, height, width), dtype=torch.bool, device=predictor.device)
    boxes = torch.tensor(boxes_xyxy, dtype=torch.float32, device=predictor.device)  # [N, 4]
    prompts = predictor.transform.apply_boxes_torch(boxes, (height, width))  # [N, 4]

    def segment(part: slice) -> torch.Tensor:
        found, _, _ = predictor.predict_torch(
            point_coords=None, point_labels=None, boxes=prompts[part], multimask_output=False
        )  # [n, 1, H, W] bool
        masks: torch.Tensor = found[:, 0]
        return masks

    batch = batch or ShrinkingBatch(BOXES_AT_ONCE, "boxes")
    return torch.cat(batch.run(segment, len(prompts)))
