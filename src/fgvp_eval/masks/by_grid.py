"""Masks of everything in an image: SAM prompted with a grid of points, duplicates removed.

The masks are those of ``segment_anything.SamAutomaticMaskGenerator`` at equal settings and in the
same order. What differs is the way there: only masks that the decoder itself finds good are
brought to the size of the image, a few at a time; what stays of them is their run lengths; and
the device is waited for a few times per batch rather than several times per mask.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from segment_anything import SamPredictor
from segment_anything.utils.amg import build_point_grid
from torchvision.ops import batched_nms

from fgvp_eval.machine.out_of_memory import ShrinkingBatch
from fgvp_eval.machine.progress import Progress
from fgvp_eval.masks.cleanup import clean_masks
from fgvp_eval.masks.runs import MaskRuns

# Float pixels of masks at the image's size that may lie in memory at once: 512 MiB.
_MOST_PIXELS = 1 << 27


@dataclass(frozen=True)
class GridSettings:
    """Settings of the generator; the defaults are those of the official FGVP code.

    There are no crop layers. Names and meanings are those of ``SamAutomaticMaskGenerator``.

    Attributes:
        points_per_side: Points along one side of the image.
        points_per_batch: Points that go through the decoder together.
        pred_iou_thresh: Masks whose quality SAM itself predicts to be above it are kept.
        stability_score_thresh: Masks at least so stable are kept.
        stability_score_offset: How far the threshold is moved to see whether a mask is stable.
        box_nms_thresh: Of two boxes that overlap more, the one of lower quality is dropped.
        min_mask_region_area: Holes and islands of fewer pixels of the image are removed.
    """

    points_per_side: int = 16
    points_per_batch: int = 64
    pred_iou_thresh: float = 0.86
    stability_score_thresh: float = 0.92
    stability_score_offset: float = 0.7
    box_nms_thresh: float = 0.7
    min_mask_region_area: float = 0.0

    def cleaned(self, area: float) -> GridSettings:
        """Return the same settings with another ``min_mask_region_area``."""
        return replace(self, min_mask_region_area=area)


OFFICIAL_GRID = GridSettings()
# The official thresholds are made for the large models. The demo SAM is trained briefly, is less
# sure of its masks and draws softer edges: at those thresholds it would find nothing.
DEMO_GRID = GridSettings(pred_iou_thresh=0.5, stability_score_thresh=0.6)


def grid_settings(sam: str) -> GridSettings:
    """Return the settings for a SAM by the option that names it."""
    return DEMO_GRID if sam == "demo" else OFFICIAL_GRID


@dataclass(frozen=True, eq=False)
class GridMasks:
    """The N masks found in an image, best first; all tensors are on SAM's device.

    Attributes:
        runs: The masks themselves.
        boxes_xyxy: ``[N, 4]`` int64, first and last column and row of each mask, inclusive as
            ``segment_anything`` gives them.
        predicted_iou: ``[N]`` float32, quality as SAM predicts it.
        stability: ``[N]`` float32 in 0 to 1.
        points: ``[N, 2]`` float64, x and y of the point that gave the mask, pixels of the image.
    """

    runs: MaskRuns
    boxes_xyxy: torch.Tensor
    predicted_iou: torch.Tensor
    stability: torch.Tensor
    points: torch.Tensor

    def __len__(self) -> int:
        return len(self.runs)

    def select(self, index: torch.Tensor) -> GridMasks:
        """Return the masks ``index`` ``[K]`` int64, in that order."""
        return GridMasks(
            self.runs.select(index),
            self.boxes_xyxy[index],
            self.predicted_iou[index],
            self.stability[index],
            self.points[index],
        )


@torch.no_grad()
def grid_masks(predictor: SamPredictor, settings: GridSettings = OFFICIAL_GRID) -> GridMasks:
    """Find the masks of everything in an image.

    Args:
        predictor: SAM with the image set.
        settings: How many points, and which masks are good enough.
    """
    height, width = predictor.original_size
    grid = build_point_grid(settings.points_per_side) * np.array([[width, height]])  # [P, 2]
    batch = ShrinkingBatch(settings.points_per_batch, "points")
    parts: list[GridMasks] = []

    def decode(points: slice) -> torch.Tensor:
        parts.append(_masks_of_points(predictor, grid[points], settings))
        progress.add(len(grid[points]))
        return parts[-1].points

    with Progress("grid of SAM", len(grid), "point") as progress:
        batch.run(decode, len(grid))
    found = GridMasks(
        MaskRuns.join([part.runs for part in parts]),
        torch.cat([part.boxes_xyxy for part in parts]),
        torch.cat([part.predicted_iou for part in parts]),
        torch.cat([part.stability for part in parts]),
        torch.cat([part.points for part in parts]),
    )
    found = found.select(_distinct(found.boxes_xyxy, found.predicted_iou, settings))
    if settings.min_mask_region_area > 0 and len(found):
        found = _without_small_regions(found, settings)
    return found


def mask_boxes(masks: torch.Tensor) -> torch.Tensor:
    """Return the first and last column and row of masks ``[N, H, W]`` bool.

    Returns:
        ``[N, 4]`` int64 xyxy, inclusive; zeros for an empty mask.
    """
    if masks.numel() == 0:
        return torch.zeros((len(masks), 4), dtype=torch.int64, device=masks.device)
    columns, rows = masks.any(dim=1).int(), masks.any(dim=2).int()  # [N, W], [N, H]
    left, top = columns.argmax(1), rows.argmax(1)  # the first of equal values
    right = columns.shape[1] - 1 - columns.flip(1).argmax(1)
    bottom = rows.shape[1] - 1 - rows.flip(1).argmax(1)
    boxes = torch.stack([left, top, right, bottom], dim=1)  # [N, 4]
    return boxes * columns.any(dim=1, keepdim=True)


def _masks_of_points(
    predictor: SamPredictor, points: np.ndarray, settings: GridSettings
) -> GridMasks:
    """Return the good masks of points ``[p, 2]`` float64, three at most for each, unsorted."""
    sam, device = predictor.model, predictor.device
    moved = predictor.transform.apply_coords(points, predictor.original_size)  # [p, 2] float64
    prompts = torch.as_tensor(moved, device=device)[:, None]  # [p, 1, 2]
    labels = torch.ones(prompts.shape[:2], dtype=torch.int, device=device)  # [p, 1]
    sparse, dense = sam.prompt_encoder(points=(prompts, labels), boxes=None, masks=None)
    low_logits, quality = sam.mask_decoder(
        image_embeddings=predictor.features,
        image_pe=sam.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=True,
    )  # [p, 3, h, w], [p, 3]
    sources = torch.as_tensor(points, device=device).repeat_interleave(quality.shape[1], dim=0)
    low_logits, quality = low_logits.flatten(0, 1), quality.flatten()  # [3p, h, w], [3p]
    if settings.pred_iou_thresh > 0:
        good = (quality > settings.pred_iou_thresh).nonzero()[:, 0]  # [n]
        low_logits, quality, sources = low_logits[good], quality[good], sources[good]
    height, width = predictor.original_size
    side = sam.image_encoder.img_size
    at_once = max(1, _MOST_PIXELS // max(height * width, side * side))
    parts = [_stable_masks(predictor, some, settings) for some in low_logits.split(at_once)] or [
        _stable_masks(predictor, low_logits, settings)
    ]
    stable = torch.cat([part[3] for part in parts]).nonzero()[:, 0]  # [m]
    return GridMasks(
        MaskRuns.join([part[0] for part in parts]),
        torch.cat([part[1] for part in parts]),
        quality[stable],
        torch.cat([part[2] for part in parts]),
        sources[stable],
    )


def _stable_masks(
    predictor: SamPredictor, low_logits: torch.Tensor, settings: GridSettings
) -> tuple[MaskRuns, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Bring a decoder's masks ``[n, h, w]`` to the image's size and keep the stable ones.

    Returns:
        Runs, boxes ``[m, 4]`` and stability ``[m]`` of those kept; and ``[n]`` bool, which were.
    """
    sam, (height, width) = predictor.model, predictor.original_size
    if len(low_logits) == 0:
        empty = torch.zeros((0, height, width), dtype=torch.bool, device=low_logits.device)
        none = low_logits.new_zeros(0)
        return MaskRuns.encode(empty), mask_boxes(empty), none, none.bool()
    logits = sam.postprocess_masks(
        low_logits[:, None], predictor.input_size, predictor.original_size
    )[:, 0]  # [n, H, W]
    threshold, offset = sam.mask_threshold, settings.stability_score_offset
    inner = (logits > threshold + offset).sum((1, 2), dtype=torch.int32)  # [n]
    outer = (logits > threshold - offset).sum((1, 2), dtype=torch.int32)  # [n]
    stability = inner / outer  # [n]
    kept = torch.ones_like(stability, dtype=torch.bool)
    if settings.stability_score_thresh > 0:
        kept = stability >= settings.stability_score_thresh  # [n]; false for 0 / 0
    masks = (logits > threshold)[kept]  # [m, H, W]
    return MaskRuns.encode(masks), mask_boxes(masks), stability[kept], kept


def _distinct(boxes: torch.Tensor, scores: torch.Tensor, settings: GridSettings) -> torch.Tensor:
    """Return the indices ``[K]`` of boxes ``[N, 4]`` that overlap none of higher score."""
    category = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
    kept: torch.Tensor = batched_nms(boxes.float(), scores, category, settings.box_nms_thresh)
    return kept


def _without_small_regions(found: GridMasks, settings: GridSettings) -> GridMasks:
    """Clean the masks and remove what has become a duplicate, untouched masks being preferred."""
    masks, changed = clean_masks(found.runs.decode(), settings.min_mask_region_area)
    cleaned = GridMasks(
        MaskRuns.encode(masks),
        mask_boxes(masks),
        found.predicted_iou,
        found.stability,
        found.points,
    )
    untouched = (~changed).to(masks.device, torch.float32)  # [N]
    return cleaned.select(_distinct(cleaned.boxes_xyxy, untouched, settings))
