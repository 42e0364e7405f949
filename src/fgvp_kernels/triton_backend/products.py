"""Resize and blur as products with matrices: their tables, and the launches that multiply.

The matrices of all images of a batch lie in one table. Most of their entries are 0, so of every
``BLOCK_N`` rows only the band of non-zero columns is stored and multiplied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fgvp_kernels.axis_operators import axis_blur
from fgvp_kernels.device_tables import kept, send
from fgvp_kernels.options import Blur
from fgvp_kernels.triton_backend.kernels import planes as triton_planes
from fgvp_kernels.triton_backend.launches import launch

# Tile of the products: rows that stay, and rows of the matrix, for which its bands are counted.
BLOCK_M, BLOCK_N, BLOCK_K = 32, 64, 32


@dataclass(frozen=True, eq=False)
class Products:
    """The matrices of one product of every image of a batch.

    Attributes:
        weights: fp32, the bands of the matrices, each once.
        bands: int32 ``[bands, 3]``, see :class:`Matrix`; each matrix once.
        table: int32 ``[B, 4]``: M, K, N, first of the bands of the matrix.
        tiles: The most output tiles that an image has.
        outputs: N of each image.
    """

    weights: torch.Tensor
    bands: torch.Tensor
    table: torch.Tensor
    tiles: int
    outputs: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Matrix:
    """A matrix ``[N, K]`` on the host, of which only the columns that are not all 0 are stored.

    Attributes:
        shape: (N, K).
        weights: fp32: of every ``BLOCK_N`` rows the band of their columns, rows one after another;
            bands of equal weights (a blur has many, an identity two) once.
        bands: int32 ``[ceil(N / BLOCK_N), 3]``: first column of a band, the one after its last,
            and where it begins in ``weights``.
    """

    shape: tuple[int, int]
    weights: np.ndarray[Any, Any]
    bands: np.ndarray[Any, Any]

    @classmethod
    def of(cls, matrix: torch.Tensor) -> Matrix:
        """The matrix, given whole."""
        weights: dict[tuple[int, bytes], np.ndarray[Any, Any]] = {}
        starts: dict[tuple[int, bytes], int] = {}
        bands, size = [], 0
        for rows in torch.split(matrix, BLOCK_N):
            used = (rows != 0).any(0).nonzero()
            first, last = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 0)
            band = rows[:, first:last].to(torch.float32).contiguous().numpy()
            content = (last - first, band.tobytes())
            if content not in weights:
                weights[content], starts[content] = band.ravel(), size
                size += band.size
            bands.append((first, last, starts[content]))
        shape = (matrix.shape[0], matrix.shape[1])
        return cls(shape, np.concatenate([*weights.values()]), np.array(bands, np.int32))


def make_products(entries: Sequence[tuple[int, Matrix]], device: torch.device) -> Products:
    """Collect matrices for a batch.

    Args:
        entries: For each image M, the length of the axis that stays, and the matrix.
        device: Where the tables go.
    """
    first_bands: dict[Matrix, int] = {}
    bands, size, count = [], 0, 0
    for _, matrix in entries:
        if matrix not in first_bands:
            first_bands[matrix] = count
            bands.append(matrix.bands + np.array([0, 0, size], np.int32))
            size += matrix.weights.size
            count += len(matrix.bands)
    weights = np.concatenate([matrix.weights for matrix in first_bands])
    rows = [(m, *matrix.shape[::-1], first_bands[matrix]) for m, matrix in entries]
    outputs = tuple(matrix.shape[0] for _, matrix in entries)
    tiles = max(
        -(-m // BLOCK_M) * -(-n // BLOCK_N) for (m, _), n in zip(entries, outputs, strict=True)
    )
    weights_there, bands_there, table = send(
        [weights, np.concatenate(bands), np.array(rows, np.int32)], device
    )
    return Products(weights_there, bands_there, table, tiles, outputs)


@dataclass(frozen=True, eq=False)
class BlurProducts:
    """The blur of every canvas: collect along both axes, then spread, see ``axis_blur``."""

    collect_columns: Products
    collect_rows: Products
    spread_rows: Products | None
    spread_columns: Products | None


def blur_of(
    sizes: tuple[tuple[int, int], ...], blur: Blur, sigma: float, device: torch.device
) -> BlurProducts:
    """Return :func:`make_blur`, kept between calls."""
    key = ("blur of canvases", sizes, blur, sigma)
    return kept(key, lambda: make_blur(sizes, blur, sigma, device), device)


def make_blur(
    sizes: tuple[tuple[int, int], ...], blur: Blur, sigma: float, device: torch.device
) -> BlurProducts:
    """Return the blur of canvases of the given (h, w)."""
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


def _blur(blur: Blur, sigma: float, length: int) -> tuple[Matrix, Matrix | None]:
    """Both matrices of an axis, see ``axis_blur``."""

    def make() -> tuple[Matrix, Matrix | None]:
        exact = axis_blur(blur, sigma, length)
        return Matrix.of(exact.collect), None if exact.spread is None else Matrix.of(exact.spread)

    # Kept by length: crops have windows of many lengths, each of which takes milliseconds.
    return kept(("blur of an axis", blur, sigma, length), make)


def multiply_columns(
    x: torch.Tensor,
    products: Products,
    y: torch.Tensor,
    exact: bool,
    rounded: bool,
    factor: float = 1.0,
    offsets: torch.Tensor | None = None,
) -> None:
    """``y = factor · x · Aᵀ``; with ``offsets``, ``x`` is the first of several images.

    Args:
        x: ``[B, C, M, K]``, or an image ``[C, M, K]``.
        products: The matrices A.
        y: ``[B, C, M, N]``, written.
        exact: ``x`` is exact in fp16.
        rounded: ``y`` is rounded to whole levels.
        factor: See above.
        offsets: int64 ``[B]``, elements from the first image to each.
    """
    apart = offsets is not None
    launch(
        triton_planes.multiply_columns_kernel, (products.tiles, y.shape[1], y.shape[0]),
        (x, products.table if offsets is None else offsets, products.weights, products.bands,
         products.table, y),
        (*((0, 0, 0) if apart else x.stride()[:3]), *y.stride()[:3]), (factor,),
        APART=apart, X_EXACT=exact, ROUND=rounded, BLOCK_M=BLOCK_M, BLOCK_N=BLOCK_N,
        BLOCK_K=BLOCK_K,
    )  # fmt: skip


def multiply_rows(
    x: torch.Tensor,
    products: Products,
    y: torch.Tensor,
    exact: bool,
    rounded: bool,
) -> None:
    """``y = A · x``, see :func:`multiply_columns`."""
    launch(
        triton_planes.multiply_rows_kernel, (products.tiles, y.shape[1], y.shape[0]),
        (x, products.weights, products.bands, products.table, y),
        (*x.stride()[:3], *y.stride()[:3]), X_EXACT=exact, ROUND=rounded,
        BLOCK_M=BLOCK_M, BLOCK_N=BLOCK_N, BLOCK_K=BLOCK_K,
    )  # fmt: skip


def blur_levels(canvas: torch.Tensor, blur: BlurProducts | None) -> torch.Tensor:
    """Blurred levels of canvases ``[V, 3, CH, CW]``, uint8 or fp32: fp32 of the same shape."""
    if blur is None:
        return canvas.float()
    count, _, height, width = canvas.shape

    def buffer(height: int, width: int) -> torch.Tensor:
        return torch.empty(
            count, 3, height, -(-width // 16) * 16, dtype=torch.float32, device=canvas.device
        )

    columns = buffer(height, max(blur.collect_columns.outputs))
    exact = canvas.dtype == torch.uint8
    multiply_columns(canvas, blur.collect_columns, columns, exact, False)
    rows = buffer(max(blur.collect_rows.outputs), columns.shape[3])
    multiply_rows(columns, blur.collect_rows, rows, False, False)
    if blur.spread_rows is None or blur.spread_columns is None:
        return rows
    spread = buffer(height, columns.shape[3])
    multiply_rows(rows, blur.spread_rows, spread, False, False)
    blurred = buffer(height, width)
    multiply_columns(spread, blur.spread_columns, blurred, False, False)
    return blurred
