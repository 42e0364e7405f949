"""The tensor that the pictures are written into: a new one, or the caller's."""

from __future__ import annotations

import math

import numpy as np
import torch

from fgvp_kernels.batch import RenderBatch
from fgvp_kernels.mask_stacks import DenseMasks, LogitMasks, PackedMaskStack
from fgvp_kernels.value_checks import check_dense

_HUGE_PAGE = 2 << 20  # bytes
# NumPy asks the system for huge pages for arrays of so many bytes.
_HUGE_PAGES_FROM = 4 << 20


def allocate(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Return a new tensor of any values."""
    if device.type != "cpu" or 0 in shape:
        return torch.empty(shape, dtype=dtype, device=device)
    # Touching ordinary pages for the first time takes longer than writing the pictures.
    size = math.prod(shape) * dtype.itemsize
    if _HUGE_PAGE // 2 <= size < _HUGE_PAGES_FROM:
        # What is asked for and not touched costs nothing; a page that is touched is cleared whole.
        memory = np.empty(_HUGE_PAGES_FROM + _HUGE_PAGE, np.uint8)
        start = -memory.ctypes.data % _HUGE_PAGE
        memory = memory[start : start + size]
    else:
        memory = np.empty(size, np.uint8)
    return torch.from_numpy(memory).view(dtype).reshape(shape)


def check_out(
    out: object, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> None:
    """Raise TypeError or ValueError unless ``out`` can take the pictures."""
    if not isinstance(out, torch.Tensor):
        raise TypeError(f"out must be a tensor, got {type(out).__name__}")
    check_dense("out", out)
    if tuple(out.shape) != shape:
        raise ValueError(f"out must have shape {list(shape)}, got {list(out.shape)}")
    if out.dtype != dtype or out.device != device:
        raise ValueError(f"out must be {dtype} on {device}, got {out.dtype} on {out.device}")
    if not out.is_contiguous():
        raise ValueError("out must be contiguous, got a strided tensor")
    if out.requires_grad and torch.is_grad_enabled():
        raise ValueError("out must not require gradients, since it is written into")


def check_apart(out: torch.Tensor, batch: RenderBatch) -> None:
    """Refuse an ``out`` in the memory of what is read while it is written."""
    options, read = batch.settings.options, []
    for name, color in (("line_color", batch.line_color), ("tint_color", batch.tint_color)):
        if isinstance(getattr(options, name), torch.Tensor):
            read.append((name, color))
    for image in batch.images:
        read.append(("images", image.image))
        masks = image.masks
        if isinstance(masks, DenseMasks):
            read.append(("masks", masks.masks))
        elif isinstance(masks, PackedMaskStack):
            read.append(("masks", masks.bits))
        elif isinstance(masks, LogitMasks):
            read.append(("masks", masks.logits))
        if image.given_boxes is not None:
            read.append(("boxes", image.given_boxes))
    start, stop = _span(out)
    for name, tensor in read:
        first, last = _span(tensor)
        if out.device == tensor.device and start < last and first < stop:
            raise ValueError(f"out must not share memory with {name}")


def _span(tensor: torch.Tensor) -> tuple[int, int]:
    """First address of a tensor's values and the one after the last."""
    if tensor.numel() == 0:
        return (0, 0)
    if tensor.is_contiguous():
        steps = tensor.numel() - 1
    else:
        sides = zip(tensor.shape, tensor.stride(), strict=True)
        steps = sum((length - 1) * step for length, step in sides)
    start = tensor.data_ptr()
    return (start, start + (steps + 1) * tensor.element_size())
