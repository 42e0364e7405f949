"""Masks of one image in any form that a caller may have them in, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from fgvp_kernels.frames import Size
from fgvp_kernels.mask_forms import MaskLogits, PackedMasks, tensor_of
from fgvp_kernels.mask_stacks import DenseMasks, LogitMasks, MaskStack, PackedMaskStack, RleMasks
from fgvp_kernels.rle import runs_of
from fgvp_kernels.value_checks import FLOATS, ValueChecks, check_dense


def to_masks(
    masks: object, name: str, size: Size, device: torch.device, checks: ValueChecks
) -> MaskStack:
    """Return the masks of one image of size (H, W), in any form, as a stack."""
    if isinstance(masks, PackedMasks):
        _check_mask_size(name, masks.shape[1:], size)
        return PackedMaskStack(masks, device)
    if isinstance(masks, MaskLogits):
        _check_mask_size(f"{name}.image_size", masks.image_size, size)
        return LogitMasks(masks, device)
    if isinstance(masks, Mapping):
        masks = [masks]
    if isinstance(masks, Sequence) and not isinstance(masks, (str, bytes)):
        # What SAM's generator gives, and annotations, are dicts that hold a mask or a COCO RLE.
        parts = [
            part["segmentation"] if isinstance(part, Mapping) and "segmentation" in part else part
            for part in masks
        ]
        if not any(isinstance(part, (torch.Tensor, np.ndarray)) for part in parts):
            runs = [runs_of(part, f"{name}[{i}]", size) for i, part in enumerate(parts)]
            return RleMasks(runs, size, device)
        masks = stack_masks(parts, name)
    if isinstance(masks, np.ndarray):
        masks = tensor_of(masks, name)
    if not isinstance(masks, torch.Tensor):
        raise TypeError(
            f"{name} must be a tensor or array [N, H, W], a list of masks [H, W] or COCO RLE "
            f"dicts, PackedMasks or MaskLogits; got {type(masks).__name__}"
        )
    check_dense(name, masks)
    if masks.ndim == 2:
        masks = masks[None]
    if masks.ndim != 3:
        raise ValueError(f"{name} must be [N, H, W] or one mask [H, W], got {list(masks.shape)}")
    _check_mask_size(name, tuple(masks.shape[1:]), size)
    _check_mask_values(name, masks, checks)
    return DenseMasks(masks.to(device))


def stack_masks(masks: Sequence[Any], name: str) -> torch.Tensor:
    """Return single masks ``[H, W]``, tensors or arrays of one dtype, as ``[N, H, W]``."""
    tensors: list[torch.Tensor] = []
    for i, mask in enumerate(masks):
        if isinstance(mask, np.ndarray):
            mask = tensor_of(mask, f"{name}[{i}]")
        if not isinstance(mask, torch.Tensor):
            raise TypeError(
                f"{name}[{i}] must be a mask [H, W], as others of the list are, "
                f"got {type(mask).__name__}"
            )
        check_dense(f"{name}[{i}]", mask)
        if mask.ndim != 2:
            raise ValueError(f"{name}[{i}] must be one mask [H, W], got {list(mask.shape)}")
        first = tensors[0] if tensors else mask
        if (mask.shape, mask.dtype, mask.device) != (first.shape, first.dtype, first.device):
            raise ValueError(
                f"{name} as a list must hold masks of one size, dtype and device; {name}[0] is "
                f"{list(first.shape)} {first.dtype} on {first.device}, {name}[{i}] "
                f"{list(mask.shape)} {mask.dtype} on {mask.device}"
            )
        tensors.append(mask)
    return torch.stack(tensors)  # [N, H, W]


def _check_mask_size(name: str, got: tuple[int, ...], size: Size) -> None:
    if tuple(got) != size:
        raise ValueError(
            f"{name} must have the size of the image, (H, W) = {size}; got {tuple(got)}"
        )


def _check_mask_values(name: str, masks: torch.Tensor, checks: ValueChecks) -> None:
    if masks.dtype == torch.bool:
        return
    if masks.dtype == torch.uint8:

        def judge_bytes(low: float, high: float) -> None:
            if not (low >= 0 and high <= 1) and not (low >= -1 and high <= 0):
                raise ValueError(
                    f"{name} as uint8 must hold only 0 and 1, or only 0 and 255; got other values"
                )

        checks.add(masks.view(torch.int8), judge_bytes)  # 255 is -1: one range tells both
    elif masks.dtype in FLOATS:

        def judge(low: float, high: float) -> None:
            if not (low >= 0.0 and high <= 1.0):
                raise ValueError(
                    f"{name} as floating point must lie in [0, 1], got values from {low:g} to "
                    f"{high:g}; threshold logits first, or pass them as MaskLogits"
                )

        checks.add(masks, judge)
    else:
        raise TypeError(
            f"{name} must be bool, uint8 or floating point of 16, 32 or 64 bits, got {masks.dtype}"
        )
