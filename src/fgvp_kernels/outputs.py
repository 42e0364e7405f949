"""The tensor that the pictures are written into: a new one, or the caller's."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from fgvp_kernels.batch import Candidates
from fgvp_kernels.mask_stacks import DenseMasks

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
    if tuple(out.shape) != shape:
        raise ValueError(f"out must have shape {list(shape)}, got {list(out.shape)}")
    if out.dtype != dtype or out.device != device:
        raise ValueError(f"out must be {dtype} on {device}, got {out.dtype} on {out.device}")
    if not out.is_contiguous():
        raise ValueError("out must be contiguous, got a strided tensor")
    if out.requires_grad and torch.is_grad_enabled():
        raise ValueError("out must not require gradients, since it is written into")


def check_apart(out: torch.Tensor, candidates: Sequence[Candidates]) -> None:
    """Refuse an ``out`` in the memory of what is read while it is written."""
    start, stop = _span(out)
    for image in candidates:
        read = {"images": image.image}
        if isinstance(image.masks, DenseMasks):
            read["masks"] = image.masks.masks
        for name, tensor in read.items():
            first, last = _span(tensor)
            if out.device == tensor.device and start < last and first < stop:
                raise ValueError(f"out must not share memory with {name}")


def _span(tensor: torch.Tensor) -> tuple[int, int]:
    """First address of a tensor's values and the one after the last."""
    if tensor.numel() == 0:
        return (0, 0)
    steps = sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    start = tensor.data_ptr()
    return (start, start + (steps + 1) * tensor.element_size())
