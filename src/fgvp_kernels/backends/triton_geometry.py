"""Host side of the Triton backend: tables that tell the kernels each image's geometry.

Images of a batch differ in size, so buffers are as large as the largest needs and every kernel
reads sizes, taps and matrices from tables. Tables depend on sizes alone and are kept between calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch

from fgvp_kernels.axis_operators import axis_blur, resize_matrix
from fgvp_kernels.frames import Frame, Order, Taps, bilinear_taps, tap_tables
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


def make_products(
    entries: Sequence[tuple[int, object]],
    build: Callable[[object], torch.Tensor],
    device: torch.device,
) -> Products:
    """Collect matrices ``[N, K]`` for a batch.

    Args:
        entries: For each image M, the length of the axis that stays, and the matrix's key.
        build: Makes the matrix of a key, in float64; called once for each key.
        device: Where the tables go.
    """
    places: dict[object, tuple[int, int, int, int]] = {}
    matrices: list[torch.Tensor] = []
    bands: list[torch.Tensor] = []
    size = count = 0
    for _, key in entries:
        if key in places:
            continue
        matrix = build(key)  # [N, K]
        places[key] = (matrix.shape[1], matrix.shape[0], size, count)
        matrices.append(matrix.to(torch.float32).flatten())
        bands.append(_bands(matrix))
        size += matrix.numel()
        count += bands[-1].numel()
    table = [[m, *places[key], 0] for m, key in entries]
    tiles = max(-(-m // BLOCK_M) * -(-places[key][1] // BLOCK_N) for m, key in entries)
    return Products(
        torch.cat(matrices).to(device),
        torch.cat(bands).to(device, torch.int32),
        torch.tensor(table, dtype=torch.int32).to(device),
        tiles,
        tuple(places[key][1] for _, key in entries),
    )


def _bands(matrix: torch.Tensor) -> torch.Tensor:
    """(first, last) non-zero column of every ``BLOCK_N`` rows, flat."""
    edges: list[int] = []
    for rows in torch.split(matrix != 0, BLOCK_N):
        used = rows.any(0).nonzero()
        edges += [int(used[0]), int(used[-1]) + 1]
    return torch.tensor(edges)


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


@lru_cache(maxsize=64)
def make_geometry(frames: tuple[Frame, ...], device: torch.device) -> Geometry:
    """Return the geometry of frames that share an output size."""
    output = frames[0].output
    length = max(output)
    canvas = (
        max(frame.canvas[0] for frame in frames),
        -(-max(frame.canvas[1] for frame in frames) // 16) * 16,
    )
    taps = torch.full((len(frames), 4, length), -1, dtype=torch.int32)
    fractions = torch.zeros(len(frames), 2, length)
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
    return Geometry(
        canvas=canvas,
        canvas_sizes=tuple(frame.canvas for frame in frames),
        area=output[0] * output[1],
        width=output[1],
        length=length,
        taps=taps.to(device),
        fractions=fractions.to(device),
        tap_count=tap_count,
        columns=make_products(
            [(frame.image[0], (frame.image[1], frame.canvas[1])) for frame in frames],
            _bilinear_matrix,
            device,
        ),
        rows=make_products(
            [(frame.canvas[1], (frame.image[0], frame.canvas[0])) for frame in frames],
            _bilinear_matrix,
            device,
        ),
    )


def _bilinear_matrix(key: object) -> torch.Tensor:
    return resize_matrix(*key, "bilinear")  # type: ignore[misc, call-arg]


def _output_taps(frame: Frame, axis: int, origin: int) -> Taps:
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


# Kept by length: crops have windows of many lengths, each of which takes milliseconds.
_axis_blur = lru_cache(maxsize=128)(axis_blur)


@lru_cache(maxsize=64)
def make_blur(
    sizes: tuple[tuple[int, int], ...], blur: Blur, sigma: float, device: torch.device
) -> BlurProducts:
    """Return the blur of canvases of the given (h, w)."""

    def collect(length: object) -> torch.Tensor:
        return _axis_blur(blur, sigma, length).collect

    def spread(length: object) -> torch.Tensor:
        matrix = _axis_blur(blur, sigma, length).spread
        assert matrix is not None
        return matrix

    columns = make_products([(h, w) for h, w in sizes], collect, device)
    collected = columns.outputs
    rows = make_products(
        [(n, h) for n, (h, _) in zip(collected, sizes, strict=True)], collect, device
    )
    if _axis_blur(blur, sigma, 1).spread is None:
        return BlurProducts(columns, rows, None, None)
    spread_rows = make_products(
        [(n, h) for n, (h, _) in zip(collected, sizes, strict=True)], spread, device
    )
    spread_columns = make_products([(h, w) for h, w in sizes], spread, device)
    return BlurProducts(columns, rows, spread_rows, spread_columns)


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


@lru_cache(maxsize=64)
def make_mask_taps(
    pairs: tuple[tuple[tuple[int, int], tuple[int, int]], ...], device: torch.device
) -> MaskTaps:
    """Return the taps of masks resized from the first to the second size of each pair."""
    length = max(max(canvas) for _, canvas in pairs)
    taps = torch.zeros(len(pairs), 4, length, dtype=torch.int32)
    fractions = torch.zeros(len(pairs), 2, length)
    for axis in (0, 1):
        first, second, fraction = tap_tables(
            [source[axis] for source, _ in pairs], [target[axis] for _, target in pairs]
        )
        shown = first.shape[1]
        taps[:, 2 * axis, :shown] = torch.from_numpy(first)
        taps[:, 2 * axis + 1, :shown] = torch.from_numpy(second)
        fractions[:, axis, :shown] = torch.from_numpy(fraction)
    return MaskTaps(length, taps.to(device), fractions.to(device))


@lru_cache(maxsize=64)
def make_logit_taps(
    pairs: tuple[tuple[int, int, int, tuple[int, ...]], ...], axis_length: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return where SAM's logits of one axis are read, and their weights.

    Args:
        pairs: For each image: logits on the axis, side of SAM's input, its unpadded part, and the
            sizes that follow: (canvas,) or (image, canvas).
        axis_length: Columns of the tables.
        device: Where they go.

    Returns:
        int32 ``[B, V, L]``, the first logit, and fp32 ``[B, V, 3, L]``, the weights of three
        successive ones; V = 1 for the canvas, 2 for both image pixels of a canvas pixel.
    """
    variants = len(pairs[0][3])
    first = torch.zeros(len(pairs), variants, axis_length, dtype=torch.int32)
    weights = torch.zeros(len(pairs), variants, 3, axis_length)
    for i, (logits, side, unpadded, sizes) in enumerate(pairs):
        # The two upsamplings compose to one matrix with at most three taps in a row.
        composed = _bilinear_rows(unpadded, sizes[0]) @ _bilinear_rows(logits, side)[:unpadded]
        if variants == 1:
            rows = [torch.arange(sizes[0])]
        else:
            taps = bilinear_taps(sizes[0], sizes[1])
            rows = [taps.first, taps.second]
        start = (composed != 0).int().argmax(1)  # [size]
        padded = torch.nn.functional.pad(composed, (0, 3))
        taken = torch.stack([padded.gather(1, start[:, None] + k)[:, 0] for k in range(3)])
        for v, at in enumerate(rows):
            first[i, v, : len(at)] = start[at]
            weights[i, v, :, : len(at)] = taken[:, at]
    return first.to(device), weights.to(device)


def _bilinear_rows(source: int, target: int) -> torch.Tensor:
    """Bilinear upsampling without antialiasing as a matrix: float64 ``[target, source]``."""
    taps = bilinear_taps(source, target)
    matrix = torch.zeros(target, source, dtype=torch.float64)
    rows = torch.arange(target)
    matrix[rows, taps.first] += 1.0 - taps.fraction.double()
    matrix[rows, taps.second] += taps.fraction.double()
    return matrix
