"""The torch backend: the readable specification, and what runs on a CPU.

Per image the picture is resized once and every effect computed once; candidates are then selected
pixel by pixel from two finished planes, not rendered again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch

from fgvp_kernels.backends.host_threads import aten_threads, shared_out
from fgvp_kernels.backends.torch_compose import (
    FinishedPlanes,
    Plane,
    blend,
    draw_bicubic,
    finish,
    finish_planes,
    select,
    select_by_bits,
)
from fgvp_kernels.backends.torch_drawing import Canvas, resize_image
from fgvp_kernels.backends.torch_resampling import BicubicMatrices, resampling_of
from fgvp_kernels.batch import Candidates, RenderBatch, Settings, color_rows
from fgvp_kernels.frames import Size, make_frame
from fgvp_kernels.mask_stacks import Coverage, WindowMask, worth_boxes
from fgvp_kernels.modes import COLORED, Effect, ModeSpec, Region
from fgvp_kernels.regions import (
    centre_boxes,
    crop_windows,
    draw_shapes,
    outline_boxes,
    outline_of,
    region_shapes,
)

# Working memory of one chunk of candidates.
_CHUNK_BYTES = 256 << 20
# The same where threads of the host draw a chunk each: about a millisecond's work.
_SHARED_CHUNK_BYTES = 64 << 20
# A thread gets so many bytes of pictures to copy, at least.
_COPIED_BYTES = 4 << 20
# An image of so many pixels keeps one ATen thread busy for longer than another may be waited for.
_PIXELS_PER_THREAD = 1 << 20


def render(batch: RenderBatch, out: torch.Tensor) -> None:
    """Draw every candidate of ``batch`` in every mode into ``out [K, ΣN, 3, h, w]``."""
    if out.device.type != "cpu" or batch.records_gradients:
        for image in batch.images:
            _draw_image(image, batch, out, threads=1)
        return
    threads = torch.get_num_threads()
    for image in batch.images:
        few = 1 + image.size[0] * image.size[1] // _PIXELS_PER_THREAD
        # Threads that help do not know of the caller's autocast, which is not meant for pictures.
        with aten_threads(few), torch.autocast("cpu", enabled=False):
            _draw_image(image, batch, out, threads)


def _draw_image(image: Candidates, batch: RenderBatch, out: torch.Tensor, threads: int) -> None:
    """Draw the candidates of one image, on that many threads of the host."""
    specs = batch.settings.specs
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
        _ImageDrawing(image, size, colors, batch.settings).draw(whole, pictures, threads)
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
    specs = settings.specs
    # Crops without a mark differ in nothing but their levels, and are finished all at once.
    together = settings.options.fit in ("squash", "center_crop")
    plain = [k for k in modes if together and specs[k].region is Region.NOTHING]
    marked = [k for k in modes if k not in plain]
    windows = crop_windows(image.boxes, image.size, settings.order)
    step = max(1, _CHUNK_BYTES // (36 * size[0] * size[1]))
    for start in range(0, len(windows), step):
        stop = min(start + step, len(windows))
        levels: dict[int, list[torch.Tensor]] = {k: [] for k in plain}
        for i in range(start, stop):
            left, top, right, bottom = windows[i]
            y, x, one = slice(top, bottom), slice(left, right), slice(i, i + 1)
            mask = WindowMask(image.masks, i, y, x)
            box = image.boxes.new_tensor([[0, 0, right - left, bottom - top]])  # [1, 4]
            candidate = Candidates(image.image[:, y, x], mask, box, image.first + i)
            drawing = _ImageDrawing(candidate, size, colors.of(one), settings)
            if marked:
                drawing.draw(marked, pictures[:, one])
            for k in plain:
                levels[k].append(drawing.unmarked(specs[k].effect))
        for k, parts in levels.items():
            pictures[k, start:stop].copy_(finish(torch.cat(parts), settings))


class _ImageDrawing:
    """The candidates of one image, drawn on one frame."""

    def __init__(self, image: Candidates, size: Size, colors: Colors, settings: Settings) -> None:
        self.image = image
        self.colors = colors
        self.settings = settings
        self.frame = make_frame(image.size, size, settings.order, settings.options.fit)
        levels = resize_image(image.image, self.frame.canvas, work_dtype(image, settings))
        self.canvas = Canvas(levels, settings.options)
        self.resampling = resampling_of(self.frame, levels)
        self.planes: dict[Effect, Plane] = {}
        self.finished: dict[tuple[Effect, bool], FinishedPlanes] = {}

    def draw(self, modes: list[int], pictures: torch.Tensor, threads: int = 1) -> None:
        """Draw the modes of these indices into ``pictures [K, N, 3, h, w]``."""
        masks, resampling = self.image.masks, self.resampling
        # Selecting by a binary mask takes many short calls, between which threads would wait for
        # Python's lock: there they only copy. Soft masks and bicubic resampling take long ones.
        whole_chunks = threads > 1 and (masks.soft or isinstance(resampling, BicubicMatrices))
        limit = _SHARED_CHUNK_BYTES if whole_chunks else _CHUNK_BYTES
        step = max(1, limit // self._bytes_per_candidate())
        if not whole_chunks:
            for start in range(0, masks.count, step):
                rows = slice(start, min(start + step, masks.count))
                self._draw_rows(modes, rows, pictures, threads)
            return
        # The first candidate alone: with it the planes are made, which the others share.
        edges = [*range(min(masks.count, 1)), *range(1, masks.count, step), masks.count]
        chunks = [slice(*pair) for pair in pairwise(edges)]

        def draw_chunk(rows: slice) -> None:
            self._draw_rows(modes, rows, pictures, 1)

        for rows in chunks[:1]:
            draw_chunk(rows)
        with aten_threads(1), shared_out(draw_chunk, chunks[1:], threads):
            pass

    def _draw_rows(
        self, modes: list[int], rows: slice, pictures: torch.Tensor, threads: int
    ) -> None:
        """:meth:`draw` these candidates."""
        height, width = self.frame.visible
        if _bytes_of(pictures[0, rows]) < _COPIED_BYTES:
            threads = 1
        coverage: dict[tuple[Region, bool], Coverage] = {}
        for k in modes:
            spec = self.settings.specs[k]
            key = (spec.region, spec.effect is Effect.OUTLINE)
            windows = list(self._windows(rows))
            targets = pictures[k, :, :, :height, :width]  # [N, 3, y, x]
            if self.frame.fit == "pad":
                pictures[k, rows].zero_()
            with shared_out(_copy, self._unmarked(spec, windows, targets, threads), threads):
                if key not in coverage and spec.region is not Region.NOTHING:
                    coverage[key] = self._coverage(spec, rows, coverage)
            if spec.region is Region.NOTHING:
                continue
            for part, origin in windows:
                shown = coverage[key].of_rows(part.start - rows.start, part.stop - rows.start)
                self._compose(spec, part, shown, origin, targets[part])

    def _unmarked(
        self,
        spec: ModeSpec,
        windows: list[tuple[slice, tuple[int, int]]],
        targets: torch.Tensor,
        threads: int,
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """What to copy where, before regions are marked: parts of ``targets [N, 3, y, x]``.

        Nothing where :meth:`_compose` writes every pixel itself.
        """
        bicubic = isinstance(self.resampling, BicubicMatrices)
        if not (spec.region is Region.NOTHING or bicubic or self._selects_by_bits(spec)):
            return []
        effect = spec.effect if spec.outside or spec.region is Region.NOTHING else Effect.NOTHING
        copies: list[tuple[torch.Tensor, torch.Tensor]] = []
        for part, origin in windows:
            target, (y, x) = targets[part], self._shown(origin)
            picture = self.plane(effect, part).finished[..., y, x].expand_as(target)
            shares = max(1, min(threads - 1, _bytes_of(target) // _COPIED_BYTES))
            step = -(-len(target) // shares)
            for start in range(0, len(target), step):
                copies.append((target[start : start + step], picture[start : start + step]))
        return copies

    def _selects_by_bits(self, spec: ModeSpec) -> bool:
        """Whether :meth:`_compose` only changes what a region reaches, of a drawing not resampled.

        That is on a CPU, of binary regions and where no gradients are recorded.
        """
        soft = self.image.masks.soft and spec.region is Region.MASK
        binary = not soft or spec.effect is Effect.OUTLINE
        levels = self.canvas.levels
        return levels.device.type == "cpu" and binary and not levels.requires_grad

    def plane(self, effect: Effect, rows: slice) -> Plane:
        """The picture of these candidates under an effect."""
        plane = self.planes.get(effect)
        if plane is None:
            colors = self.colors.of(rows)
            levels = self.canvas.changed(effect, colors.line, colors.tint)
            plane = Plane(levels, self.resampling, self.frame.scaled, self.settings)
            if self.colors.shared or effect not in COLORED:
                self.planes[effect] = plane
        return plane

    def unmarked(self, effect: Effect) -> torch.Tensor:
        """Levels ``[1, 3, h, w]`` of one candidate's picture under an effect everywhere."""
        y, x = self._shown(self.frame.window_origin())
        return self.plane(effect, slice(0, 1)).shown[..., y, x]

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
        if spec.region is Region.POINT:
            boxes = centre_boxes(self.image.boxes[rows], self.image.size, canvas)
        else:
            boxes = self._boxes(rows, canvas)
        some = self.image.has_box[rows]
        side = min(self.frame.output)
        shapes = region_shapes(spec, boxes, some, canvas, options.line_width, side)
        around = shapes.boxes(canvas) if worth_boxes(boxes.device, canvas) else None
        return Coverage(draw_shapes(shapes, canvas, around), around)

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

    def _shown(self, origin: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns of the scaled frame that an output window shows."""
        y, x = (
            slice(start, start + length)
            for start, length in zip(origin, self.frame.visible, strict=True)
        )
        return y, x

    def _compose(
        self,
        spec: ModeSpec,
        rows: slice,
        coverage: Coverage,
        origin: tuple[int, int],
        target: torch.Tensor,
    ) -> None:
        """Draw one mode of candidates that share a window into ``target [n, 3, y, x]``."""
        inside, outside = self.plane(spec.effect, rows), self.plane(Effect.NOTHING, rows)
        if spec.outside:
            inside, outside = outside, inside
        if isinstance(self.resampling, BicubicMatrices):
            draw_bicubic(inside, outside, coverage, self.resampling, self.settings, origin, target)
            return
        y, x = self._shown(origin)
        if coverage.values.is_floating_point():
            pictures = blend(inside, outside, coverage.values, self.resampling, self.settings)
            target.copy_(pictures[..., y, x])
            return
        key = (spec.effect, spec.outside)
        planes = self.finished.get(key)
        if planes is None:
            planes = finish_planes(inside, outside, self.resampling, self.settings)
            if self.colors.shared:
                self.finished[key] = planes
        if self.frame.visible != self.frame.scaled:
            planes = planes.window(y, x)
            coverage = Coverage.of(coverage.values[:, y, x])
        if self._selects_by_bits(spec):
            select_by_bits(planes, coverage, self.resampling, target)
        else:
            target.copy_(select(planes, coverage.values, self.resampling))


def _copy(target_and_picture: tuple[torch.Tensor, torch.Tensor]) -> None:
    target, picture = target_and_picture
    target.copy_(picture)


def _bytes_of(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()
