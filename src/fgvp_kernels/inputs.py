"""The door: images, masks and boxes of a call are checked here, once, and brought into one form.

Wrong types raise TypeError, wrong values ValueError; the message names the argument, what was
expected and what came. Nothing past this module checks again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from fgvp_kernels.batch import Candidates
from fgvp_kernels.device_tables import content_tables
from fgvp_kernels.frames import Size
from fgvp_kernels.mask_forms import tensor_of
from fgvp_kernels.mask_inputs import to_masks
from fgvp_kernels.mask_stacks import NoMasks
from fgvp_kernels.modes import Mode, Region
from fgvp_kernels.value_checks import FLOATS, ValueChecks, check_dense

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
        "images must be an image (tensor [3, H, W], array [H, W, 3], PIL image), a sequence "
        f"of images or a tensor [B, 3, H, W]; got {type(images).__name__}"
    )


def split_per_image(value: object, count: int, batched: bool, name: str) -> list[Any]:
    """Return ``masks`` or ``boxes`` as one entry per image; None for each if there are none."""
    if value is None or not batched:
        return [value] * count
    if isinstance(value, (torch.Tensor, np.ndarray)):
        # Without an axis of images there is no telling which image a mask is of.
        whole = "[B, N, H, W]" if name == "masks" else "[B, N, 4]"
        if value.ndim != whole.count(",") + 1:
            raise ValueError(
                f"{name} of a batch must be {whole} or a sequence with one entry per image, "
                f"got {list(value.shape)}"
            )
    elif not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        raise TypeError(
            f"{name} must be a sequence with one entry for each of {count} images, "
            f"got {type(value).__name__}"
        )
    if len(value) != count:
        raise ValueError(
            f"{name} must have one entry per image: expected {count}, got {len(value)}"
        )
    return list(value)


def to_candidates(
    images: Sequence[Any],
    masks: Sequence[Any],
    boxes: Sequence[Any],
    batched: bool,
    device: torch.device | None = None,
) -> tuple[Candidates, ...]:
    """Return B images with their candidates, all values checked.

    Args:
        images: B images.
        masks, boxes: B entries each; None where there are none.
        batched: Whether messages tell the images apart.
        device: Where to render; None: where the images are.
    """
    candidates: list[Candidates] = []
    first, checks = 0, ValueChecks()
    for i, (image, mask, box) in enumerate(zip(images, masks, boxes, strict=True)):
        number = f"[{i}]" if batched else ""
        picture = to_image(image, f"images{number}", device, checks)
        place = picture.device
        if candidates and place != candidates[0].image.device:
            raise ValueError(
                f"images must be on one device: images[0] is on {candidates[0].image.device}, "
                f"images[{i}] on {place}; or say which with device="
            )
        if mask is None and box is None:
            raise ValueError(f"masks{number} must be given where boxes are not, got None")
        size = (picture.shape[1], picture.shape[2])
        stack = None if mask is None else to_masks(mask, f"masks{number}", size, place, checks)
        count = None if stack is None else stack.count
        given = None
        if box is not None:
            given = to_boxes(box, f"boxes{number}", (count, size), place, checks)
        if stack is None:
            assert given is not None
            stack = NoMasks(len(given), size, place)
        candidates.append(Candidates(picture, stack, given, first))
        first += stack.count
    checks.run()
    return tuple(candidates)


def check_modes(modes: Sequence[Mode], candidates: Sequence[Candidates]) -> None:
    """Raise ValueError if a mode draws masks and there are none."""
    if any(isinstance(image.masks, NoMasks) for image in candidates):
        for mode in modes:
            if mode.spec.region is Region.MASK:
                raise ValueError(
                    f"masks must be given for mode {mode.value!r}, which draws them, got None; "
                    "boxes alone are enough for modes of boxes, circles and points, for 'none', "
                    "'crop' and 'crop_tint'"
                )


def to_image(
    image: object, name: str, device: torch.device | None, checks: ValueChecks
) -> torch.Tensor:
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
        if image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"{name} as an array must be [H, W, 3], got {list(image.shape)}")
        image = tensor_of(image.transpose(2, 0, 1), name)
    if not isinstance(image, torch.Tensor):
        raise TypeError(
            f"{name} must be a tensor [3, H, W], an array [H, W, 3] or a PIL image, "
            f"got {type(image).__name__}"
        )
    check_dense(name, image)
    if image.ndim != 3 or image.shape[0] != 3 or 0 in image.shape:
        raise ValueError(f"{name} must be [3, H, W] with H, W >= 1, got {list(image.shape)}")
    if image.dtype != torch.uint8:
        if image.dtype not in FLOATS:
            raise TypeError(
                f"{name} must be uint8 or floating point of 16, 32 or 64 bits, got {image.dtype}"
            )

        def judge(low: float, high: float) -> None:
            if not (low >= -_FLOAT_SLACK and high <= 1 + _FLOAT_SLACK):
                raise ValueError(
                    f"{name} as floating point must lie in [0, 1], got values from {low:g} to "
                    f"{high:g}"
                )

        checks.add(image, judge)
    return image.to(device) if device is not None else image


def to_boxes(
    boxes: object,
    name: str,
    expected: tuple[int | None, Size],
    device: torch.device,
    checks: ValueChecks,
) -> torch.Tensor:
    """Return the boxes of one image as float32 ``[N, 4]`` xyxy.

    Args:
        boxes: ``[N, 4]``, or one box ``[4]``, as numbers, an array or a tensor.
        name: For messages.
        expected: How many masks there are, or None; and (H, W) of the image.
        device: Where the boxes shall be.
        checks: Gets those of the values.
    """
    count, size = expected
    if not isinstance(boxes, torch.Tensor):
        try:
            with np.errstate(over="ignore"):  # infinity is refused below
                array = np.asarray(boxes).astype(np.float32, casting="same_kind")
            boxes = tensor_of(array, name)
        except (TypeError, ValueError):
            raise TypeError(
                f"{name} must be numbers [N, 4] (x0, y0, x1, y1), got {type(boxes).__name__}"
            ) from None
    check_dense(name, boxes)
    if boxes.is_complex():
        raise TypeError(f"{name} must be real numbers, got {boxes.dtype}")
    if count in (None, 0) and boxes.numel() == 0:
        boxes = boxes.reshape(0, 4)
    if boxes.ndim == 1:
        boxes = boxes[None]
    if boxes.ndim != 2 or boxes.shape[1] != 4 or count not in (None, len(boxes)):
        masks = "" if count is None else f" with one box for each of {count} masks"
        raise ValueError(f"{name} must be [N, 4]{masks}, got {list(boxes.shape)}")
    boxes = boxes.detach().to(torch.float32)

    def judge_corners(low: float, high: float) -> None:
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError(f"{name} must be finite, got NaN or infinity")
        # Looked at again, which makes the host wait, only where they are surely wrong or tiny.
        if low >= 0 and high <= 1 and max(size) > 1 and bool((boxes != boxes.trunc()).any()):
            raise ValueError(
                f"{name} must be in pixels of the image, (H, W) = {size}, got values from {low:g} "
                f"to {high:g}: normalised? Multiply x by W and y by H"
            )

    def judge_sides(low: float, high: float) -> None:
        if low < 0:
            raise ValueError(
                f"{name} must be (x0, y0, x1, y1) with x0 <= x1 and y0 <= y1; got a box with a "
                "negative side (is it x, y, width, height?)"
            )

    checks.add(boxes, judge_corners)
    checks.add(boxes[:, 2:] - boxes[:, :2], judge_sides)
    if boxes.device == device:
        return boxes
    return content_tables([boxes.numpy(force=True)], device)[0]
