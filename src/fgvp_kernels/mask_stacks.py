"""The masks of one image behind one interface, whatever form they came in.

A stack hands out its masks a slice at a time, so that forms smaller than dense masks (bits, run
lengths, logits) are never expanded all at once. Binary masks follow one rule everywhere: resized
bilinearly and kept where the result is > 0, which is the OR of the pixels that bilinear sampling
touches. Soft masks keep their interpolated value.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from functools import cached_property

import numpy as np
import torch

from fgvp_kernels.coverage import (
    Coverage,
    any_tap,
    at_pixels,
    boxes_of_bits,
    boxes_on_taps,
    find_boxes,
    interpolate,
    tight_boxes_of,
    windows,
    worth_boxes,
)
from fgvp_kernels.device_tables import content_tables
from fgvp_kernels.frames import Size, bilinear_taps
from fgvp_kernels.mask_forms import MaskLogits, PackedMasks, tensor_of
from fgvp_kernels.rle import Runs, decode_runs, tight_box

# Dense bytes that a form is expanded to at a time where all of it must be looked at.
_SCAN_BYTES = 64 << 20


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
            return Coverage.of(at_pixels(self.dense(start, stop), canvas, rows, columns))
        if worth_boxes(self.device, canvas):
            covered = self.dense_in_boxes(start, stop)
        else:
            covered = Coverage(self.dense(start, stop), None)
        masks, boxes = covered.masks, covered.boxes  # [n, H, W], [n, 4]
        if canvas == self.size:
            return covered
        if self.soft:
            return Coverage.of(interpolate(masks, canvas))
        taps_y, taps_x = (bilinear_taps(*pair) for pair in zip(self.size, canvas, strict=True))
        if self.device.type != "cpu":
            return Coverage(any_tap(masks, taps_y, taps_x), None)
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
            find_boxes(self.dense(start, min(start + step, self.count)))
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
        boxes = boxes_of_bits(bits, self.size[1])
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
            return boxes_of_bits(self.bits.numpy(), self.size[1])
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
            return Coverage.of(at_pixels(logits, canvas, rows, columns) > 0)
        return Coverage.of(interpolate(logits, canvas) > 0)

    def _threshold_at(self, start: int, stop: int, size: Size) -> torch.Tensor:
        return interpolate(self._in_input_frame(start, stop), size) > 0

    def _in_input_frame(self, start: int, stop: int) -> torch.Tensor:
        side = max(self.form.input_size)
        logits = interpolate(self.logits[start:stop].float(), (side, side))  # [n, side, side]
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
