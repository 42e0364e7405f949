"""Mask forms a caller may pass besides plain arrays: bit-packed masks and SAM's logits."""

from __future__ import annotations

from dataclasses import dataclass
from operator import index
from typing import Any, Literal

import numpy as np
import torch

from fgvp_kernels.value_checks import FLOATS, check_dense, shown


def tensor_of(array: np.ndarray[Any, Any], name: str) -> torch.Tensor:
    """The array as a tensor; copied where torch would not take it, or not without a warning.

    Raises:
        TypeError: Torch has no such numbers, which are called ``name``.
    """
    array = np.ascontiguousarray(array)
    try:
        return torch.from_numpy(array if array.flags.writeable else array.copy())
    except (TypeError, ValueError):  # objects, text, another byte order
        raise TypeError(
            f"{name} must hold numbers that torch can read, got an array of {array.dtype}"
        ) from None


def _sides(name: str, value: Any, expected: str) -> tuple[int, ...]:
    """``value`` as ints, as many as ``expected`` names."""
    try:
        sides = tuple([index(side) for side in value])
    except TypeError:
        sides = ()
    if len(sides) != expected.count(",") + 1:
        raise ValueError(f"{name} must be {expected}, got {shown(value)}")
    return sides


@dataclass(frozen=True, eq=False)
class PackedMasks:
    """Masks of one image with eight pixels in a byte, as ``np.packbits(masks, axis=-1)`` packs.

    Attributes:
        bits: uint8 ``[N, H, ceil(W / 8)]`` tensor or array; the first pixel is the highest bit.
        shape: (N, H, W) of the masks.
    """

    bits: torch.Tensor | np.ndarray[Any, Any]
    shape: tuple[int, int, int]

    def __post_init__(self) -> None:
        shape = _sides("PackedMasks.shape", self.shape, "(N, H, W)")
        if not isinstance(self.bits, (torch.Tensor, np.ndarray)):
            raise TypeError(
                f"PackedMasks.bits must be a tensor or an array, got {type(self.bits).__name__}"
            )
        if str(self.bits.dtype).split(".")[-1] != "uint8":
            raise TypeError(f"PackedMasks.bits must be uint8, got {self.bits.dtype}")
        if isinstance(self.bits, torch.Tensor):
            check_dense("PackedMasks.bits", self.bits)
        expected = (shape[0], shape[1], (shape[2] + 7) // 8)
        if tuple(self.bits.shape) != expected:
            raise ValueError(
                f"PackedMasks.bits must be {list(expected)} for masks of shape {list(shape)}, "
                f"got {list(self.bits.shape)}"
            )
        object.__setattr__(self, "shape", shape)

    @classmethod
    def pack(cls, masks: torch.Tensor | np.ndarray[Any, Any]) -> PackedMasks:
        """Pack bool masks ``[N, H, W]``; any non-zero value counts as set.

        Raises:
            TypeError, ValueError: ``masks`` is no tensor or array, or not ``[N, H, W]``.
        """
        if not isinstance(masks, (torch.Tensor, np.ndarray)):
            raise TypeError(f"masks must be a tensor or array, got {type(masks).__name__}")
        if masks.ndim != 3:
            raise ValueError(f"masks must be [N, H, W], got {list(masks.shape)}")
        array = masks.numpy(force=True) if isinstance(masks, torch.Tensor) else masks
        bits = torch.from_numpy(np.packbits(array != 0, axis=-1))
        device = masks.device if isinstance(masks, torch.Tensor) else None
        return cls(bits.to(device), tuple(array.shape))


@dataclass(frozen=True, eq=False)
class MaskLogits:
    """Masks of one image as SAM's decoder gives them, before any upsampling.

    Attributes:
        logits: float ``[N, h, w]``, SAM's ``low_res_masks`` (h = w = 256 for its own models).
        input_size: (height, width) of the resized image inside SAM's padded square input, whose
            side is the larger of the two.
        image_size: (height, width) of the original image.
        at: Where the logits are thresholded at 0: ``"image"``, at the original size as
            ``Sam.postprocess_masks`` does, after which the mask is treated as any binary mask;
            or ``"canvas"``, once, in the frame in which the prompt is drawn.
    """

    logits: torch.Tensor
    input_size: tuple[int, int]
    image_size: tuple[int, int]
    at: Literal["canvas", "image"] = "canvas"

    def __post_init__(self) -> None:
        if not isinstance(self.logits, torch.Tensor):
            raise TypeError(f"MaskLogits.logits must be a tensor, got {type(self.logits).__name__}")
        check_dense("MaskLogits.logits", self.logits)
        if self.logits.dtype not in FLOATS:
            raise TypeError(
                "MaskLogits.logits must be floating point of 16, 32 or 64 bits, "
                f"got {self.logits.dtype}"
            )
        if self.logits.ndim != 3:
            raise ValueError(f"MaskLogits.logits must be [N, h, w], got {list(self.logits.shape)}")
        for name in ("input_size", "image_size"):
            given = getattr(self, name)
            size = _sides(f"MaskLogits.{name}", given, "(height, width)")
            if min(size) < 1:
                raise ValueError(f"MaskLogits.{name} must be positive, got {shown(given)}")
            object.__setattr__(self, name, size)
        if self.at not in ("canvas", "image"):
            raise ValueError(f"MaskLogits.at must be 'canvas' or 'image', got {shown(self.at)}")
