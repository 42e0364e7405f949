"""How much of a canvas masks cover, and where: taps, tight boxes, windows to work on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from fgvp_kernels.device_tables import HOST
from fgvp_kernels.frames import Size, Taps, bilinear_taps

# On canvases of up to so many pixels, looking at whole masks takes less time than finding boxes.
_SMALL_CANVAS = 128 * 128


@dataclass(frozen=True, eq=False)
class Coverage:
    """How much of each canvas pixel of n candidates is inside.

    Attributes:
        masks: bool, or float in [0, 1] for soft masks: ``[n, h, w]``, or bool ``[n, H, W]`` with
            ``taps``.
        boxes: int64 ``[n, 4]`` xyxy on the CPU, ends excluded: all non-zero canvas pixels lie
            within. None where :func:`worth_boxes` says so.
        taps: Rows and columns of ``masks`` that bilinear sampling touches for each row and column
            of the canvas; on the CPU, where masks are resized as far as they are looked at.
    """

    masks: torch.Tensor
    boxes: torch.Tensor | None
    taps: tuple[Taps, Taps] | None = None

    @classmethod
    def of(cls, values: torch.Tensor) -> Coverage:
        """Coverage by ``values``, whose boxes are looked up where that is worth it."""
        wanted = worth_boxes(values.device, (values.shape[1], values.shape[2]))
        return cls(values, tight_boxes_of(values) if wanted else None)

    @cached_property
    def values(self) -> torch.Tensor:
        """The canvas pixels, ``[n, h, w]``."""
        if self.taps is None:
            return self.masks
        size = [len(taps.first) for taps in self.taps]
        values = np.zeros((len(self.masks), *size), np.bool_)
        for part, rows, columns in windows(self.boxes, *values.shape):
            values[part, rows, columns] = self.window(part, rows, columns)
        return torch.from_numpy(values)

    def window(self, part: slice, rows: slice, columns: slice) -> np.ndarray[Any, Any]:
        """``values[part, rows, columns]`` on the CPU, without making the others."""
        pixels = self.masks.numpy()[part]  # [m, H, W]
        if self.taps is None:
            return pixels[:, rows, columns]
        for axis, (taps, kept) in enumerate(zip(self.taps, (rows, columns), strict=True), start=1):
            first, second = taps.first.numpy()[kept], taps.second.numpy()[kept]
            pixels = pixels.take(first, axis) | pixels.take(second, axis)
        return pixels

    def of_rows(self, start: int, stop: int) -> Coverage:
        """The coverage of candidates ``start`` to ``stop`` of these."""
        if (start, stop) == (0, len(self.masks)):
            return self
        boxes = None if self.boxes is None else self.boxes[start:stop]
        return Coverage(self.masks[start:stop], boxes, self.taps)


def worth_boxes(device: torch.device, canvas: Size) -> bool:
    """Whether drawing on ``canvas`` is faster one box after the other than all at once."""
    return device.type == "cpu" and canvas[0] * canvas[1] > _SMALL_CANVAS


def windows(
    boxes: torch.Tensor | None, count: int, height: int, width: int
) -> Iterator[tuple[slice, slice, slice]]:
    """Parts of maps ``[count, height, width]`` to work on, as slices.

    The box of one candidate after the other, empty ones left out; all at once without boxes.
    """
    if boxes is None:
        yield slice(0, count), slice(0, height), slice(0, width)
        return
    for i, (left, top, right, bottom) in enumerate(boxes.tolist()):
        if right > left and bottom > top:
            yield slice(i, i + 1), slice(top, bottom), slice(left, right)


def interpolate(maps: torch.Tensor, size: Size) -> torch.Tensor:
    """Bilinear resize without antialiasing: ``[n, H, W]`` -> ``[n, h, w]``."""
    if len(maps) == 0:
        return maps.new_zeros(0, *size)
    return F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def at_pixels(
    maps: torch.Tensor, canvas: Size, rows: torch.Tensor | None, columns: torch.Tensor | None
) -> torch.Tensor:
    """Pixels of maps ``[n, H, W]`` resized to ``canvas``: bits by any tap, else interpolated."""
    taps = []
    for axis, pixels in ((1, rows), (2, columns)):
        pixels = torch.arange(canvas[axis - 1], device=HOST) if pixels is None else pixels
        taps.append(bilinear_taps(maps.shape[axis], canvas[axis - 1], pixels))
    if maps.dtype == torch.bool:
        return any_tap(maps, *taps)
    for axis, (along, shape) in enumerate(zip(taps, ((-1, 1), (-1,)), strict=True), start=1):
        first, second = (
            maps.index_select(axis, pixels.to(maps.device))
            for pixels in (along.first, along.second)
        )
        maps = torch.lerp(first, second, along.fraction.to(maps).view(shape))
    return maps


def any_tap(masks: torch.Tensor, taps_y: Taps, taps_x: Taps) -> torch.Tensor:
    """OR of the pixels that bilinear sampling touches: bool ``[n, H, W]`` -> ``[n, h, w]``."""
    for axis, taps in ((1, taps_y), (2, taps_x)):
        first, second = taps.first.to(masks.device), taps.second.to(masks.device)
        masks = masks.index_select(axis, first) | masks.index_select(axis, second)
    return masks


def boxes_on_taps(boxes: torch.Tensor, taps_y: Taps, taps_x: Taps) -> torch.Tensor:
    """Boxes of the targets that sample any pixel of ``boxes``, int64 ``[n, 4]`` xyxy both."""
    edges = []
    for axis, taps in ((0, taps_x), (1, taps_y)):
        start = torch.searchsorted(taps.second, boxes[:, axis].contiguous())
        stop = torch.searchsorted(taps.first, boxes[:, axis + 2].contiguous())
        edges += [start, torch.where(boxes[:, axis + 2] > boxes[:, axis], stop, start)]
    x0, x1, y0, y1 = edges
    return torch.stack([x0, y0, x1, y1], 1)


def tight_boxes_of(masks: torch.Tensor) -> torch.Tensor:
    """:attr:`MaskStack.tight_boxes` of ``masks [n, H, W]``."""
    return find_boxes(masks).cpu()


def find_boxes(masks: torch.Tensor) -> torch.Tensor:
    """:func:`tight_boxes_of`, on the device of the masks."""
    return _boxes_of_occupied(*_occupied(masks))


def boxes_of_bits(bits: np.ndarray[Any, Any], width: int) -> torch.Tensor:
    """:func:`tight_boxes_of` masks of that width packed into ``bits [n, H, ceil(width / 8)]``."""
    in_bytes = np.bitwise_or.reduce(bits, axis=1)  # [n, ceil(width / 8)]
    columns = np.unpackbits(in_bytes, 1, count=width).astype(np.bool_)  # [n, width]
    # What the last byte has beyond the width is no pixel.
    last = bits[:, :, -1] & np.uint8(-(1 << (-width % 8)) & 255)  # [n, H]
    rows = (bits[:, :, :-1].max(2, initial=0) | last) != 0
    return _boxes_of_occupied(torch.from_numpy(columns), torch.from_numpy(rows))


def _boxes_of_occupied(columns: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Boxes ``[n, 4]`` from the occupied columns ``[n, W]`` and rows ``[n, H]``, bool both."""
    spans = []
    for occupied in (columns, rows):
        length = occupied.shape[1]
        first, before_end = _first_of(occupied), _first_of(occupied.flip(1))  # [n]
        some = occupied.any(1)
        spans += [first * some, (length - before_end) * some]
    x0, x1, y0, y1 = spans
    return torch.stack([x0, y0, x1, y1], 1)  # [n, 4]


def _first_of(flags: torch.Tensor) -> torch.Tensor:
    """Index of the first that is set in each row of bool ``[n, length]``; 0 where none is."""
    if flags.device.type == "cpu":
        return torch.from_numpy(flags.numpy().argmax(1))  # NumPy stops at the first
    return flags.int().argmax(1)


def _occupied(masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Columns ``[n, W]`` and rows ``[n, H]`` that have any non-zero pixel."""
    if masks.dtype == torch.bool:
        masks = masks.view(torch.uint8)  # reductions of bytes are many times faster than of bools
        if masks.device.type == "cpu" and masks.is_contiguous() and masks.shape[2] % 8 == 0:
            words = masks.numpy().view(np.uint64)  # [n, H, W / 8], eight pixels at once
            columns = np.bitwise_or.reduce(words, axis=1).view(np.uint8) != 0
            rows = np.bitwise_or.reduce(words, axis=2) != 0
            return torch.from_numpy(columns), torch.from_numpy(rows)
    return masks.amax(1) > 0, masks.amax(2) > 0
