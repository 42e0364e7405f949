"""Modes that crop: every candidate's window of the image is a canvas of its own.

Windows are cut from the levels of the whole images, resized to their canvases where the image is
resized first; masks are read from words or soft masks of the whole image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch

from fgvp_kernels.batch import Candidates
from fgvp_kernels.device_tables import is_capturing, kept, numbers_on, offsets_of, send
from fgvp_kernels.frames import Frame, Order, make_frame
from fgvp_kernels.mask_stacks import RleMasks
from fgvp_kernels.modes import Effect, Mode, Region
from fgvp_kernels.options import Blur
from fgvp_kernels.regions import crop_windows
from fgvp_kernels.torch_backend import rendering as torch_rendering
from fgvp_kernels.triton_backend.drawing import Drawing
from fgvp_kernels.triton_backend.geometry import make_mask_taps
from fgvp_kernels.triton_backend.mask_bits import pack_words, stored
from fgvp_kernels.triton_backend.plan import GROUP, ImageLayout, Layout
from fgvp_kernels.triton_backend.products import blur_levels, make_blur
from fgvp_kernels.triton_backend.windows import (
    BITS,
    EFFECTS,
    NOTHING,
    SOFT,
    Masks,
    Surfaces,
    SurfaceTables,
    launch_tiles,
    tasks_about,
)

# Working memory of the canvases that are drawn on together, unless one alone needs more.
_CHUNK_BYTES = 512 << 20
_LEVEL_BYTES, _BLUR_BYTES = 12, 36  # of a pixel: its levels; their blur and its intermediates

_Windows = tuple[tuple[tuple[int, int, int, int], ...], ...]  # xyxy of each image's candidates


@dataclass(frozen=True)
class _Crop:
    """One candidate and its window."""

    owner: int  # its image in the drawing
    number: int  # its place among the image's candidates
    corner: tuple[int, int]  # (y, x) of the window's first pixel
    frame: Frame


class CropPlan:
    """Some windows that are drawn together, and what kernels need to know of them.

    Attributes:
        owners: Image of each window.
        canvas: (CH, CW) of the canvas buffers.
        tables: Of the windows as surfaces.
        tasks: int32 ``[V, 10]``, one for each window.
        cut_table, cut_tasks: Frames and tasks that cut the windows and resize them to canvases.
        blur: Of the canvases, or None where nothing is blurred.
        mask_taps: From the windows of the masks to the canvases.
    """

    def __init__(
        self,
        crops: Sequence[_Crop],
        images: Sequence[ImageLayout],
        blur: tuple[Blur, float] | None,
        device: torch.device,
    ) -> None:
        frames = tuple(crop.frame for crop in crops)
        canvases = tuple(frame.canvas for frame in frames)
        self.owners = [crop.owner for crop in crops]
        height, width = (max(canvas[axis] for canvas in canvases) for axis in (0, 1))
        self.canvas = (height, -(-width // 16) * 16)
        mask_sizes = [images[owner].stored_size for owner in self.owners]
        self.tables = SurfaceTables(frames, mask_sizes, device)
        rows = [0, *accumulate(-(-image.candidates // GROUP) for image in images)]
        tasks, cut_tasks = [], []
        for i, crop in enumerate(crops):
            row, bit = rows[crop.owner] + crop.number // GROUP, crop.number % GROUP
            out, origin = images[crop.owner].first + crop.number, crop.frame.window_origin()
            tasks.append([i, out, row, bit, 1, crop.number, *origin, *crop.corner])
            cut_tasks.append([i, i, crop.owner, 0, 1, 0, 0, 0, *crop.corner])
        cut = [[*frame.image, *frame.canvas, *frame.canvas, 0, 0] for frame in frames]
        self.tasks, self.cut_tasks, self.cut_table = send(
            [np.array(table, np.int32) for table in (tasks, cut_tasks, cut)], device
        )
        if frames[0].fit == "object_crop":  # the candidate's box is the whole window
            corners = self.cut_table[:, :2].flip(1)  # [V, 2], x and y
            boxes = torch.cat([torch.zeros_like(corners), corners], 1)
            self.tasks = tasks_about(boxes, self.tasks, self.tables)
        self.blur = None if blur is None else make_blur(canvases, *blur, device)
        pairs = tuple((frame.image, frame.canvas) for frame in frames)
        self.mask_taps = make_mask_taps(pairs, device)


def draw_crops(drawing: Drawing) -> None:
    """Draw every mode that crops of images whose canvases are the images themselves.

    The sizes of buffers, and the matrices of resize and blur, depend on the windows, so the host
    must know them: except for boxes of COCO RLE, it waits for the boxes to come from the device.
    Calls with the windows of an earlier one find their tables there.

    Raises:
        RuntimeError: A CUDA graph is being captured and the boxes are on the device.
    """
    settings, soft = drawing.settings, drawing.soft
    modes = [(k, spec) for k, spec in enumerate(settings.specs) if spec.crop]
    masked = any(spec.region is Region.MASK for _, spec in modes)
    blurs = any(spec.effect is Effect.BLUR for _, spec in modes)
    words = None
    if masked and not soft:
        words = pack_words(Mode.MASK.spec, drawing.images, drawing.plan, settings)
    windows, layout = _windows(drawing), drawing.plan.layout
    for image, crops in zip(drawing.images, windows, strict=True):
        frames = [_frame_of(window, settings.order, layout) for window in crops]
        thin = [i for i, frame in enumerate(frames) if frame.thin]
        if thin:
            torch_rendering.draw(
                image, drawing.batch, [k for k, _ in modes], drawing.out, crops=thin
            )
    for plan in _plans(windows, drawing, blurs):
        canvases = _cut(drawing.canvas, plan)
        blurred = blur_levels(canvases, plan.blur) if blurs else None
        masks = nothing = Masks(NOTHING, canvases)
        if masked and soft:
            stacks = [stored(image.masks) for image in drawing.images]
            offsets = offsets_of([stacks[owner] for owner in plan.owners], drawing.device)
            # Offsets count from the first tensor, which is that of the first window's image.
            masks = Masks(SOFT, stacks[plan.owners[0]], offsets=offsets, taps=plan.mask_taps)
        elif masked and words is not None:
            masks = Masks(BITS, words, drawing.canvas.stride(2), taps=plan.mask_taps)
        surfaces = Surfaces(plan.tables, canvases, blurred, drawing.batch)
        for k, spec in modes:
            inside = nothing if spec.region is Region.NOTHING else masks
            surfaces.draw(k, inside, plan.tasks, len(plan.tasks), drawing.out[k])


def _windows(drawing: Drawing) -> _Windows:
    boxes = _boxes_on_host(drawing.images)
    return tuple(
        tuple(crop_windows(*pair, drawing.settings.order))
        for pair in zip(boxes, (image.size for image in drawing.images), strict=True)
    )


def _plans(windows: _Windows, drawing: Drawing, blurs: bool) -> list[CropPlan]:
    """Plans of all candidates, made by an earlier call with the same windows if there was one."""
    order, options = drawing.settings.order, drawing.settings.options
    layout, device = drawing.plan.layout, drawing.device
    blur = (options.blur, float(options.sigma)) if blurs and options.sigma > 0 else None

    def make() -> list[CropPlan]:
        chunks = _chunks(_crops(windows, order, layout), _LEVEL_BYTES + _BLUR_BYTES * blurs)
        return [CropPlan(chunk, layout.images, blur, device) for chunk in chunks]

    return kept(("crops", layout, order, blur, blurs, windows), make, device)


def _frame_of(window: tuple[int, int, int, int], order: Order, layout: Layout) -> Frame:
    left, top, right, bottom = window
    return make_frame((bottom - top, right - left), layout.size, order, layout.fit)


def _boxes_on_host(images: Sequence[Candidates]) -> list[torch.Tensor]:
    """float32 ``[N, 4]`` xyxy of each image; those on the device are read back at once."""
    boxes, there = {}, {}
    for place, image in enumerate(images):
        if image.given_boxes is None and isinstance(image.masks, RleMasks):
            boxes[place] = image.masks.tight_boxes.to(torch.float32)
        else:
            there[place] = image
    if there and is_capturing(images[0].image.device):
        raise RuntimeError(
            "a CUDA graph cannot capture modes that crop: the host must read the boxes back; only "
            "those of COCO RLE masks it knows"
        )
    if there:
        read = torch.cat([image.boxes for image in there.values()]).cpu()  # [ΣN, 4]
        counts = [image.masks.count for image in there.values()]
        boxes |= zip(there, torch.split(read, counts), strict=True)
    return [boxes[place] for place in range(len(images))]


def _crops(windows: _Windows, order: Order, layout: Layout) -> list[_Crop]:
    """All candidates but thin ones, those with canvases of similar shape together."""
    crops = []
    for owner, boxes in enumerate(windows):
        for number, window in enumerate(boxes):
            frame = _frame_of(window, order, layout)
            if not frame.thin:
                crops.append(_Crop(owner, number, (window[1], window[0]), frame))
    return sorted(crops, key=lambda crop: crop.frame.canvas)


def _chunks(crops: Sequence[_Crop], bytes_per_pixel: int) -> Iterator[list[_Crop]]:
    """Successive crops whose canvases fit into memory."""
    chunk: list[_Crop] = []
    height = width = 0
    for crop in crops:
        height, width = max(height, crop.frame.canvas[0]), max(width, crop.frame.canvas[1])
        if chunk and (len(chunk) + 1) * height * width * bytes_per_pixel > _CHUNK_BYTES:
            yield chunk
            chunk, (height, width) = [], crop.frame.canvas
        chunk.append(crop)
    if chunk:
        yield chunk


def _cut(levels: torch.Tensor, plan: CropPlan) -> torch.Tensor:
    """The windows, resized to their canvases: ``[V, 3, CH, CW]`` levels."""
    canvases = levels.new_empty(len(plan.owners), 3, *plan.canvas)
    black = numbers_on((0.0,) * 3, levels.device)[None]  # [1, 3]
    unchanged = numbers_on((1.0,) * 3 + (0.0,) * 3, levels.device)
    launch_tiles(
        levels, levels, Masks(NOTHING, levels), plan.cut_table, plan.cut_tasks,
        black, unchanged, canvases, None, (0.0, 0.0, 0.0, 0.0), EFFECT=EFFECTS[Effect.NOTHING],
        OUTSIDE=False, CUT=True, OWN_COLOR=False,
    )  # fmt: skip
    return canvases
