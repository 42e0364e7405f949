"""The torch backend: the readable specification, and what runs on a CPU.

Per image the picture is resized once and every effect computed once; candidates are then selected
pixel by pixel from two finished planes, not rendered again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F

from fgvp_kernels.backends.torch_compose import (
    BicubicWindow,
    FinishedPlanes,
    SquashTaps,
    blend,
    finish,
    finish_planes,
    select,
    select_in_boxes,
)
from fgvp_kernels.backends.torch_drawing import Canvas, resize_image
from fgvp_kernels.batch import Candidates, RenderBatch, Settings, color_rows
from fgvp_kernels.frames import Order, Size, make_frame
from fgvp_kernels.mask_stacks import Coverage, DenseMasks
from fgvp_kernels.modes import Effect, ModeSpec, Region
from fgvp_kernels.regions import (
    crop_windows,
    draw_shapes,
    outline_boxes,
    outline_of,
    region_shapes,
)

# Working memory of one chunk of candidates.
_CHUNK_BYTES = 256 << 20


def render(batch: RenderBatch, out: torch.Tensor) -> None:
    """Draw every candidate of ``batch`` in every mode into ``out [K, ΣN, 3, h, w]``."""
    specs = batch.settings.specs
    for image in batch.images:
        dtype = work_dtype(image, batch.settings)
        line, tint = (
            color_rows(color, image.rows).to(image.image.device, dtype)
            for color in (batch.line_color, batch.tint_color)
        )
        colors = Colors(line, tint)
        pictures = out[:, image.rows]  # [K, N, 3, h, w]
        size = (out.shape[3], out.shape[4])
        whole = [k for k, spec in enumerate(specs) if not spec.crop]
        crops = [k for k, spec in enumerate(specs) if spec.crop]
        if whole:
            _ImageDrawing(image, size, colors, batch.settings).draw(whole, pictures)
        if crops:
            _draw_crops(image, size, colors, batch.settings, crops, pictures)


def work_dtype(image: Candidates, settings: Settings) -> torch.dtype:
    """float32, or float64 where the image or the output is."""
    dtypes = (image.image.dtype, settings.dtype)
    return torch.float64 if torch.float64 in dtypes else torch.float32


@dataclass(frozen=True, eq=False)
class Colors:
    """Line and tint colour of some candidates: levels ``[1, 3]`` or ``[n, 3]`` each."""

    line: torch.Tensor
    tint: torch.Tensor

    def of(self, rows: slice) -> Colors:
        """The colours of these candidates."""
        return Colors(color_rows(self.line, rows), color_rows(self.tint, rows))

    @property
    def shared(self) -> bool:
        """All candidates have the same colours."""
        return len(self.line) == len(self.tint) == 1


def _draw_crops(
    image: Candidates,
    size: Size,
    colors: Colors,
    settings: Settings,
    modes: list[int],
    pictures: torch.Tensor,
) -> None:
    """Draw modes that crop: each candidate's box is an image of its own, with one candidate."""
    windows = crop_windows(image.boxes, image.size, settings.order)
    for i, (left, top, right, bottom) in enumerate(windows.tolist()):
        part = image.image[:, top:bottom, left:right]
        mask = image.masks.dense(i, i + 1)[:, top:bottom, left:right]  # [1, y, x]
        candidate = Candidates(part, DenseMasks(mask), None, image.first + i)
        rows = slice(i, i + 1)
        drawing = _ImageDrawing(candidate, size, colors.of(rows), settings)
        drawing.draw(modes, pictures[:, rows])


class _ImageDrawing:
    """The candidates of one image, drawn on one frame."""

    def __init__(self, image: Candidates, size: Size, colors: Colors, settings: Settings) -> None:
        self.image = image
        self.colors = colors
        self.settings = settings
        self.frame = make_frame(image.size, size, settings.order, settings.options.fit)
        resamples = self.frame.scaled != self.frame.canvas
        self.is_squashed = resamples and settings.order is Order.RESIZE_FIRST
        self.is_bicubic = resamples and settings.order is Order.RENDER_FIRST
        levels = resize_image(image.image, self.frame.canvas, work_dtype(image, settings))
        self.canvas = Canvas(levels, settings.options)
        self.finished: dict[tuple[ModeSpec, tuple[int, int]], FinishedPlanes] = {}

    def draw(self, modes: list[int], pictures: torch.Tensor) -> None:
        """Draw the modes of these indices into ``pictures [K, N, 3, h, w]``."""
        height, width = self.frame.visible
        if self.frame.fit == "pad":
            for k in modes:
                pictures[k].zero_()
        count = self.image.masks.count
        step = max(1, _CHUNK_BYTES // self._bytes_per_candidate())
        for start in range(0, count, step):
            rows = slice(start, min(start + step, count))
            coverage: dict[tuple[Region, bool], Coverage] = {}
            for k in modes:
                spec = self.settings.specs[k]
                if spec.region is Region.NOTHING and not self.is_bicubic:
                    for part, origin in self._windows(rows):
                        target = pictures[k, part, :, :height, :width]
                        self._copy_canvas(spec, part, origin, target)
                    continue
                key = (spec.region, spec.effect is Effect.OUTLINE)
                if key not in coverage:
                    coverage[key] = self._coverage(spec, rows, coverage)
                for part, origin in self._windows(rows):
                    shown = coverage[key].of_rows(part.start - start, part.stop - start)
                    target = pictures[k, part, :, :height, :width]
                    self._compose(spec, part, shown, origin, target)

    @cached_property
    def taps(self) -> SquashTaps | None:
        """What is sampled where the canvas is squashed, else None."""
        return SquashTaps.of(self.frame, self.canvas.levels) if self.is_squashed else None

    def _bytes_per_candidate(self) -> int:
        image, canvas, output = (
            height * width
            for height, width in (self.image.size, self.frame.canvas, self.frame.output)
        )
        # Dense masks at both sizes, the float arithmetic of regions or soft masks, the output.
        needed = 2 * image + 24 * canvas + 36 * output + self.image.masks.scratch_bytes
        if not self.colors.shared:
            needed += 36 * canvas  # planes of its own
        return needed

    def _coverage(
        self, spec: ModeSpec, rows: slice, known: dict[tuple[Region, bool], Coverage]
    ) -> Coverage:
        """What is inside, on the canvas; ``known`` has, and gets, the masks themselves."""
        canvas, options = self.frame.canvas, self.settings.options
        if spec.region is Region.NOTHING:
            shape = (rows.stop - rows.start, *canvas)
            device = self.image.image.device
            return Coverage.of(torch.zeros(shape, dtype=torch.bool, device=device))
        if spec.region is Region.MASK:
            masks = known.get((Region.MASK, False))
            if masks is None:
                masks = self.image.masks.on_canvas(rows.start, rows.stop, canvas)
                known[Region.MASK, False] = masks
            if spec.effect is Effect.OUTLINE:
                line = outline_of(masks.values > 0, options.line_width)  # [n, h, w]
                if masks.boxes is None:
                    return Coverage(line, None)
                return Coverage(line, outline_boxes(masks.boxes, options.line_width, canvas))
            return masks
        boxes = self._boxes(rows, canvas)
        some = self.image.has_box[rows]
        side = min(self.frame.output)
        shapes = region_shapes(spec, boxes, some, canvas, options.line_width, side)
        bits = draw_shapes(shapes, canvas)  # [n, h, w]
        return Coverage(bits, shapes.boxes(canvas) if bits.device.type == "cpu" else None)

    def _boxes(self, rows: slice, frame: Size) -> torch.Tensor:
        """Boxes ``[n, 4]`` of the candidates, xyxy in pixels of ``frame``."""
        y, x = (length / whole for length, whole in zip(frame, self.image.size, strict=True))
        boxes = self.image.boxes[rows]
        return boxes * boxes.new_tensor([x, y, x, y])

    def _windows(self, rows: slice) -> Iterator[tuple[slice, tuple[int, int]]]:
        """Candidates that share an output window, and its top left corner in the scaled frame."""
        if self.settings.options.fit != "object_crop":
            yield rows, self.frame.window_origin()
            return
        boxes = self._boxes(rows, self.frame.scaled)  # [n, 4]
        centres = ((boxes[:, :2] + boxes[:, 2:]) / 2).tolist()
        for i, (x, y) in enumerate(centres, start=rows.start):
            yield slice(i, i + 1), self.frame.window_origin((y, x))

    def _copy_canvas(
        self, spec: ModeSpec, rows: slice, origin: tuple[int, int], target: torch.Tensor
    ) -> None:
        """Draw a mode that changes nothing into ``target [n, 3, y, x]``: no mask is looked at."""
        colors = self.colors.of(rows)
        _, levels = self.canvas.planes(spec, colors.line, colors.tint)  # [1, 3, H, W]
        if self.is_squashed:
            levels = F.interpolate(levels, self.frame.scaled, mode="bilinear")
        else:
            y, x = (
                slice(start, start + length)
                for start, length in zip(origin, self.frame.visible, strict=True)
            )
            levels = levels[..., y, x]
        target.copy_(finish(levels, self.settings).expand_as(target))

    def _compose(
        self,
        spec: ModeSpec,
        rows: slice,
        coverage: Coverage,
        origin: tuple[int, int],
        target: torch.Tensor,
    ) -> None:
        """Draw one mode of candidates that share a window into ``target [n, 3, y, x]``."""
        height, width = self.frame.visible
        y, x = slice(origin[0], origin[0] + height), slice(origin[1], origin[1] + width)
        colors = self.colors.of(rows)
        inside, outside = self.canvas.planes(spec, colors.line, colors.tint)
        if self.is_bicubic:
            window = BicubicWindow.of(self.frame, y, x, outside)
            window.draw(inside, outside, coverage, self.settings, target)
            return
        if self.taps is None and (height, width) != self.frame.canvas:
            inside, outside = inside[..., y, x], outside[..., y, x]
            coverage = Coverage.of(coverage.values[:, y, x])
        if coverage.values.is_floating_point():
            target.copy_(blend(inside, outside, coverage.values, self.taps, self.settings))
            return
        key = (spec, origin)
        planes = self.finished.get(key)
        if planes is None:
            planes = finish_planes(inside, outside, self.taps, self.settings)
            if self.colors.shared and self.settings.options.fit != "object_crop":
                self.finished[key] = planes
        tracked = planes.inside.requires_grad or planes.outside.requires_grad
        if coverage.boxes is not None and not tracked:
            select_in_boxes(planes, coverage, self.taps, target)
        else:
            target.copy_(select(planes, coverage.values, self.taps))
