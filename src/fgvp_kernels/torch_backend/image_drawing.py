"""The candidates of one image on one frame, drawn by plain torch and NumPy.

The picture is resized once and every effect computed once; candidates are then selected pixel by
pixel from two finished planes, not rendered again.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise

import numpy as np
import torch

from fgvp_kernels.batch import Candidates, Settings
from fgvp_kernels.coverage import Coverage, worth_boxes
from fgvp_kernels.device_tables import HOST
from fgvp_kernels.ellipses import half_width
from fgvp_kernels.frames import Frame, Size
from fgvp_kernels.modes import COLORED, Effect, ModeSpec, Region
from fgvp_kernels.regions import (
    centre_boxes,
    draw_shapes,
    outline_boxes,
    outline_of,
    region_shapes,
)
from fgvp_kernels.torch_backend.canvas import Canvas, Colors
from fgvp_kernels.torch_backend.compose import (
    FinishedPlanes,
    Plane,
    blend,
    draw_bicubic,
    finish_planes,
    integers_of,
    select,
    select_by_bits,
)
from fgvp_kernels.torch_backend.host_threads import aten_threads, shared_out
from fgvp_kernels.torch_backend.resampling import BicubicMatrices, View

# Working memory of one chunk of candidates.
_CHUNK_BYTES = 256 << 20
# The same where threads of the host draw a chunk each: about a millisecond's work.
_SHARED_CHUNK_BYTES = 64 << 20
# So many bytes of pictures are worth another thread, at least.
_COPIED_BYTES = 4 << 20


class ImageDrawing:
    """The candidates of one image, drawn on one frame."""

    def __init__(self, image: Candidates, frame: Frame, colors: Colors, settings: Settings) -> None:
        self.image = image
        self.colors = colors
        self.settings = settings
        origin = frame.window_origin()
        if frame.thin and frame.moves:  # then there is one candidate
            origin = next(self._windows_in(frame, slice(0, 1)))[1]
        self.view = View.of(frame, origin, colors.tint)
        self.frame = self.view.frame
        self.canvas = Canvas(image.image, self.view, settings.options, colors.tint.dtype)
        self.planes: dict[Effect, Plane] = {}
        self.finished: dict[tuple[Effect, bool], FinishedPlanes] = {}

    def draw(self, modes: list[int], pictures: torch.Tensor, threads: int = 1) -> None:
        """Draw the modes of these indices into ``pictures [K, N, 3, h, w]``."""
        masks, resampling = self.image.masks, self.view.resampling
        # Selecting by a binary mask takes many short calls, between which threads would wait for
        # Python's lock: there another only looks at masks, and has memory made, while planes are
        # made. Soft masks and bicubic resampling take long calls.
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
            windows = list(self._windows(rows))
            targets = pictures[k, :, :, :height, :width]  # [N, 3, y, x]
            if self.frame.fit == "pad":
                pictures[k, rows].zero_()
            ahead = [partial(self._cover, spec, rows, coverage)]
            if threads > 1:
                ahead.insert(0, partial(_touch, pictures[k, rows]))
            with shared_out(_call, ahead, threads):
                copies = self._unmarked(spec, windows, targets)
                if self.colors.shared and self._selects_by_bits(spec):
                    self._finish(spec, rows)
            for target, picture in copies:
                _copy(target, picture)
            if spec.region is Region.NOTHING:
                continue
            shown = coverage[_shape_of(spec)]
            for part, origin in windows:
                few = shown.of_rows(part.start - rows.start, part.stop - rows.start)
                self._compose(spec, part, few, origin, targets[part])

    def _unmarked(
        self,
        spec: ModeSpec,
        windows: list[tuple[slice, tuple[int, int]]],
        targets: torch.Tensor,
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """What to copy where, before regions are marked: parts of ``targets [N, 3, y, x]``.

        Nothing where :meth:`_compose` writes every pixel itself.
        """
        bicubic = isinstance(self.view.resampling, BicubicMatrices)
        if not (spec.region is Region.NOTHING or bicubic or self._selects_by_bits(spec)):
            return []
        effect = spec.effect if spec.outside or spec.region is Region.NOTHING else Effect.NOTHING
        copies: list[tuple[torch.Tensor, torch.Tensor]] = []
        for part, origin in windows:
            target, (y, x) = targets[part], self._shown(origin)
            picture = self.plane(effect, part).finished[..., y, x].expand_as(target)
            copies.append((target, picture))
        return copies

    def _selects_by_bits(self, spec: ModeSpec) -> bool:
        """Whether :meth:`_compose` only changes what a region reaches, of a drawing not resampled.

        That is on a CPU, of binary regions and where no gradients are recorded.
        """
        if spec.region is Region.NOTHING or isinstance(self.view.resampling, BicubicMatrices):
            return False
        soft = self.image.masks.soft and spec.region is Region.MASK
        binary = not soft or spec.effect is Effect.OUTLINE
        levels = self.canvas.levels
        return levels.device.type == "cpu" and binary and not levels.requires_grad

    def _only_selects(self, spec: ModeSpec) -> bool:
        """Whether the masks as they are say which pixels to change, and nothing else is made."""
        masks = spec.region is Region.MASK and spec.effect is not Effect.OUTLINE
        return masks and self._selects_by_bits(spec)

    def plane(self, effect: Effect, rows: slice) -> Plane:
        """The picture of these candidates under an effect."""
        plane = self.planes.get(effect)
        if plane is None:
            levels = self.canvas.changed(effect, self.colors.of(rows))
            plane = Plane(levels, self.view.resampling, self.frame.scaled, self.settings)
            if self.colors.shared or effect not in COLORED:
                self.planes[effect] = plane
        return plane

    def _planes(self, spec: ModeSpec, rows: slice) -> tuple[Plane, Plane]:
        """What a mode shows inside its region, and outside."""
        changed, unchanged = self.plane(spec.effect, rows), self.plane(Effect.NOTHING, rows)
        return (unchanged, changed) if spec.outside else (changed, unchanged)

    def _finish(self, spec: ModeSpec, rows: slice) -> FinishedPlanes:
        """:func:`finish_planes` of a mode."""
        key = (spec.effect, spec.outside)
        planes = self.finished.get(key)
        if planes is None:
            resampling = self.view.resampling
            assert not isinstance(resampling, BicubicMatrices)
            planes = finish_planes(*self._planes(spec, rows), resampling, self.settings)
            if self.colors.shared:
                self.finished[key] = planes
        return planes

    def _bytes_per_candidate(self) -> int:
        image, canvas, output = (
            height * width
            for height, width in (self.image.size, self.frame.canvas, self.frame.output)
        )
        needed = 2 * image + canvas + self.image.masks.scratch_bytes  # dense masks
        if not all(map(self._only_selects, self.settings.specs)):
            # The float arithmetic of regions or soft masks, the output.
            needed += 24 * canvas + 36 * output
        if not self.colors.shared:
            needed += 36 * canvas  # planes of its own
        return needed

    def _cover(
        self, spec: ModeSpec, rows: slice, known: dict[tuple[Region, bool], Coverage]
    ) -> None:
        """Add to ``known`` what is inside, unless it is there or nothing is."""
        if spec.region is not Region.NOTHING and _shape_of(spec) not in known:
            known[_shape_of(spec)] = self._coverage(spec, rows, known)

    def _coverage(
        self, spec: ModeSpec, rows: slice, known: dict[tuple[Region, bool], Coverage]
    ) -> Coverage:
        """What is inside, on the canvas; ``known`` has, and gets, the masks themselves."""
        view, options = self.view, self.settings.options
        canvas, pixels = view.canvas, (view.rows, view.columns)
        if spec.region is Region.MASK:
            if view.is_part and spec.effect is Effect.OUTLINE:
                return self._outline_in_part(rows)
            masks = known.get((Region.MASK, False))
            if masks is None:
                masks = self.image.masks.on_canvas(rows.start, rows.stop, canvas, *pixels)
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
        if view.is_part:
            return Coverage.of(draw_shapes(shapes, canvas, None, *pixels))
        around = shapes.boxes(canvas) if worth_boxes(boxes.device, canvas) else None
        return Coverage(draw_shapes(shapes, canvas, around), around)

    def _outline_in_part(self, rows: slice) -> Coverage:
        """Outlines of masks where the canvas is not drawn as a whole, one candidate at a time."""
        view, width = self.view, self.settings.options.line_width
        # A line at a pixel follows from what is set within its reach and two pixels further. Pixels
        # that only look like neighbours, because those between them are left out, lie beyond.
        around = [
            _pixels_about(pixels, half_width(width, view.canvas) + 2, length)
            for pixels, length in zip((view.rows, view.columns), view.canvas, strict=True)
        ]
        lines = []
        for i in range(rows.start, rows.stop):
            mask = self.image.masks.on_canvas(i, i + 1, view.canvas, around[0][0], around[1][0])
            line = outline_of(mask.values > 0, width)
            for axis, (_, places) in enumerate(around, start=1):
                if places is not None:
                    line = line.index_select(axis, places.to(line.device))
            lines.append(line)
        return Coverage.of(torch.cat(lines))

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
        yield from self._windows_in(self.frame, rows)

    def _windows_in(self, frame: Frame, rows: slice) -> Iterator[tuple[slice, tuple[int, int]]]:
        """Each candidate alone, and the top left corner of the window about it."""
        boxes = self._boxes(rows, frame.scaled)  # [n, 4]
        centres = ((boxes[:, :2] + boxes[:, 2:]) / 2).tolist()
        for i, (x, y) in enumerate(centres, start=rows.start):
            yield slice(i, i + 1), frame.window_origin((y, x))

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
        inside, outside = self._planes(spec, rows)
        resampling = self.view.resampling
        if isinstance(resampling, BicubicMatrices):
            draw_bicubic(inside, outside, coverage, resampling, self.settings, origin, target)
            return
        y, x = self._shown(origin)
        if coverage.masks.is_floating_point():
            pictures = blend(inside, outside, coverage.values, resampling, self.settings)
            target.copy_(pictures[..., y, x])
            return
        planes = self._finish(spec, rows)
        if self.frame.visible != self.frame.scaled:
            planes = planes.window(y, x)
            coverage = Coverage.of(coverage.values[:, y, x])
        if self._selects_by_bits(spec):
            select_by_bits(planes, coverage, resampling, target)
        else:
            target.copy_(select(planes, coverage.values, resampling))


def _call(work: Callable[[], None]) -> None:
    work()


def _shape_of(spec: ModeSpec) -> tuple[Region, bool]:
    """Modes with the same cover the same pixels."""
    return spec.region, spec.effect is Effect.OUTLINE


def _copy(target: torch.Tensor, picture: torch.Tensor) -> None:
    if target.device.type == "cpu" and not (target.requires_grad or picture.requires_grad):
        np.copyto(integers_of(target), integers_of(picture))  # in half the time of copy_
    else:
        target.copy_(picture)


def _touch(pictures: torch.Tensor) -> None:
    """Have the system give ``pictures [n, 3, h, w]``, which is contiguous, its memory."""
    integers_of(pictures).reshape(-1)[:: mmap.PAGESIZE // pictures.element_size()] = 0


def _bytes_of(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _pixels_about(
    pixels: torch.Tensor | None, reach: int, length: int
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """All pixels of an axis within ``reach`` of ``pixels``, and the places of those among them.

    None stands for every pixel.
    """
    if pixels is None:
        return None, None
    reach = min(reach, length)
    near = pixels[:, None] + torch.arange(-reach, reach + 1, device=HOST)
    near = torch.unique(near[(near >= 0) & (near < length)])
    return near, torch.searchsorted(near, pixels)
