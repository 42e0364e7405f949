"""Modes that crop: every candidate's window of the image is a canvas of its own.

Windows are cut from the levels of the whole images, resized to their canvases where the image is
resized first; masks are read from words or soft masks of the whole image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from fgvp_kernels.backends import triton_compose
from fgvp_kernels.backends.triton_geometry import make_mask_taps
from fgvp_kernels.backends.triton_windows import (
    BITS,
    EFFECTS,
    NOTHING,
    Masks,
    Surfaces,
    Tasks,
    first_word_rows,
    launch_tiles,
    make_table,
    soft_masks,
    window_origins,
)
from fgvp_kernels.batch import Candidates, RenderBatch
from fgvp_kernels.frames import Frame, Size, make_frame
from fgvp_kernels.modes import Effect, Region
from fgvp_kernels.regions import crop_windows

# Working memory of the canvases that are drawn on together, unless one alone needs more.
_CHUNK_BYTES = 512 << 20
_LEVEL_BYTES, _BLUR_BYTES = 12, 36  # of a pixel: its levels; their blur and its intermediates
_SCAN_ROWS, _SCAN_COLUMNS = 4, 128  # of a program that looks for the box of a mask

Blur = Callable[[torch.Tensor, tuple[Size, ...]], torch.Tensor]


@dataclass(frozen=True)
class _Crop:
    """One candidate and its window."""

    owner: int  # its image in the batch
    number: int  # its place among the image's candidates
    row: int  # its picture
    corner: tuple[int, int]  # (y, x) of the window's first pixel
    frame: Frame

    def offset(self, pitch: int) -> int:
        """Of the window's first pixel in rows of ``pitch`` elements."""
        return self.corner[0] * pitch + self.corner[1]


def draw_crops(
    images: Sequence[Candidates],
    levels: torch.Tensor,
    words: torch.Tensor | None,
    batch: RenderBatch,
    out: torch.Tensor,
    blur: Blur,
) -> None:
    """Draw every mode that crops into ``out [K, ΣN, 3, h, w]``.

    Args:
        images: Images that are all of bytes or all of floats, with all hard or all soft masks.
        levels: ``[B, 3, H, W]``, the whole images as levels, uint8 or fp32.
        words: Bits of their masks on the same canvas; None where neither bits nor boxes are needed.
        batch: The call.
        out: Where the pictures go.
        blur: Blurs canvases of the given sizes.
    """
    crops = _crops(images, batch, (out.shape[3], out.shape[4]))
    modes = [(k, spec) for k, spec in enumerate(batch.settings.specs) if spec.crop]
    soft = images[0].masks.soft
    first_rows = first_word_rows(images)
    blurs = any(spec.effect is Effect.BLUR for _, spec in modes)
    for chunk in _chunks(crops, _LEVEL_BYTES + _BLUR_BYTES * blurs):
        frames = tuple(crop.frame for crop in chunk)
        canvases = _cut(levels, chunk)
        blurred = blur(canvases, tuple(frame.canvas for frame in frames)) if blurs else None
        surfaces = Surfaces(frames, canvases, blurred, batch)
        pairs = tuple((frame.image, frame.canvas) for frame in frames)
        pitches = [image.size[1] if soft else levels.stride(2) for image in images]
        tasks = _tasks(chunk, None if soft else first_rows, pitches, levels.device)
        if batch.settings.options.fit == "object_crop":
            assert words is not None
            boxes = _tight_boxes(chunk, words, first_rows, levels.stride(2))
            tasks = tasks.with_origins(window_origins(boxes, frames))
        nothing = Masks(NOTHING, canvases)
        masks = nothing
        if any(spec.region is Region.MASK for _, spec in modes):
            if soft:
                owners = [crop.owner for crop in chunk]
                masks = soft_masks([image.masks for image in images], owners, pairs, levels.device)
            else:
                assert words is not None
                taps = make_mask_taps(pairs, levels.device)
                masks = Masks(BITS, words, levels.stride(2), taps=taps)
        for k, spec in modes:
            surfaces.draw(spec, nothing if spec.region is Region.NOTHING else masks, tasks, out[k])


def _crops(images: Sequence[Candidates], batch: RenderBatch, size: Size) -> list[_Crop]:
    """All candidates, those with canvases of similar shape together."""
    settings = batch.settings
    crops = []
    for owner, image in enumerate(images):
        # Tight boxes are known on the host; taking them from there saves waiting for the device.
        boxes = image.given_boxes
        if boxes is None:
            boxes = image.masks.tight_boxes.to(torch.float32)
        windows = crop_windows(boxes, image.size, settings.order)
        for number, (left, top, right, bottom) in enumerate(windows.tolist()):
            frame = make_frame(
                (bottom - top, right - left), size, settings.order, settings.options.fit
            )
            crops.append(_Crop(owner, number, image.first + number, (top, left), frame))
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


def _cut(levels: torch.Tensor, crops: Sequence[_Crop]) -> torch.Tensor:
    """The windows, resized to their canvases: ``[V, 3, CH, CW]`` levels."""
    height = max(crop.frame.canvas[0] for crop in crops)
    width = -(-max(crop.frame.canvas[1] for crop in crops) // 16) * 16
    canvases = levels.new_empty(len(crops), 3, height, width)
    frames = tuple(
        (*crop.frame.image, *crop.frame.canvas, *crop.frame.canvas, 0, 0) for crop in crops
    )
    rows = [
        (i, i, crop.owner, 0, 1, 0, 0, crop.offset(levels.stride(2)))
        for i, crop in enumerate(crops)
    ]
    device = levels.device
    launch_tiles(
        levels, levels, Masks(NOTHING, levels), make_table(frames, torch.int32, device),
        Tasks(make_table(tuple(rows), torch.int32, device), len(rows)), canvases, planes=None,
        colors=make_table(((0.0, 0.0, 0.0),), torch.float32, device),
        finish=make_table(((1.0, 1.0, 1.0), (0.0, 0.0, 0.0)), torch.float32, device), alpha=0.0,
        luma=(0.0, 0.0, 0.0), EFFECT=EFFECTS[Effect.NOTHING], OUTSIDE=False, CUT=True,
        OWN_COLOR=False,
    )  # fmt: skip
    return canvases


def _tasks(
    crops: Sequence[_Crop],
    first_rows: Sequence[int] | None,
    pitches: Sequence[int],
    device: torch.device,
) -> Tasks:
    """A task for each crop.

    Args:
        crops: The crops.
        first_rows: Row of words with which each image begins; None for tasks that read soft masks.
        pitches: For each image, elements in a row of its masks.
        device: Where the table goes.
    """
    rows = []
    for i, crop in enumerate(crops):
        group, bit = crop.number, 0
        if first_rows is not None:
            group, bit = first_rows[crop.owner] + crop.number // 32, crop.number % 32
        origin = crop.frame.window_origin()
        rows.append((i, crop.row, group, bit, 1, *origin, crop.offset(pitches[crop.owner])))
    return Tasks(make_table(tuple(rows), torch.int32, device), len(rows))


def _tight_boxes(
    crops: Sequence[_Crop], words: torch.Tensor, first_rows: Sequence[int], pitch: int
) -> torch.Tensor:
    """Boxes of the masks within their windows, on the device: fp32 ``[V, 4]`` xyxy."""
    device = words.device
    tasks = _tasks(crops, first_rows, [pitch] * len(first_rows), device)
    sizes = make_table(tuple(crop.frame.image for crop in crops), torch.int32, device)
    boxes = torch.empty(len(crops), 4, dtype=torch.int32, device=device)
    triton_compose.tight_box_kernel[(len(crops),)](
        words, tasks.table, sizes, boxes, words.stride(0), pitch, ROWS=_SCAN_ROWS,
        COLUMNS=_SCAN_COLUMNS,
    )  # fmt: skip
    return boxes.to(torch.float32)
