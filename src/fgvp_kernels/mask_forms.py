"""Mask forms a caller may pass besides plain arrays: bit-packed masks and SAM's logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch


def tensor_of(array: np.ndarray[Any, Any]) -> torch.Tensor:
    """The array as a tensor; copied where torch would not take it, or not without a warning."""
    array = np.ascontiguousarray(array)
    return torch.from_numpy(array if array.flags.writeable else array.copy())


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
        shape = tuple(int(side) for side in self.shape)
        if len(shape) != 3:
            raise ValueError(f"PackedMasks.shape must be (N, H, W), got {self.shape!r}")
        if not isinstance(self.bits, (torch.Tensor, np.ndarray)):
            raise TypeError(
                f"PackedMasks.bits must be a tensor or an array, got {type(self.bits).__name__}"
            )
        if str(self.bits.dtype).split(".")[-1] != "uint8":
            raise TypeError(f"PackedMasks.bits must be uint8, got {self.bits.dtype}")
        expected = (shape[0], shape[1], (shape[2] + 7) // 8)
        if tuple(self.bits.shape) != expected:
            raise ValueError(
                f"PackedMasks.bits must be {list(expected)} for masks of shape {list(shape)}, "
                f"got {list(self.bits.shape)}"
            )
        object.__setattr__(self, "shape", shape)

    @classmethod
    def pack(cls, masks: torch.Tensor | np.ndarray[Any, Any]) -> PackedMasks:
        """Pack bool masks ``[N, H, W]``; any non-zero value counts as set."""
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
        if not self.logits.is_floating_point():
            raise TypeError(f"MaskLogits.logits must be floating point, got {self.logits.dtype}")
        if self.logits.ndim != 3:
            raise ValueError(f"MaskLogits.logits must be [N, h, w], got {list(self.logits.shape)}")
        for name in ("input_size", "image_size"):
            size = getattr(self, name)
            try:
                height, width = (int(side) for side in size)
            except (TypeError, ValueError):
                raise ValueError(
                    f"MaskLogits.{name} must be (height, width), got {size!r}"
                ) from None
            if height < 1 or width < 1:
                raise ValueError(f"MaskLogits.{name} must be positive, got {size!r}")
            object.__setattr__(self, name, (height, width))
        if self.at not in ("canvas", "image"):
            raise ValueError(f"MaskLogits.at must be 'canvas' or 'image', got {self.at!r}")
