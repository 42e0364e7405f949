"""Images, masks and boxes of a program, in any form that ``render_batch`` takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fgvp_eval.data.records import Box
from fgvp_eval.masks.masked_image import MaskedImage
from fgvp_eval.masks.sources import no_masks
from fgvp_kernels import Mode
from fgvp_kernels.batch import Candidates
from fgvp_kernels.inputs import check_modes, split_images, split_per_image, to_candidates
from fgvp_kernels.mask_stacks import NoMasks


def masked_images(images: Any, masks: Any, boxes: Any, modes: Sequence[str]) -> list[MaskedImage]:
    """Return the images of a call with their candidates, on the CPU.

    Args:
        images, masks, boxes: As of ``render_batch``; an image may have no candidate here.
            ``MaskLogits`` are thresholded at the size of the image.
        modes: Canonical names of the modes that will be drawn.

    Raises:
        TypeError, ValueError: As of ``render_batch``; the message names the argument.
    """
    parts, batched = split_images(images)
    candidates = to_candidates(
        parts,
        split_per_image(masks, len(parts), batched, "masks"),
        split_per_image(boxes, len(parts), batched, "boxes"),
        batched,
        torch.device("cpu"),
    )
    check_modes([Mode(mode) for mode in modes], candidates)
    return [_masked_image(image) for image in candidates]


def image_pixels(images: Any) -> tuple[list[NDArray[Any]], bool]:
    """Return the images ``[H, W, 3]`` of a call, and whether it was a batch.

    Raises:
        TypeError, ValueError: As of ``render_batch``; the message names the argument.
    """
    parts, batched = split_images(images)
    # A box each, since the door asks for candidates; nothing is drawn of it.
    nothing, boxes = [None] * len(parts), [[0.0, 0.0, 0.0, 0.0]] * len(parts)
    candidates = to_candidates(parts, nothing, boxes, batched, torch.device("cpu"))
    return [_pixels(image.image) for image in candidates], batched


def as_levels(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return pixels, uint8 or float in 0 to 1, as uint8, which SAM takes."""
    if pixels.dtype == np.uint8:
        return pixels
    levels: NDArray[np.uint8] = np.rint(pixels.clip(0, 1) * 255).astype(np.uint8)
    return levels


def _masked_image(image: Candidates) -> MaskedImage:
    count, size = image.masks.count, image.size
    boxed = isinstance(image.masks, NoMasks)
    masks = no_masks(count, size) if boxed else image.masks.dense(0, count)  # [N, H, W]
    boxes = image.masks.tight_boxes if image.given_boxes is None else image.given_boxes  # [N, 4]
    return MaskedImage(_pixels(image.image), masks.detach(), as_boxes(boxes))


def as_boxes(boxes: torch.Tensor) -> tuple[Box, ...]:
    """Return boxes ``[N, 4]`` as numbers."""
    return tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in boxes.tolist())


def _pixels(image: torch.Tensor) -> NDArray[Any]:
    if image.dtype == torch.bfloat16:  # which NumPy does not have
        image = image.float()
    pixels: NDArray[Any] = image.detach().permute(1, 2, 0).contiguous().numpy()
    return pixels
