"""Composing pictures from two planes and a mask, and bringing them to the output.

The planes ``inside`` and ``outside`` and the mask ``a`` live on the canvas; with ``R`` the linear
resampling from the canvas to the output, every picture is ``R(outside + a · (inside - outside))``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np
import torch

from fgvp_kernels.batch import Settings
from fgvp_kernels.coverage import Coverage, tight_boxes_of, windows
from fgvp_kernels.frames import Size
from fgvp_kernels.torch_backend.resampling import BicubicMatrices, Resampling, SquashTaps

_Planes = TypeVar("_Planes", torch.Tensor, np.ndarray[Any, Any])
_Integers = np.ndarray[Any, np.dtype[Any]]

# Index arrays of so many windows are held at once.
_WINDOWS_AT_A_TIME = 16
# Of what a mask changes of a large canvas, bicubic resampling takes strips of so many bytes.
_STRIP_BYTES = 16 << 20

_INTEGER_OF_SIZE = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def finish(levels: torch.Tensor, settings: Settings) -> torch.Tensor:
    """Levels ``[n, 3, h, w]`` to values of the output: normalised, in its dtype."""
    if settings.dtype == torch.uint8:
        return (levels + 0.5).floor().clamp(0, 255).to(torch.uint8)
    scale, shift = settings.affine(levels)  # [3, h, w]
    return torch.addcmul(shift, levels, scale).to(settings.dtype)


class Plane:
    """One picture on the canvas, and what becomes of it at the output, made when first asked for.

    Args:
        levels: ``[1, 3, H, W]``, or ``[n, 3, H, W]`` with one picture per candidate; H = W = 1 for
            a picture of one colour.
        resampling: ``R``.
        scaled: (h, w) that ``R`` leads to.
        settings: Of the call.
    """

    def __init__(
        self, levels: torch.Tensor, resampling: Resampling, scaled: Size, settings: Settings
    ) -> None:
        self.levels = levels
        self.size = scaled
        self.settings = settings
        # Resampling does nothing to one colour.
        self.resampling = None if levels.shape[2:] == (1, 1) else resampling

    @cached_property
    def taps(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The levels that a squash mixes."""
        if isinstance(self.resampling, SquashTaps):
            return self.resampling.split(self.levels)
        return self.levels, self.levels

    @cached_property
    def scaled(self) -> torch.Tensor:
        """``R(levels)``, ``[1 | n, 3, h, w]``, which bicubic resampling lets overshoot."""
        if isinstance(self.resampling, BicubicMatrices):
            return self.resampling.rows @ self.levels @ self.resampling.columns.mT
        if isinstance(self.resampling, SquashTaps):
            return torch.lerp(*self.taps, self.resampling.fraction)
        return self.levels.expand(-1, -1, *self.size)

    @cached_property
    def shown(self) -> torch.Tensor:
        """The levels of the scaled frame, 0 to 255."""
        overshoots = isinstance(self.resampling, BicubicMatrices)
        return self.scaled.clamp(0.0, 255.0) if overshoots else self.scaled

    @cached_property
    def finished(self) -> torch.Tensor:
        """The output's values."""
        if self.levels.shape[2:] == (1, 1):
            return finish(self.levels, self.settings).expand(-1, -1, *self.size)
        return finish(self.shown, self.settings)


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

    @cached_property
    def change(self) -> _Integers:
        """Bits in which ``inside`` differs from ``outside``. CPU only."""
        inside: _Integers = integers_of(self.inside)
        return inside ^ integers_of(self.outside)

    @cached_property
    def mixed(self) -> _Integers:
        """Pixels with tap 1 alone inside, with tap 0 alone: ``[2, 1 | n, 3, h, w]``. CPU only."""
        assert self.first_only is not None
        assert self.second_only is not None
        return np.stack([integers_of(self.second_only), integers_of(self.first_only)])

    def window(self, y: slice, x: slice) -> FinishedPlanes:
        """What these rows and columns show, where nothing is squashed."""
        return FinishedPlanes(self.inside[..., y, x], self.outside[..., y, x])


def finish_planes(
    inside: Plane, outside: Plane, taps: SquashTaps | None, settings: Settings
) -> FinishedPlanes:
    """Resample and normalise the planes of a binary mask, once for all candidates."""
    if taps is None:
        return FinishedPlanes(inside.finished, outside.finished)
    (in_0, in_1), (out_0, out_1) = inside.taps, outside.taps
    first_only = finish(torch.lerp(in_0, out_1, taps.fraction), settings)
    second_only = finish(torch.lerp(out_0, in_1, taps.fraction), settings)
    return FinishedPlanes(inside.finished, outside.finished, first_only, second_only)


def select(planes: FinishedPlanes, bits: torch.Tensor, taps: SquashTaps | None) -> torch.Tensor:
    """Pictures of binary masks ``[n, h, w]``: ``[n, 3, h, w]``."""
    if taps is None or planes.first_only is None or planes.second_only is None:
        return torch.where(bits[:, None], planes.inside, planes.outside)
    first, second = taps.split(bits[:, None])  # [n, 1, h, w]
    mixed = torch.where(first, planes.first_only, planes.second_only)
    uniform = torch.where(first, planes.inside, planes.outside)
    return torch.where(first == second, uniform, mixed)


def select_by_bits(
    planes: FinishedPlanes, coverage: Coverage, taps: SquashTaps | None, target: torch.Tensor
) -> None:
    """:func:`select` on the CPU, where ``target`` shows the outside plane and no more is changed.

    ``outside ^ (change & word)`` with a word of ones or zeros is several times faster than a
    selection by a mask of bools.

    Args:
        planes: Finished planes in the dtype of ``target``.
        coverage: Binary coverage of the canvas.
        taps: The squash, or None.
        target: ``[n, 3, h, w]``, the outside plane for each; written where a mask reaches.
    """
    pictures = integers_of(target)
    boxes = coverage.boxes
    if boxes is not None and taps is not None:
        boxes = taps.output_boxes(boxes)
    parts = list(windows(boxes, len(pictures), *pictures.shape[2:]))
    for start in range(0, len(parts), _WINDOWS_AT_A_TIME):
        mixed = []
        for part, rows, columns in parts[start : start + _WINDOWS_AT_A_TIME]:
            if taps is None:
                first = coverage.window(part, rows, columns)  # [m, y, x]
            else:
                window_of = partial(coverage.window, part)
                first, second = taps.split_window(window_of, rows, columns)
                mixed.append(_mixed_pixels(first, second, (part.start, rows.start, columns.start)))
            # Right wherever both taps agree, which is nearly everywhere.
            picture = pictures[part, :, rows, columns]  # [m, 3, y, x]
            words = first.astype(picture.dtype)
            np.negative(words, out=words)
            picture ^= _of(planes.change, part)[:, :, rows, columns] & words[:, None]
        if mixed:
            # After the others: the planes of both would not stay in a core's cache together.
            which, n, y, x = map(np.concatenate, zip(*mixed, strict=True))
            own = n if planes.mixed.shape[1] > 1 else 0
            pictures[n, :, y, x] = planes.mixed[which, own, :, y, x]  # [k, 3]


def _mixed_pixels(
    first: _Integers, second: _Integers, origin: tuple[int, int, int]
) -> tuple[_Integers, _Integers, _Integers, _Integers]:
    """Where the bits of two taps ``[m, y, x]`` differ: the first's bit, and n, y, x from origin."""
    places = np.flatnonzero(first != second)
    n, y, x = (
        along + offset
        for along, offset in zip(np.unravel_index(places, first.shape), origin, strict=True)
    )
    return first.ravel()[places].astype(np.intp), n, y, x


def blend(
    inside: Plane,
    outside: Plane,
    weights: torch.Tensor,
    taps: SquashTaps | None,
    settings: Settings,
) -> torch.Tensor:
    """Pictures of soft masks ``weights [n, h, w]``: ``[n, 3, h, w]``."""
    weights = weights[:, None].to(outside.levels.dtype)  # [n, 1, h, w]
    if taps is None:
        return finish(torch.lerp(outside.levels, inside.levels, weights), settings)
    step_0, step_1 = (i - o for i, o in zip(inside.taps, outside.taps, strict=True))
    weight_0, weight_1 = taps.split(weights)
    levels = outside.scaled + weight_0 * ((1.0 - taps.fraction) * step_0)
    return finish(levels + weight_1 * (taps.fraction * step_1), settings)


def draw_bicubic(
    inside: Plane,
    outside: Plane,
    coverage: Coverage,
    matrices: BicubicMatrices,
    settings: Settings,
    origin: tuple[int, int],
    target: torch.Tensor,
) -> None:
    """Draw on the canvas, resample, clamp to 0-255: into ``target [n, 3, y, x]``.

    ``R(outside + a · (inside - outside)) = R(outside) + R(a · (inside - outside))``: the first
    term is shared, the second needs only the pixels that a mask reaches.

    Args:
        inside, outside: The planes.
        coverage: What is inside.
        matrices: ``R``.
        settings: Of the call.
        origin: Top left corner (y, x) of the window that ``target`` shows.
        target: The finished outside plane for each; written where a mask reaches.
    """
    y, x = (
        slice(start, start + length) for start, length in zip(origin, target.shape[2:], strict=True)
    )
    base = outside.scaled[..., y, x]  # [1 | n, 3, y, x]
    rows, columns = matrices.rows[y], matrices.columns[x]
    boxes = coverage.boxes if coverage.boxes is not None else tight_boxes_of(coverage.values)
    for part, tall, wide in windows(boxes, *coverage.values.shape):
        y, x = _reach(tall, rows), _reach(wide, columns)
        step = max(1, _STRIP_BYTES // (3 * (tall.stop - tall.start) * base.element_size()))
        strips = []
        for start in range(wide.start, wide.stop, step):
            some = slice(start, min(start + step, wide.stop))
            change = _pixels(inside, part, tall, some) - _pixels(outside, part, tall, some)
            weights = coverage.values[part, None, tall, some]  # [1, 1, b, s]
            inner = (change * weights).to(change.dtype)  # [1, 3, b, s]
            strips.append(rows[y, tall] @ inner)  # [1, 3, y, s]
        scaled_rows = strips[0] if len(strips) == 1 else torch.cat(strips, -1)  # [1, 3, y, r]
        levels = _of(base, part)[..., y, x] + scaled_rows @ columns[x, wide].mT
        target[part, :, y, x] = finish(levels.clamp(0.0, 255.0), settings)


def _reach(sources: slice, matrix: torch.Tensor) -> slice:
    """Outputs of ``matrix [target, source]`` that look at any of ``sources``."""
    used = (matrix[:, sources] != 0).any(1).nonzero()
    return slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 0)


def _pixels(plane: Plane, part: slice, rows: slice, columns: slice) -> torch.Tensor:
    """Some candidates' levels of these canvas pixels; ``[1 | n, 3, 1, 1]`` of one colour."""
    levels = _of(plane.levels, part)
    return levels if levels.shape[2:] == (1, 1) else levels[..., rows, columns]


def _of(planes: _Planes, part: slice) -> _Planes:
    """The planes of these candidates: their own, or the one that all share."""
    return planes[part] if len(planes) > 1 else planes


def integers_of(values: torch.Tensor) -> _Integers:
    """The same memory as integers of the same size."""
    return values.view(_INTEGER_OF_SIZE[values.element_size()]).numpy()
