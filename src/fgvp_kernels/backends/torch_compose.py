"""Composing pictures from two planes and a mask, and fitting them into the output.

The planes ``inside`` and ``outside`` and the mask ``a`` live on the canvas; with ``R`` the linear
resampling from the canvas to the output, every picture is ``R(outside + a · (inside - outside))``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch

from fgvp_kernels.axis_operators import resize_matrix_on
from fgvp_kernels.batch import Settings
from fgvp_kernels.frames import Frame, bilinear_taps
from fgvp_kernels.mask_stacks import Coverage, tight_boxes_of

_Planes = TypeVar("_Planes", torch.Tensor, np.ndarray[Any, Any])

_INTEGER_OF_SIZE = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def finish(levels: torch.Tensor, settings: Settings) -> torch.Tensor:
    """Levels ``[n, 3, h, w]`` to values of the output: normalised, in its dtype."""
    if settings.dtype == torch.uint8:
        return (levels + 0.5).floor().clamp(0, 255).to(torch.uint8)
    scale, shift = settings.affine(levels)  # [3, 1, 1]
    return torch.addcmul(shift, levels, scale).to(settings.dtype)


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
        return maps.index_select(self.axis, self.first), maps.index_select(self.axis, self.second)

    def split_window(
        self, bits: np.ndarray[Any, Any], rows: slice, columns: slice
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """:meth:`split` of ``bits [h, w]`` for the output pixels of one window."""
        first, second = self.first.numpy(), self.second.numpy()
        if self.axis == -1:
            return bits[rows, first[columns]], bits[rows, second[columns]]
        return bits[first[rows], columns], bits[second[rows], columns]

    def output_boxes(self, boxes: torch.Tensor) -> torch.Tensor:
        """Boxes ``[n, 4]`` xyxy of the output pixels that sample any pixel of canvas ``boxes``."""
        low = 0 if self.axis == -1 else 1
        edges = list(boxes.unbind(1))
        edges[low] = torch.searchsorted(self.second, edges[low].contiguous())
        edges[low + 2] = torch.searchsorted(self.first, edges[low + 2].contiguous())
        return torch.stack(edges, 1)


@dataclass(frozen=True, eq=False)
class FinishedPlanes:
    """The output's values for each answer to "is tap 0 inside, is tap 1 inside?".

    ``[1, 3, h, w]`` or ``[n, 3, h, w]`` each. Without a squash there is one tap and the two mixed
    planes are None.
    """

    inside: torch.Tensor
    outside: torch.Tensor
    first_only: torch.Tensor | None = None
    second_only: torch.Tensor | None = None


def finish_planes(
    inside: torch.Tensor, outside: torch.Tensor, taps: SquashTaps | None, settings: Settings
) -> FinishedPlanes:
    """Resample and normalise the planes of a binary mask, once for all candidates."""
    if taps is None:
        return FinishedPlanes(finish(inside, settings), finish(outside, settings))
    in_0, in_1 = taps.split(inside)
    out_0, out_1 = taps.split(outside)
    return FinishedPlanes(
        inside=finish(torch.lerp(in_0, in_1, taps.fraction), settings),
        outside=finish(torch.lerp(out_0, out_1, taps.fraction), settings),
        first_only=finish(torch.lerp(in_0, out_1, taps.fraction), settings),
        second_only=finish(torch.lerp(out_0, in_1, taps.fraction), settings),
    )


def select(planes: FinishedPlanes, bits: torch.Tensor, taps: SquashTaps | None) -> torch.Tensor:
    """Pictures of binary masks ``[n, h, w]``: ``[n, 3, h, w]``."""
    if taps is None or planes.first_only is None or planes.second_only is None:
        return torch.where(bits[:, None], planes.inside, planes.outside)
    first, second = taps.split(bits[:, None])  # [n, 1, h, w]
    mixed = torch.where(first, planes.first_only, planes.second_only)
    uniform = torch.where(first, planes.inside, planes.outside)
    return torch.where(first == second, uniform, mixed)


def select_in_boxes(
    planes: FinishedPlanes, coverage: Coverage, taps: SquashTaps | None, target: torch.Tensor
) -> None:
    """:func:`select` on the CPU: copy the outside plane, then touch only what a mask reaches.

    Args:
        planes: Finished planes in the dtype of ``target``.
        coverage: Binary coverage of the canvas, with its boxes.
        taps: The squash, or None.
        target: ``[n, 3, h, w]``; written.
    """
    target.copy_(planes.outside.expand_as(target))
    pictures, inside = _integers(target), _integers(planes.inside)
    mixed = None
    if planes.first_only is not None and planes.second_only is not None:
        mixed = (_integers(planes.first_only), _integers(planes.second_only))
    pixels = coverage.values.numpy()  # [n, h, w]
    boxes = coverage.boxes
    assert boxes is not None
    if taps is not None:
        boxes = taps.output_boxes(boxes)
    for i, (left, top, right, bottom) in enumerate(boxes.tolist()):
        if bottom <= top or right <= left:
            continue
        rows, columns = slice(top, bottom), slice(left, right)
        picture = pictures[i, :, rows, columns]  # [3, y, x]
        if taps is None or mixed is None:
            np.copyto(picture, _of(inside, i)[:, rows, columns], where=pixels[i, rows, columns])
            continue
        first, second = taps.split_window(pixels[i], rows, columns)  # [y, x]
        np.copyto(picture, _of(inside, i)[:, rows, columns], where=first & second)
        first_only, second_only = (_of(plane, i)[:, rows, columns] for plane in mixed)
        np.copyto(picture, first_only, where=first & ~second)
        np.copyto(picture, second_only, where=second & ~first)


def blend(
    inside: torch.Tensor,
    outside: torch.Tensor,
    weights: torch.Tensor,
    taps: SquashTaps | None,
    settings: Settings,
) -> torch.Tensor:
    """Pictures of soft masks ``weights [n, h, w]``: ``[n, 3, h, w]``."""
    weights = weights[:, None].to(outside.dtype)  # [n, 1, h, w]
    if taps is None:
        return finish(torch.lerp(outside, inside, weights), settings)
    base_0, base_1 = taps.split(outside)
    step_0, step_1 = taps.split(inside - outside)
    weight_0, weight_1 = taps.split(weights)
    levels = torch.lerp(base_0, base_1, taps.fraction)
    levels = levels + weight_0 * ((1.0 - taps.fraction) * step_0)
    return finish(levels + weight_1 * (taps.fraction * step_1), settings)


@dataclass(frozen=True, eq=False)
class BicubicWindow:
    """Antialiased bicubic resampling of the canvas, of which one window is shown.

    Attributes:
        rows: float ``[y, H]``, the shown rows of the resize matrix.
        columns: float ``[x, W]``, the shown columns' rows of the other one.
    """

    rows: torch.Tensor
    columns: torch.Tensor

    @classmethod
    def of(cls, frame: Frame, y: slice, x: slice, like: torch.Tensor) -> BicubicWindow:
        """Resampling of ``frame``, shown for outputs ``y`` and ``x`` of the scaled frame."""
        rows, columns = (
            resize_matrix_on(source, target, like.device, like.dtype)
            for source, target in zip(frame.canvas, frame.scaled, strict=True)
        )
        return cls(rows[y], columns[x])

    def draw(
        self,
        inside: torch.Tensor,
        outside: torch.Tensor,
        coverage: Coverage,
        settings: Settings,
        target: torch.Tensor,
    ) -> None:
        """Draw on the canvas, resample, clamp to 0-255: into ``target [n, 3, y, x]``.

        ``R(outside + a · (inside - outside)) = R(outside) + R(a · (inside - outside))``: the first
        term is shared, the second needs only the pixels that a mask reaches.
        """
        base = self.rows @ outside @ self.columns.mT  # [1 | n, 3, y, x]
        change = inside - outside  # [1 | n, 3, H, W]
        target.copy_(finish(base.clamp(0.0, 255.0), settings).expand_as(target))
        boxes = coverage.boxes if coverage.boxes is not None else tight_boxes_of(coverage.values)
        for i, (left, top, right, bottom) in enumerate(boxes.tolist()):
            if right <= left:
                continue
            weights = coverage.values[i, top:bottom, left:right]  # [b, r]
            part = _of(change, i)[:, top:bottom, left:right] * weights  # [3, b, r]
            y = _reach(top, bottom, self.rows)
            x = _reach(left, right, self.columns)
            levels = _of(base, i)[:, y, x]
            levels = levels + self.rows[y, top:bottom] @ part @ self.columns[x, left:right].mT
            target[i, :, y, x] = finish(levels.clamp(0.0, 255.0), settings)


def _reach(start: int, stop: int, matrix: torch.Tensor) -> slice:
    """Outputs of ``matrix [target, source]`` that look at any of the sources start to stop."""
    used = (matrix[:, start:stop] != 0).any(1).nonzero()
    return slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 0)


def _of(planes: _Planes, i: int) -> _Planes:
    """The plane of candidate ``i``: its own, or the one that all share."""
    plane: _Planes = planes[i if len(planes) > 1 else 0]
    return plane


def _integers(values: torch.Tensor) -> np.ndarray[Any, Any]:
    """The same memory as integers of the same size, which NumPy copies whatever the dtype."""
    return values.view(_INTEGER_OF_SIZE[values.element_size()]).numpy()
