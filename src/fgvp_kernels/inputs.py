"""The door: every argument of a call is checked here, once, and brought into one form.

Wrong types raise TypeError, wrong values ValueError; the message names the argument, what was
expected and what came. Nothing past this module checks again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from fgvp_kernels.frames import Size
from fgvp_kernels.mask_forms import MaskLogits, PackedMasks, tensor_of
from fgvp_kernels.mask_stacks import DenseMasks, LogitMasks, MaskStack, PackedMaskStack, RleMasks
from fgvp_kernels.rle import runs_of

# Float pictures may overshoot [0, 1] by what earlier float arithmetic leaves behind.
_FLOAT_SLACK = 1e-3


def split_images(images: object) -> tuple[list[Any], bool]:
    """Return the images of a call as a list, and whether it was a batch rather than one image."""
    if isinstance(images, torch.Tensor) and images.ndim == 4 and len(images):
        return list(images), True
    if isinstance(images, (torch.Tensor, np.ndarray, Image.Image)):
        return [images], False
    if isinstance(images, Sequence) and not isinstance(images, (str, bytes)):
        if not images:
            raise ValueError("images must hold at least one image, got an empty sequence")
        return list(images), True
    raise TypeError(
        "images must be an image (tensor [3, H, W], uint8 array [H, W, 3], PIL image), a sequence "
        f"of images or a tensor [B, 3, H, W]; got {type(images).__name__}"
    )


def to_image(image: object, name: str, device: torch.device | None) -> torch.Tensor:
    """Return one image as a tensor ``[3, H, W]``, uint8 or float in [0, 1]."""
    if isinstance(image, Image.Image):
        if image.mode not in ("RGB", "L", "1", "P", "CMYK", "YCbCr"):
            raise ValueError(
                f"{name} must be an RGB picture, got a PIL image of mode {image.mode!r}; "
                "convert it first, so that nothing (an alpha channel, say) is dropped unseen"
            )
        if "transparency" in image.info:
            raise ValueError(
                f"{name} must be an RGB picture, got a PIL image with transparent colours; "
                "convert it first, so that they are not dropped unseen"
            )
        image = np.array(image.convert("RGB"))
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8:
            raise TypeError(f"{name} as an array must be uint8 [H, W, 3], got {image.dtype}")
        if image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"{name} as an array must be [H, W, 3], got {list(image.shape)}")
        image = tensor_of(image.transpose(2, 0, 1))
    if not isinstance(image, torch.Tensor):
        raise TypeError(
            f"{name} must be a tensor [3, H, W], a uint8 array [H, W, 3] or a PIL image, "
            f"got {type(image).__name__}"
        )
    _check_dense(name, image)
    if image.ndim != 3 or image.shape[0] != 3 or 0 in image.shape:
        raise ValueError(f"{name} must be [3, H, W] with H, W >= 1, got {list(image.shape)}")
    if image.dtype != torch.uint8:
        if not image.is_floating_point():
            raise TypeError(f"{name} must be uint8 or floating point, got {image.dtype}")
        low, high = (float(bound) for bound in torch.aminmax(image.detach()))
        if not (low >= -_FLOAT_SLACK and high <= 1 + _FLOAT_SLACK):
            raise ValueError(
                f"{name} as floating point must lie in [0, 1], got values from {low:g} to {high:g}"
            )
    return image.to(device) if device is not None else image


def _check_dense(name: str, tensor: torch.Tensor) -> None:
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta:
        kind = "meta" if tensor.is_meta else "quantized" if tensor.is_quantized else "sparse"
        raise TypeError(f"{name} must be a dense tensor that holds values, got a {kind} one")


def split_per_image(value: object, count: int, batched: bool, name: str) -> list[Any]:
    """Return ``masks`` or ``boxes`` as one entry per image."""
    if not batched:
        return [value]
    # A tensor or array of all images, [B, N, ...], splits along its first axis like a sequence.
    if isinstance(value, (Sequence, torch.Tensor, np.ndarray)) and not isinstance(value, str):
        if len(value) != count:
            raise ValueError(
                f"{name} must have one entry per image: expected {count}, got {len(value)}"
            )
        return list(value)
    raise TypeError(
        f"{name} must be a sequence with one entry for each of {count} images, "
        f"got {type(value).__name__}"
    )


def to_masks(masks: object, name: str, size: Size, device: torch.device) -> MaskStack:
    """Return the masks of one image of size (H, W), in any form, as a stack."""
    if isinstance(masks, PackedMasks):
        _check_mask_size(name, masks.shape[1:], size)
        return PackedMaskStack(masks, device)
    if isinstance(masks, MaskLogits):
        _check_mask_size(f"{name}.image_size", masks.image_size, size)
        return LogitMasks(masks, device)
    if isinstance(masks, Sequence) and not isinstance(masks, (str, bytes)):
        if any(isinstance(rle, (torch.Tensor, np.ndarray)) for rle in masks):
            raise TypeError(
                f"{name} as a list must hold COCO RLE dicts; stack arrays and tensors to [N, H, W]"
            )
        runs = [runs_of(rle, f"{name}[{i}]", size) for i, rle in enumerate(masks)]
        return RleMasks(runs, size, device)
    if isinstance(masks, np.ndarray):
        masks = tensor_of(masks)
    if not isinstance(masks, torch.Tensor):
        raise TypeError(
            f"{name} must be a tensor or array [N, H, W], a list of COCO RLE dicts, PackedMasks or "
            f"MaskLogits; got {type(masks).__name__}"
        )
    _check_dense(name, masks)
    if masks.ndim != 3:
        raise ValueError(f"{name} must be [N, H, W], got {list(masks.shape)}")
    _check_mask_size(name, tuple(masks.shape[1:]), size)
    _check_mask_values(name, masks)
    return DenseMasks(masks.to(device))


def _check_mask_size(name: str, got: tuple[int, ...], size: Size) -> None:
    if tuple(got) != size:
        raise ValueError(
            f"{name} must have the size of the image, (H, W) = {size}; got {tuple(got)}"
        )


def _check_mask_values(name: str, masks: torch.Tensor) -> None:
    if masks.dtype == torch.bool:
        return
    if masks.dtype == torch.uint8:
        # 0 and 255 become 1 and 0 when 1 is added, everything else becomes more than 1.
        if masks.numel() and masks.max() > 1 and (masks + 1).max() > 1:
            raise ValueError(
                f"{name} as uint8 must hold only 0 and 1, or only 0 and 255; got other values"
            )
    elif masks.is_floating_point():
        if masks.numel():
            low, high = (float(bound) for bound in torch.aminmax(masks.detach()))
            if not (low >= 0.0 and high <= 1.0):
                raise ValueError(
                    f"{name} as floating point must lie in [0, 1], got values from {low:g} to "
                    f"{high:g}; threshold logits first, or pass them as MaskLogits"
                )
    else:
        raise TypeError(f"{name} must be bool, uint8 or floating point, got {masks.dtype}")


def to_boxes(boxes: object, name: str, count: int, device: torch.device) -> torch.Tensor:
    """Return the boxes of one image as float32 ``[N, 4]`` xyxy."""
    if not isinstance(boxes, torch.Tensor):
        try:
            with np.errstate(over="ignore"):  # infinity is refused below
                boxes = tensor_of(np.asarray(boxes).astype(np.float32, casting="same_kind"))
        except (TypeError, ValueError):
            raise TypeError(
                f"{name} must be numbers [N, 4] (x0, y0, x1, y1), got {type(boxes).__name__}"
            ) from None
    _check_dense(name, boxes)
    if boxes.is_complex():
        raise TypeError(f"{name} must be real numbers, got {boxes.dtype}")
    if count == 0 and boxes.numel() == 0:
        boxes = boxes.reshape(0, 4)
    if tuple(boxes.shape) != (count, 4):
        raise ValueError(
            f"{name} must be [N, 4] with one box for each of {count} masks, got {list(boxes.shape)}"
        )
    boxes = boxes.detach().to(torch.float32)
    corners = boxes.numpy(force=True)
    if not np.isfinite(corners).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    if (corners[:, 2:] < corners[:, :2]).any():
        raise ValueError(
            f"{name} must be (x0, y0, x1, y1) with x0 <= x1 and y0 <= y1; got a box with a "
            "negative side (is it x, y, width, height?)"
        )
    return boxes.to(device)
