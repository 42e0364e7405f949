"""The masks of one image behind one interface, whatever form they came in.

A stack hands out its masks a slice at a time, so that forms smaller than dense masks (bits, run
lengths, logits) are never expanded all at once. Binary masks follow one rule everywhere: resized
bilinearly and kept where the result is > 0, which is the OR of the pixels that bilinear sampling
touches. Soft masks keep their interpolated value.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from fgvp_kernels.device_tables import HOST, content_tables
from fgvp_kernels.frames import Size, Taps, bilinear_taps
from fgvp_kernels.mask_forms import MaskLogits, PackedMasks, tensor_of
from fgvp_kernels.rle import Runs, decode_runs, tight_box

# On canvases of up to so many pixels, looking at whole masks takes less time than finding boxes.
_SMALL_CANVAS = 128 * 128
# Dense bytes that a form is expanded to at a time where all of it must be looked at.
_SCAN_BYTES = 64 << 20


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


class MaskStack(ABC):
    """N masks of one image of a given size, on one device.

    Attributes:
        kind: Stacks of one kind can be read by one launch of a kernel.
        stored_size: (rows, row length) of a mask as it is stored.
        input_size: The frame that SAM's logits are upsampled to, None for other forms.
        soft: Weights between 0 and 1 instead of bits.
        scratch_bytes: Memory that expanding one mask takes besides the dense mask.
    """

    kind: tuple[Hashable, ...]
    input_size: Size | None = None
    soft = False
    scratch_bytes = 0

    def __init__(self, count: int, size: Size, device: torch.device) -> None:
        self.count = count
        self.size = size
        self.device = device
        self.stored_size = size

    @abstractmethod
    def dense(self, start: int, stop: int) -> torch.Tensor:
        """Masks ``start`` to ``stop`` at image size: bool or float ``[n, H, W]``."""

    def dense_in_boxes(self, start: int, stop: int) -> Coverage:
        """Masks ``start`` to ``stop`` at image size, and their tight boxes."""
        masks = self.dense(start, stop)
        return Coverage(masks, tight_boxes_of(masks))

    def on_canvas(
        self,
        start: int,
        stop: int,
        canvas: Size,
        rows: torch.Tensor | None = None,
        columns: torch.Tensor | None = None,
    ) -> Coverage:
        """The same masks in the drawing frame, (h, w) = ``canvas``, or at pixels of it.

        ``rows`` and ``columns`` are those pixels, int64; None for all.
        """
        if rows is not None or columns is not None:
            return Coverage.of(_at_pixels(self.dense(start, stop), canvas, rows, columns))
        if worth_boxes(self.device, canvas):
            covered = self.dense_in_boxes(start, stop)
        else:
            covered = Coverage(self.dense(start, stop), None)
        masks, boxes = covered.masks, covered.boxes  # [n, H, W], [n, 4]
        if canvas == self.size:
            return covered
        if self.soft:
            return Coverage.of(_interpolate(masks, canvas))
        taps_y, taps_x = (bilinear_taps(*pair) for pair in zip(self.size, canvas, strict=True))
        if self.device.type != "cpu":
            return Coverage(_any_tap(masks, taps_y, taps_x), None)
        if boxes is not None:
            boxes = boxes_on_taps(boxes, taps_y, taps_x)
        return Coverage(masks, boxes, (taps_y, taps_x))

    @cached_property
    def tight_boxes(self) -> torch.Tensor:
        """Smallest box round the non-zero pixels of each mask: int64 ``[N, 4]`` xyxy, on the CPU.

        x1 and y1 lie just beyond the last pixel; an empty mask has a box of zeros.
        """
        return self.tight_boxes_on_device.cpu()

    @cached_property
    def tight_boxes_on_device(self) -> torch.Tensor:
        """:attr:`tight_boxes` where the masks are; the host does not wait for them."""
        step = max(1, _SCAN_BYTES // (self.size[0] * self.size[1]))
        parts = [
            _find_boxes(self.dense(start, min(start + step, self.count)))
            for start in range(0, self.count, step)
        ]
        none = torch.zeros(0, 4, dtype=torch.int64, device=self.device)
        return torch.cat([none, *parts])  # [N, 4]


class DenseMasks(MaskStack):
    """bool or uint8 (any non-zero value is set) or float masks ``[N, H, W]``."""

    def __init__(self, masks: torch.Tensor) -> None:
        super().__init__(len(masks), (masks.shape[1], masks.shape[2]), masks.device)
        self.masks = masks
        self.soft = masks.is_floating_point()
        self.kind = ("dense", masks.dtype)

    def dense(self, start: int, stop: int) -> torch.Tensor:
        masks = self.masks[start:stop]  # [n, H, W]
        return masks if masks.dtype == torch.bool or self.soft else masks != 0


class PackedMaskStack(MaskStack):
    """Bit-packed masks, unpacked a slice at a time."""

    kind = ("packed",)

    def __init__(self, packed: PackedMasks, device: torch.device) -> None:
        super().__init__(packed.shape[0], packed.shape[1:], device)
        bits = packed.bits
        if isinstance(bits, np.ndarray):
            bits = tensor_of(bits, "PackedMasks.bits")
        self.bits = bits.to(device)  # [N, H, ceil(W / 8)]
        self.stored_size = (self.bits.shape[1], self.bits.shape[2])

    def dense(self, start: int, stop: int) -> torch.Tensor:
        if self.device.type == "cpu":
            return self.dense_in_boxes(start, stop).masks
        shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=self.device)  # [8]
        pixels = (self.bits[start:stop, :, :, None] >> shifts) & 1  # [n, H, ceil(W / 8), 8]
        return pixels.flatten(2)[:, :, : self.size[1]].bool()

    def dense_in_boxes(self, start: int, stop: int) -> Coverage:
        bits = self.bits[start:stop].numpy()  # [n, H, ceil(W / 8)]
        boxes = _boxes_of_bits(bits, self.size[1])
        masks = np.zeros((len(bits), *self.size), np.bool_)
        for part, rows, columns in windows(boxes, *masks.shape):
            from_byte = columns.start // 8
            window = bits[part, rows, from_byte : (columns.stop + 7) // 8]
            pixels = np.unpackbits(window, 2, count=columns.stop - 8 * from_byte)  # [1, y, x]
            masks[part, rows, 8 * from_byte : columns.stop] = pixels
        return Coverage(torch.from_numpy(masks), boxes)

    @cached_property
    def tight_boxes_on_device(self) -> torch.Tensor:
        if self.device.type == "cpu":
            return _boxes_of_bits(self.bits.numpy(), self.size[1])
        return super().tight_boxes_on_device


class RleMasks(MaskStack):
    """COCO run lengths, decoded a slice at a time."""

    kind = ("rle",)

    def __init__(self, runs: Sequence[Runs], size: Size, device: torch.device) -> None:
        super().__init__(len(runs), size, device)
        self.runs = runs

    def dense(self, start: int, stop: int) -> torch.Tensor:
        masks = np.zeros((stop - start, *self.size), np.bool_)
        for mask, runs in zip(masks, self.runs[start:stop], strict=True):
            decode_runs(runs, mask)
        return torch.from_numpy(masks).to(self.device)  # [n, H, W]

    def dense_in_boxes(self, start: int, stop: int) -> Coverage:
        return Coverage(self.dense(start, stop), self.tight_boxes[start:stop])

    @cached_property
    def tight_boxes(self) -> torch.Tensor:
        boxes = np.array([tight_box(runs, self.size) for runs in self.runs], np.int64)
        return torch.from_numpy(boxes.reshape(-1, 4))  # [N, 4]

    @cached_property
    def tight_boxes_on_device(self) -> torch.Tensor:
        boxes = self.tight_boxes.numpy().astype(np.int32)
        return content_tables([boxes], self.device)[0]


class LogitMasks(MaskStack):
    """SAM's low-resolution logits, upsampled a slice at a time as SAM's own code does."""

    def __init__(self, form: MaskLogits, device: torch.device) -> None:
        super().__init__(len(form.logits), form.image_size, device)
        self.form = form
        self.logits = form.logits.to(device)  # [N, h, w]
        self.kind = ("logits", self.logits.dtype, form.at)
        self.input_size = form.input_size
        self.stored_size = (self.logits.shape[1], self.logits.shape[2])
        self.scratch_bytes = 8 * max(form.input_size) ** 2  # SAM's input frame, twice

    def dense(self, start: int, stop: int) -> torch.Tensor:
        return self._threshold_at(start, stop, self.size)

    def on_canvas(
        self,
        start: int,
        stop: int,
        canvas: Size,
        rows: torch.Tensor | None = None,
        columns: torch.Tensor | None = None,
    ) -> Coverage:
        if self.form.at == "image":
            return super().on_canvas(start, stop, canvas, rows, columns)
        logits = self._in_input_frame(start, stop)
        if rows is not None or columns is not None:
            return Coverage.of(_at_pixels(logits, canvas, rows, columns) > 0)
        return Coverage.of(_interpolate(logits, canvas) > 0)

    def _threshold_at(self, start: int, stop: int, size: Size) -> torch.Tensor:
        return _interpolate(self._in_input_frame(start, stop), size) > 0

    def _in_input_frame(self, start: int, stop: int) -> torch.Tensor:
        side = max(self.form.input_size)
        logits = _interpolate(self.logits[start:stop].float(), (side, side))  # [n, side, side]
        height, width = self.form.input_size  # without the padding
        return logits[:, :height, :width]


class NoMasks(MaskStack):
    """N candidates that have boxes alone, of which no mode may ask for masks."""

    kind = ("none",)

    def dense(self, start: int, stop: int) -> torch.Tensor:
        raise AssertionError("a mode that draws masks was let through without any")


class WindowMask(MaskStack):
    """One mask of a stack, of which a window is seen; expanded when first asked for."""

    def __init__(self, stack: MaskStack, index: int, rows: slice, columns: slice) -> None:
        size = (rows.stop - rows.start, columns.stop - columns.start)
        super().__init__(1, size, stack.device)
        self.soft = stack.soft
        self._stack, self._index, self._window = stack, index, (rows, columns)

    @cached_property
    def _mask(self) -> torch.Tensor:
        rows, columns = self._window
        return self._stack.dense(self._index, self._index + 1)[:, rows, columns]  # [1, h, w]

    def dense(self, start: int, stop: int) -> torch.Tensor:
        return self._mask[start:stop]


def _interpolate(maps: torch.Tensor, size: Size) -> torch.Tensor:
    """Bilinear resize without antialiasing: ``[n, H, W]`` -> ``[n, h, w]``."""
    if len(maps) == 0:
        return maps.new_zeros(0, *size)
    return F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def _at_pixels(
    maps: torch.Tensor, canvas: Size, rows: torch.Tensor | None, columns: torch.Tensor | None
) -> torch.Tensor:
    """Pixels of maps ``[n, H, W]`` resized to ``canvas``: bits by any tap, else interpolated."""
    taps = []
    for axis, pixels in ((1, rows), (2, columns)):
        pixels = torch.arange(canvas[axis - 1], device=HOST) if pixels is None else pixels
        taps.append(bilinear_taps(maps.shape[axis], canvas[axis - 1], pixels))
    if maps.dtype == torch.bool:
        return _any_tap(maps, *taps)
    for axis, (along, shape) in enumerate(zip(taps, ((-1, 1), (-1,)), strict=True), start=1):
        first, second = (
            maps.index_select(axis, pixels.to(maps.device))
            for pixels in (along.first, along.second)
        )
        maps = torch.lerp(first, second, along.fraction.to(maps).view(shape))
    return maps


def _any_tap(masks: torch.Tensor, taps_y: Taps, taps_x: Taps) -> torch.Tensor:
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
    return _find_boxes(masks).cpu()


def _find_boxes(masks: torch.Tensor) -> torch.Tensor:
    """:func:`tight_boxes_of`, on the device of the masks."""
    return _boxes_of_occupied(*_occupied(masks))


def _boxes_of_bits(bits: np.ndarray[Any, Any], width: int) -> torch.Tensor:
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
