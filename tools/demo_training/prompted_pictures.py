"""Renders of single objects, the training pictures of the demo CLIP."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageFilter
from segment_anything import SamPredictor

from fgvp_eval.demo.captions import attribute_indices, relative_centre
from fgvp_eval.demo.models import CLIP_IMAGE_SIZE
from fgvp_eval.demo.scenes import ObjectAttributes, Scene
from fgvp_eval.masks.by_boxes import box_masks
from fgvp_kernels import render_batch

# Modes drawn for training; blur outside is drawn several times, with different masks.
TRAINING_MODES: tuple[str, ...] = ("blur_reverse_mask", "crop", "grayscale_reverse_mask")
BLUR_VARIANTS = 3


@dataclass(frozen=True)
class PromptedScene:
    """All pictures of one scene.

    Attributes:
        pictures: uint8 [V, N, 3, S, S]; V variants: the blurs, the crop, the grey.
        objects: the attributes of the N objects.
        indices: int64 [N, 4], value indices of the attributes.
        centres: float32 [N, 2], relative centres.
    """

    pictures: torch.Tensor
    objects: tuple[ObjectAttributes, ...]
    indices: torch.Tensor
    centres: torch.Tensor


def perturbed_mask(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Move the boundary of a mask as a segmentation model might.

    The mask is blurred, uneven smooth noise and a constant are added, and the sum is cut at
    one half, which dilates, erodes and ripples it.

    Args:
        mask: bool [H, W].
        rng: source of randomness.

    Returns:
        bool [H, W]; the mask itself if nothing would be left.
    """
    height, width = mask.shape
    soft = Image.fromarray(mask.astype(np.uint8) * 255).filter(
        ImageFilter.GaussianBlur(rng.uniform(0.6, 2.0))
    )
    cells = (max(2, width // 9), max(2, height // 9))
    noise = rng.normal(0, 1, cells[::-1]).astype(np.float32)
    ripple = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
    level = (
        np.asarray(soft, dtype=np.float32) / 255.0
        + rng.uniform(0.0, 0.22) * np.asarray(ripple)
        + rng.uniform(-0.22, 0.22)
    )
    moved = level > 0.5
    return moved if moved.sum() >= 0.5 * mask.sum() else mask


def _jittered_boxes(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Boxes [N, 4] xyxy, each side moved by a few hundredths of the extent, in the picture."""
    height, width = scene.image.shape[:2]
    boxes = np.array([item.box_xywh for item in scene.objects], dtype=np.float32)  # [N, 4]
    extent = np.tile(boxes[:, 2:], 2)
    boxes[:, 2:] += boxes[:, :2]
    moved = boxes + rng.normal(0, 0.03, boxes.shape) * extent
    return np.clip(moved, 0, [width, height, width, height]).astype(np.float32)


def render_scene(scene: Scene, rng: np.random.Generator, predictor: SamPredictor) -> PromptedScene:
    """Draw every object of a scene in all training variants.

    The blurs show the true masks, as an evaluation with annotated masks does; masks that are off
    at random; and the masks that SAM finds in the boxes, as the usual evaluation does.
    """
    true_masks = np.stack([item.mask for item in scene.objects])  # [N, H, W]
    boxes = torch.from_numpy(_jittered_boxes(scene, rng))
    predictor.set_image(scene.image)
    found = box_masks(predictor, tuple(map(tuple, boxes.tolist()))).numpy()  # [N, H, W]
    blurred = (true_masks, np.stack([perturbed_mask(m, rng) for m in true_masks]), found)
    variants = []
    for k, masks in enumerate(blurred):
        modes = TRAINING_MODES if k == 1 else TRAINING_MODES[:1]
        rendered = render_batch(
            scene.image,
            torch.from_numpy(masks),
            modes,
            boxes=boxes,
            size=CLIP_IMAGE_SIZE,
            order="resize_first",
            backend="torch",
        )  # [K, N, 3, S, S]
        variants.append(rendered)
    # Blurs first: [blur, blur, crop, grey, blur] -> [blur, blur, blur, crop, grey].
    stacked = torch.cat(variants)[[0, 1, 4, 2, 3]]  # [V, N, 3, S, S]
    return PromptedScene(
        stacked,
        tuple(item.attributes for item in scene.objects),
        torch.tensor([attribute_indices(item.attributes) for item in scene.objects]),
        torch.tensor([relative_centre(item) for item in scene.objects], dtype=torch.float32),
    )


def mirrored(scene: PromptedScene) -> PromptedScene:
    """The scene with left and right exchanged; no attribute depends on the hand."""
    centres = torch.stack([1.0 - scene.centres[:, 0], scene.centres[:, 1]], -1)  # [N, 2]
    return PromptedScene(scene.pictures.flip(-1), scene.objects, scene.indices, centres)
