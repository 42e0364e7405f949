"""Host side of the Triton backend: tables that tell the kernels each image's geometry.

Images of a batch differ in size, so buffers are as large as the largest needs and every kernel
reads sizes, taps and matrices from tables. Tables depend on sizes alone and are kept between calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from fgvp_kernels.axis_operators import axis_blur, resize_matrix
from fgvp_kernels.device_tables import DeviceCache, send
from fgvp_kernels.frames import Frame, Order, Taps, bilinear_taps
from fgvp_kernels.options import Blur

# Tile of the products: rows that stay, and rows of the matrix, for which its bands are counted.
BLOCK_M, BLOCK_N, BLOCK_K = 32, 64, 32


@dataclass(frozen=True, eq=False)
class Products:
    """The matrices of one product of every image of a batch.

    Attributes:
        matrices: fp32, one after another, each once.
        bands: int32, (first, last) non-zero source of every ``BLOCK_N`` rows of each matrix.
        table: int32 ``[B, 6]``: M, K, N, offset of the matrix, of its bands, 0.
        tiles: The most output tiles that an image has.
        outputs: N of each image.
    """

    matrices: torch.Tensor
    bands: torch.Tensor
    table: torch.Tensor
    tiles: int
    outputs: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Matrix:
    """A matrix ``[N, K]`` on the host, fp32 and flat, and the bands of its rows."""

    shape: tuple[int, int]
    values: np.ndarray[Any, Any]
    bands: np.ndarray[Any, Any]

    @classmethod
    def of(cls, matrix: torch.Tensor) -> Matrix:
        """The matrix with its bands: (first, last) non-zero column of every ``BLOCK_N`` rows."""
        edges: list[int] = []
        for rows in torch.split(matrix != 0, BLOCK_N):
            used = rows.any(0).nonzero()
            edges += [int(used[0]), int(used[-1]) + 1] if len(used) else [0, 0]
        values = matrix.to(torch.float32).flatten().numpy()
        return cls((matrix.shape[0], matrix.shape[1]), values, np.array(edges, np.int32))


def make_products(entries: Sequence[tuple[int, Matrix]], device: torch.device) -> Products:
    """Collect matrices for a batch.

    Args:
        entries: For each image M, the length of the axis that stays, and the matrix.
        device: Where the tables go.
    """
    places: dict[Matrix, tuple[int, int, int, int]] = {}
    size = count = 0
    for _, matrix in entries:
        if matrix not in places:
            places[matrix] = (matrix.shape[1], matrix.shape[0], size, count)
            size += matrix.values.size
            count += matrix.bands.size
    values = np.concatenate([matrix.values for matrix in places])
    bands = np.concatenate([matrix.bands for matrix in places])
    rows = np.array([[m, *places[matrix], 0] for m, matrix in entries], np.int32)
    outputs = tuple(matrix.shape[0] for _, matrix in entries)
    tiles = max(
        -(-m // BLOCK_M) * -(-n // BLOCK_N) for (m, _), n in zip(entries, outputs, strict=True)
    )
    there, bands_there, table = send([values, bands, rows], device)
    return Products(there, bands_there, table, tiles, outputs)


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
        columns, rows: The resize to the canvas, columns first.
    """

    canvas: tuple[int, int]
    canvas_sizes: tuple[tuple[int, int], ...]
    area: int
    width: int
    length: int
    taps: torch.Tensor
    fractions: torch.Tensor
    tap_count: int
    columns: Products
    rows: Products


_GEOMETRIES: DeviceCache[Geometry] = DeviceCache(32)


def make_geometry(frames: tuple[Frame, ...], device: torch.device) -> Geometry:
    """Return the geometry of frames that share an output size; it is kept between calls."""
    return _GEOMETRIES.get((frames, device), lambda: _make_geometry(frames, device), device)


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
            sampled = output_taps(frame, axis, origin[axis])
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
        columns=make_products(
            [(frame.image[0], _resize(frame.image[1], frame.canvas[1])) for frame in frames], device
        ),
        rows=make_products(
            [(frame.canvas[1], _resize(frame.image[0], frame.canvas[0])) for frame in frames],
            device,
        ),
    )


@lru_cache(maxsize=64)
def _resize(source: int, target: int) -> Matrix:
    return Matrix.of(resize_matrix(source, target, "bilinear"))


def output_taps(frame: Frame, axis: int, origin: int) -> Taps:
    """Canvas pixels behind the visible output pixels of one axis."""
    if frame.order is Order.RESIZE_FIRST and frame.canvas[axis] != frame.scaled[axis]:
        return bilinear_taps(frame.canvas[axis], frame.scaled[axis])
    pixels = torch.arange(origin, origin + frame.visible[axis])
    return Taps(pixels, pixels, torch.zeros(len(pixels)))


@dataclass(frozen=True, eq=False)
class BlurProducts:
    """The blur of every canvas: collect along both axes, then spread, see ``axis_blur``."""

    collect_columns: Products
    collect_rows: Products
    spread_rows: Products | None
    spread_columns: Products | None


_BLURS: DeviceCache[BlurProducts] = DeviceCache(32)


def make_blur(
    sizes: tuple[tuple[int, int], ...], blur: Blur, sigma: float, device: torch.device
) -> BlurProducts:
    """Return the blur of canvases of the given (h, w); it is kept between calls."""
    key = (sizes, blur, sigma, device)
    return _BLURS.get(key, lambda: _make_blur(sizes, blur, sigma, device), device)


def _make_blur(
    sizes: tuple[tuple[int, int], ...], blur: Blur, sigma: float, device: torch.device
) -> BlurProducts:
    axes = {length: _blur(blur, sigma, length) for size in sizes for length in size}
    columns = make_products([(h, axes[w][0]) for h, w in sizes], device)
    # Rows of the matrices are collected pixels: what stays while the other axis is worked on.
    kept = [(n, h) for n, (h, _) in zip(columns.outputs, sizes, strict=True)]
    rows = make_products([(n, axes[h][0]) for n, h in kept], device)
    spread = {length: after for length, (_, after) in axes.items() if after is not None}
    if not spread:
        return BlurProducts(columns, rows, None, None)
    return BlurProducts(
        columns,
        rows,
        make_products([(n, spread[h]) for n, h in kept], device),
        make_products([(h, spread[w]) for h, w in sizes], device),
    )


@lru_cache(maxsize=64)
def _blur(blur: Blur, sigma: float, length: int) -> tuple[Matrix, Matrix | None]:
    """Both matrices of an axis, see ``axis_blur``."""
    exact = axis_blur(blur, sigma, length)
    return Matrix.of(exact.collect), None if exact.spread is None else Matrix.of(exact.spread)


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
_MASK_TAPS: DeviceCache[MaskTaps] = DeviceCache(32)


def make_mask_taps(pairs: _Pairs, device: torch.device) -> MaskTaps:
    """Return the taps of masks resized from the first to the second size of each pair; kept."""
    return _MASK_TAPS.get((pairs, device), lambda: _make_mask_taps(pairs, device), device)


def _make_mask_taps(pairs: _Pairs, device: torch.device) -> MaskTaps:
    length = max(max(canvas) for _, canvas in pairs)
    taps = np.zeros((len(pairs), 4, length), np.int32)
    fractions = np.zeros((len(pairs), 2, length), np.float32)
    for i, (image, canvas) in enumerate(pairs):
        for axis in (0, 1):
            sampled = bilinear_taps(image[axis], canvas[axis])
            taps[i, 2 * axis, : canvas[axis]] = sampled.first
            taps[i, 2 * axis + 1, : canvas[axis]] = sampled.second
            fractions[i, axis, : canvas[axis]] = sampled.fraction
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


@lru_cache(maxsize=64)
def _logit_taps(axis: LogitAxis) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The first logit ``[V, size]`` and three weights ``[V, 3, size]`` of every canvas pixel."""
    sizes = axis.sizes
    # The two upsamplings compose to one matrix with at most three taps in a row.
    composed = bilinear_rows(axis.unpadded, sizes[0])
    composed = composed @ bilinear_rows(axis.logits, axis.side)[: axis.unpadded]
    rows = [torch.arange(sizes[0])]
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


def bilinear_rows(source: int, target: int) -> torch.Tensor:
    """Bilinear upsampling without antialiasing as a matrix: float64 ``[target, source]``."""
    taps = bilinear_taps(source, target)
    matrix = torch.zeros(target, source, dtype=torch.float64)
    rows = torch.arange(target)
    matrix[rows, taps.first] += 1.0 - taps.fraction.double()
    matrix[rows, taps.second] += taps.fraction.double()
    return matrix
