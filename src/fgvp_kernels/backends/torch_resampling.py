"""From the canvas, where prompts are drawn, to the scaled frame: linear resampling in plain torch.

Nothing is resampled where the two have one size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fgvp_kernels.axis_operators import resize_matrix_on
from fgvp_kernels.frames import Frame, Order, bilinear_taps


@dataclass(frozen=True, eq=False)
class SquashTaps:
    """The canvas axis that a squash shortens, and the two canvas pixels behind each output pixel.

    The canvas has the output's size along the other axis, so no more than two are mixed.
    """

    axis: int
    first: torch.Tensor  # int64 [target]
    second: torch.Tensor  # int64 [target]
    fraction: torch.Tensor  # float, broadcasts over [n, 3, h, w]

    @classmethod
    def of(cls, frame: Frame, like: torch.Tensor) -> SquashTaps:
        """The taps of ``frame``, on the device and in the dtype of ``like``."""
        along_height = frame.canvas[0] != frame.scaled[0]
        which = 0 if along_height else 1
        taps = bilinear_taps(frame.canvas[which], frame.scaled[which])
        fraction = taps.fraction.to(like)
        return cls(
            axis=-2 if along_height else -1,
            first=taps.first.to(like.device),
            second=taps.second.to(like.device),
            fraction=fraction[:, None] if along_height else fraction,
        )

    def split(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The first and the second canvas pixel of each output pixel."""
        if maps.device.type == "cpu" and self.axis == -1 and not maps.requires_grad:
            values = maps.numpy()  # NumPy takes half the time of index_select
            first, second = (values.take(taps, -1) for taps in (self.first, self.second))
            return torch.from_numpy(first), torch.from_numpy(second)
        return maps.index_select(self.axis, self.first), maps.index_select(self.axis, self.second)

    def split_window(
        self, bits: np.ndarray[Any, Any], rows: slice, columns: slice
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """:meth:`split` of ``bits [n, h, w]`` on the CPU, for the output pixels of one window."""
        first, second = self.first.numpy(), self.second.numpy()
        # Not by brackets, which would leave the pixels of a row apart in memory.
        if self.axis == -1:
            bits = bits[:, rows]
            return bits.take(first[columns], 2), bits.take(second[columns], 2)
        bits = bits[:, :, columns]
        return bits.take(first[rows], 1), bits.take(second[rows], 1)

    def output_boxes(self, boxes: torch.Tensor) -> torch.Tensor:
        """Boxes ``[n, 4]`` xyxy of the output pixels that sample any pixel of canvas ``boxes``."""
        low = 0 if self.axis == -1 else 1
        edges = list(boxes.unbind(1))
        edges[low] = torch.searchsorted(self.second, edges[low].contiguous())
        edges[low + 2] = torch.searchsorted(self.first, edges[low + 2].contiguous())
        return torch.stack(edges, 1)


@dataclass(frozen=True, eq=False)
class BicubicMatrices:
    """Antialiased bicubic resampling, ``rows · X · columnsᵀ``; it may overshoot 0 to 255.

    Attributes:
        rows: float ``[h, H]``.
        columns: float ``[w, W]``.
    """

    rows: torch.Tensor
    columns: torch.Tensor

    @classmethod
    def of(cls, frame: Frame, like: torch.Tensor) -> BicubicMatrices:
        """The matrices of ``frame``, on the device and in the dtype of ``like``."""
        rows, columns = (
            resize_matrix_on(source, target, like.device, like.dtype)
            for source, target in zip(frame.canvas, frame.scaled, strict=True)
        )
        return cls(rows, columns)


Resampling = SquashTaps | BicubicMatrices | None


def resampling_of(frame: Frame, like: torch.Tensor) -> Resampling:
    """How a drawing on the canvas becomes ``frame.scaled``; None where they are the same."""
    if frame.scaled == frame.canvas:
        return None
    kind = SquashTaps if frame.order is Order.RESIZE_FIRST else BicubicMatrices
    return kind.of(frame, like)
