"""Training examples and prompts for the demo SAM, in SAM's own 128-pixel frame."""

from dataclasses import dataclass

import numpy as np
import torch
from segment_anything.utils.transforms import ResizeLongestSide
from torch.nn import functional as F

from fgvp_eval.demo.models import SAM_IMAGE_SIZE
from fgvp_eval.demo.scenes import Scene

BOXES_PER_IMAGE = 4
POINTS_PER_IMAGE = 3
GROUND_POINTS_PER_IMAGE = 1


@dataclass(frozen=True)
class SamExample:
    """A scene as SAM sees it.

    Attributes:
        image: uint8 [3, h, w], longest side 128, not padded.
        masks: uint8 [N, 128, 128] of 0 or 1, zero in the padding.
    """

    image: torch.Tensor
    masks: torch.Tensor

    @classmethod
    def from_scene(cls, scene: Scene) -> "SamExample":
        """Resize the picture exactly as `SamPredictor.set_image` does, and the masks alike."""
        resized = ResizeLongestSide(SAM_IMAGE_SIZE).apply_image(scene.image)  # uint8 [h, w, 3]
        height, width = resized.shape[:2]
        layers = torch.from_numpy(np.stack([o.mask for o in scene.objects])).float()  # [N, H, W]
        layers = F.interpolate(
            layers[:, None], (height, width), mode="bilinear", antialias=True, align_corners=False
        )[:, 0]
        layers = F.pad(layers, (0, SAM_IMAGE_SIZE - width, 0, SAM_IMAGE_SIZE - height))
        image = torch.from_numpy(resized).permute(2, 0, 1).contiguous()
        return cls(image, (layers > 0.5).to(torch.uint8))  # masks [N, 128, 128]


@dataclass(frozen=True)
class PromptBatch:
    """Prompts on one image; boxes first, then points on objects, then points on the ground.

    Attributes:
        boxes: float32 [B, 4] xyxy.
        points: float32 [P, K, 2] xy, K points a prompt.
        labels: int64 [P, K], all 1.
        targets: uint8 [B + P, 128, 128]; all zero for points on the ground.
    """

    boxes: torch.Tensor
    points: torch.Tensor
    labels: torch.Tensor
    targets: torch.Tensor


def _jittered_box(mask: np.ndarray, rng: np.random.Generator) -> list[float]:
    """Tight box of a mask, every side moved by up to about a tenth of the extent."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    x0, x1, y0, y1 = columns[0], columns[-1] + 1, rows[0], rows[-1] + 1
    # Half of the boxes stay nearly tight: that is what annotated boxes are.
    amount = 0.02 if rng.random() < 0.5 else 0.09
    dx, dy = amount * (x1 - x0), amount * (y1 - y0)
    shift = np.clip(rng.normal(0, 1, 4), -2, 2) * (dx, dy, dx, dy)
    return [float(v) for v in np.clip(np.array([x0, y0, x1, y1]) + shift, 0, SAM_IMAGE_SIZE)]


def _points_in(mask: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Pixel centres drawn from a bool mask [S, S]: float [count, 2] xy."""
    rows, columns = np.nonzero(mask)
    picked = rng.integers(0, len(rows), count)
    return np.stack([columns[picked], rows[picked]], -1) + rng.uniform(0, 1, (count, 2))


def draw_prompts(example: SamExample, rng: np.random.Generator, points: int) -> PromptBatch:
    """Draw box and point prompts for one example.

    Args:
        example: the scene.
        rng: source of randomness.
        points: points a prompt (K); prompts on the ground are drawn only for K = 1.
    """
    masks = example.masks.numpy().astype(bool)  # [N, S, S]
    usable = [k for k in range(len(masks)) if masks[k].sum() >= 6]
    box_owner = rng.choice(usable, BOXES_PER_IMAGE)
    point_owner = rng.choice(usable, POINTS_PER_IMAGE)
    boxes = [_jittered_box(masks[k], rng) for k in box_owner]
    clicks = [_points_in(masks[k], points, rng) for k in point_owner]
    targets = [example.masks[k] for k in (*box_owner, *point_owner)]
    if points == 1:
        ground = np.zeros(masks.shape[1:], bool)
        height, width = example.image.shape[1:]
        ground[:height, :width] = ~masks[:, :height, :width].any(0)
        clicks += [_points_in(ground, 1, rng) for _ in range(GROUND_POINTS_PER_IMAGE)]
        targets += [torch.zeros_like(example.masks[0])] * GROUND_POINTS_PER_IMAGE
    click_tensor = torch.from_numpy(np.stack(clicks)).float()  # [P, K, 2]
    return PromptBatch(
        boxes=torch.tensor(boxes, dtype=torch.float32),
        points=click_tensor,
        labels=torch.ones(click_tensor.shape[:2], dtype=torch.int64),
        targets=torch.stack(targets),
    )
