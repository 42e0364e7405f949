"""From the canvas, where prompts are drawn, to the scaled frame: linear resampling in plain torch.

Nothing is resampled where the two have one size. A canvas far longer than what the output shows of
it is drawn at the pixels that the output samples and nowhere else, so that memory follows input and
output, not their ratio.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch

from fgvp_kernels.axis_operators import resize_matrix, resize_matrix_on
from fgvp_kernels.device_tables import HOST
from fgvp_kernels.frames import Frame, Order, Size, bilinear_taps

_Bits: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]


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

    def among(self, pixels: torch.Tensor) -> SquashTaps:
        """The same taps, counted among these canvas pixels: int64, ascending."""
        pixels = pixels.to(self.first.device)
        first, second = (torch.searchsorted(pixels, taps) for taps in (self.first, self.second))
        return replace(self, first=first, second=second)

    def split_window(
        self, canvas: Callable[[slice, slice], _Bits], rows: slice, columns: slice
    ) -> tuple[_Bits, _Bits]:
        """:meth:`split` on the CPU, for the output pixels of one window.

        ``canvas`` gives the bits ``[n, y, x]`` of some rows and columns of the canvas.
        """
        across = self.axis == -1
        kept = columns if across else rows
        first, second = self.first.numpy()[kept], self.second.numpy()[kept]
        sampled = slice(first[0], second[-1] + 1)
        bits = canvas(rows, sampled) if across else canvas(sampled, columns)
        # Not by brackets, which would leave the pixels of a row apart in memory.
        return bits.take(first - first[0], self.axis), bits.take(second - first[0], self.axis)

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
    def of(cls, frame: Frame, origin: tuple[int, int], like: torch.Tensor) -> BicubicMatrices:
        """The matrices of ``frame``, on the device and in the dtype of ``like``.

        Of a thin frame they have no more rows than the window at ``origin`` shows.
        """
        matrices = []
        for axis, (source, target) in enumerate(zip(frame.canvas, frame.scaled, strict=True)):
            if frame.is_thin(axis):
                shown = range(origin[axis], origin[axis] + frame.visible[axis])
                matrices.append(resize_matrix(source, target, rows=shown).to(like))
            else:
                matrices.append(resize_matrix_on(source, target, like.device, like.dtype))
        return cls(*matrices)

    def shown(self, frame: Frame, origin: tuple[int, int]) -> BicubicMatrices:
        """The rows of both that the window at ``origin`` shows."""
        parts = []
        for axis, matrix in enumerate((self.rows, self.columns)):
            start = 0 if frame.is_thin(axis) else origin[axis]
            parts.append(matrix[start : start + frame.visible[axis]])
        return BicubicMatrices(*parts)


Resampling = SquashTaps | BicubicMatrices | None


@dataclass(frozen=True, eq=False)
class View:
    """What of a frame is drawn, and how it becomes the output.

    Attributes:
        frame: The sizes of what is drawn: its canvas and scaled frame have nothing that a thin
            frame's window does not show.
        canvas: (h, w) of the whole canvas.
        rows, columns: Pixels of the whole canvas that are drawn, int64, ascending; None for all.
        resampling: From what is drawn of the canvas to what is drawn of the scaled frame.
    """

    frame: Frame
    canvas: Size
    rows: torch.Tensor | None
    columns: torch.Tensor | None
    resampling: Resampling

    @classmethod
    def of(cls, frame: Frame, origin: tuple[int, int], like: torch.Tensor) -> View:
        """The view of ``frame`` whose window has its top left corner, (y, x), at ``origin``.

        The corner counts only where the frame is thin. ``like`` has the device and the dtype.
        """
        resampling: Resampling = None
        if frame.scaled != frame.canvas and frame.order is Order.RENDER_FIRST:
            resampling = BicubicMatrices.of(frame, origin, like)
        elif frame.scaled != frame.canvas:
            resampling = SquashTaps.of(frame, like)
        pixels: list[torch.Tensor | None] = [None, None]
        canvas, scaled = [*frame.canvas], [*frame.scaled]
        for axis in (0, 1):
            if not frame.is_thin(axis):
                continue
            shown = torch.arange(origin[axis], origin[axis] + frame.visible[axis], device=HOST)
            scaled[axis] = len(shown)
            if isinstance(resampling, SquashTaps):
                shown = torch.unique(torch.cat([resampling.first, resampling.second])).cpu()
                resampling = resampling.among(shown)
            if not isinstance(resampling, BicubicMatrices):
                pixels[axis], canvas[axis] = shown, len(shown)
        drawn = replace(frame, canvas=(canvas[0], canvas[1]), scaled=(scaled[0], scaled[1]))
        return cls(drawn, frame.canvas, pixels[0], pixels[1], resampling)

    @property
    def is_part(self) -> bool:
        """Whether some of the canvas is not drawn."""
        return self.rows is not None or self.columns is not None
