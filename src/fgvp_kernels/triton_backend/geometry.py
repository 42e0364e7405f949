"""Host side of the Triton backend: tables that tell the kernels each image's geometry.

Images of a batch differ in size, so buffers are as large as the largest needs and every kernel
reads sizes, taps and matrices from tables. Tables depend on sizes alone and are kept between calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fgvp_kernels.axis_operators import resize_matrix
from fgvp_kernels.device_tables import HOST, kept, send
from fgvp_kernels.frames import Frame, Order, Taps, bilinear_taps, tap_tables
from fgvp_kernels.triton_backend.products import Matrix, Products, make_products


@dataclass(frozen=True, eq=False)
class Geometry:
    """What kernels need to know of the frames of a batch.

    Attributes:
        canvas: (CH, CW) of the canvas buffers; CW, their pitch, is a multiple of 16.
        canvas_sizes: (h, w) of each image's canvas.
        area, width: Pixels of a picture, and of its rows.
        length: Columns of ``taps`` and ``fractions``.
        taps: int32 ``[B, 4, length]``: first and second canvas row of an output row, then of a
            column; -1 where the output shows nothing.
        fractions: fp32 ``[B, 2, length]``: weight of the second row, of the second column.
        tap_count: 2 where any picture is squashed, else 1.
        resize: The resize to the canvas, of columns and then of rows; None where all canvases are
            the images.
    """

    canvas: tuple[int, int]
    canvas_sizes: tuple[tuple[int, int], ...]
    area: int
    width: int
    length: int
    taps: torch.Tensor
    fractions: torch.Tensor
    tap_count: int
    resize: tuple[Products, Products] | None


def make_geometry(frames: tuple[Frame, ...], device: torch.device) -> Geometry:
    """Return the geometry of frames that share an output size; it is kept between calls."""
    return kept(("geometry", frames), lambda: _make_geometry(frames, device), device)


def _make_geometry(frames: tuple[Frame, ...], device: torch.device) -> Geometry:
    output = frames[0].output
    length = max(output)
    canvas = (
        max(frame.canvas[0] for frame in frames),
        -(-max(frame.canvas[1] for frame in frames) // 16) * 16,
    )
    taps = np.full((len(frames), 4, length), -1, np.int32)
    fractions = np.zeros((len(frames), 2, length), np.float32)
    tap_count = 1
    for i, frame in enumerate(frames):
        origin = frame.window_origin()
        for axis in (0, 1):
            sampled = _output_taps(frame, axis, origin[axis])
            shown = len(sampled.first)
            taps[i, 2 * axis, :shown] = sampled.first
            taps[i, 2 * axis + 1, :shown] = sampled.second
            fractions[i, axis, :shown] = sampled.fraction
            if bool((sampled.first != sampled.second).any()):
                tap_count = 2
    taps_there, fractions_there = send([taps, fractions], device)
    return Geometry(
        canvas=canvas,
        canvas_sizes=tuple(frame.canvas for frame in frames),
        area=output[0] * output[1],
        width=output[1],
        length=length,
        taps=taps_there,
        fractions=fractions_there,
        tap_count=tap_count,
        resize=_make_resize(frames, device),
    )


def _make_resize(
    frames: tuple[Frame, ...], device: torch.device
) -> tuple[Products, Products] | None:
    if all(frame.canvas == frame.image for frame in frames):
        return None
    columns = [(f.image[0], _resize(f.image[1], f.canvas[1])) for f in frames]
    rows = [(f.canvas[1], _resize(f.image[0], f.canvas[0])) for f in frames]
    return make_products(columns, device), make_products(rows, device)


def _resize(source: int, target: int) -> Matrix:
    key = ("resize of an axis", source, target)
    return kept(key, lambda: Matrix.of(resize_matrix(source, target, "bilinear")))


def _output_taps(frame: Frame, axis: int, origin: int) -> Taps:
    """Canvas pixels behind the visible output pixels of one axis."""
    if frame.order is Order.RESIZE_FIRST and frame.canvas[axis] != frame.scaled[axis]:
        return bilinear_taps(frame.canvas[axis], frame.scaled[axis])
    pixels = torch.arange(origin, origin + frame.visible[axis], device=HOST)
    return Taps(pixels, pixels, torch.zeros(len(pixels), dtype=torch.float32, device=HOST))


@dataclass(frozen=True, eq=False)
class MaskTaps:
    """Mask pixels behind the canvas pixels of a batch.

    Attributes:
        length: Columns of the tables.
        taps: int32 ``[B, 4, length]``: first and second mask row of a canvas row, then of a
            column.
        fractions: fp32 ``[B, 2, length]``: weight of the second row, of the second column.
    """

    length: int
    taps: torch.Tensor
    fractions: torch.Tensor


_Pairs = tuple[tuple[tuple[int, int], tuple[int, int]], ...]


def mask_taps_of(pairs: _Pairs, device: torch.device) -> MaskTaps:
    """Return :func:`make_mask_taps`, kept between calls."""
    return kept(("taps of masks", pairs), lambda: make_mask_taps(pairs, device), device)


def make_mask_taps(pairs: _Pairs, device: torch.device) -> MaskTaps:
    """Return the taps of masks resized from the first to the second size of each pair."""
    length = max(max(canvas) for _, canvas in pairs)
    taps = np.zeros((len(pairs), 4, length), np.int32)
    fractions = np.zeros((len(pairs), 2, length), np.float32)
    for axis in (0, 1):
        first, second, fraction = tap_tables(
            [source[axis] for source, _ in pairs], [target[axis] for _, target in pairs]
        )
        shown = first.shape[1]
        taps[:, 2 * axis, :shown] = first
        taps[:, 2 * axis + 1, :shown] = second
        fractions[:, axis, :shown] = fraction
    taps_there, fractions_there = send([taps, fractions], device)
    return MaskTaps(length, taps_there, fractions_there)


@dataclass(frozen=True)
class LogitAxis:
    """How SAM's logits of one axis come to the canvas.

    Attributes:
        logits: How many there are.
        side: Side of SAM's input.
        unpadded: Its part that shows the image.
        sizes: What the input is resized to: (canvas,) or (image, canvas).
    """

    logits: int
    side: int
    unpadded: int
    sizes: tuple[int, ...]


def make_logit_taps(
    axes: dict[int, tuple[LogitAxis, LogitAxis]], batch: int, length: int, device: torch.device
) -> list[torch.Tensor]:
    """Return where SAM's logits are read, and their weights.

    Args:
        axes: Both axes (y, x) of some images of the batch.
        batch: Number of images, B.
        length: Columns of the tables, L.
        device: Where they go.

    Returns:
        int32 ``[B, 2, V, L]``, the first logit, and fp32 ``[B, 2, V, 3, L]``, the weights of three
        successive ones; V = 1 for the canvas, 2 for both image pixels of a canvas pixel.
    """
    variants = max(len(both[0].sizes) for both in axes.values())
    first = np.zeros((batch, 2, variants, length), np.int32)
    weights = np.zeros((batch, 2, variants, 3, length), np.float32)
    for place, both in axes.items():
        for axis, item in enumerate(both):
            starts, taken = _logit_taps(item)
            first[place, axis, :, : starts.shape[1]] = starts
            weights[place, axis, :, :, : starts.shape[1]] = taken
    return send([first, weights], device)


def _logit_taps(axis: LogitAxis) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The first logit ``[V, size]`` and three weights ``[V, 3, size]`` of every canvas pixel."""
    return kept(("taps of logits", axis), lambda: _make_logit_taps(axis))


def _make_logit_taps(axis: LogitAxis) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    sizes = axis.sizes
    # The two upsamplings compose to one matrix with at most three taps in a row.
    composed = _bilinear_rows(axis.unpadded, sizes[0])
    composed = composed @ _bilinear_rows(axis.logits, axis.side)[: axis.unpadded]
    rows = [torch.arange(sizes[0], device=HOST)]
    if len(sizes) == 2:
        taps = bilinear_taps(sizes[0], sizes[1])
        rows = [taps.first, taps.second]
    start = (composed != 0).int().argmax(1)  # [size]
    padded = torch.nn.functional.pad(composed, (0, 3))
    taken = torch.stack([padded.gather(1, start[:, None] + k)[:, 0] for k in range(3)])
    return (
        torch.stack([start[at] for at in rows]).numpy(),
        torch.stack([taken[:, at] for at in rows]).numpy(),
    )


def _bilinear_rows(source: int, target: int) -> torch.Tensor:
    """Bilinear upsampling without antialiasing as a matrix: float64 ``[target, source]``."""
    taps = bilinear_taps(source, target)
    matrix = torch.zeros(target, source, dtype=torch.float64, device=HOST)
    rows = torch.arange(target, device=HOST)
    matrix[rows, taps.first] += 1.0 - taps.fraction.double()
    matrix[rows, taps.second] += taps.fraction.double()
    return matrix
