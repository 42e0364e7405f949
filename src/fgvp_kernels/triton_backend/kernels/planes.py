"""Triton kernels that finish an image's planes: axis operators as products, and the effects.

Every operator of an axis is a small matrix. Products run on tensor cores in fp16 with each operand
split into a high and a low half (``x = hi + lo``; three products, accumulated in fp32), which is
as good as fp32 here: levels are at most 255 and weights at most 1.
"""

from __future__ import annotations

import triton
import triton.language as tl

# Columns of the tables of products, one row per image.
PRODUCT_COLUMNS = tl.constexpr(4)

# Numbers of the effects, as the plane kernel is compiled for them.
NOTHING = tl.constexpr(0)
CONSTANT = tl.constexpr(1)
TINT = tl.constexpr(2)
GREY = tl.constexpr(3)
BLUR = tl.constexpr(4)


@triton.jit
def _halves(x):
    high = x.to(tl.float16)
    return high, (x - high.to(tl.float32)).to(tl.float16)


@triton.jit
def accumulate(acc, a, b, EXACT_A: tl.constexpr, EXACT_B: tl.constexpr):
    """``acc + a @ b`` in fp32; an operand that is exact in fp16 has no low half."""
    a_high, a_low = _halves(a)
    b_high, b_low = _halves(b)
    acc = tl.dot(a_high, b_high, acc)
    if not EXACT_A:
        acc = tl.dot(a_low, b_high, acc)
    if not EXACT_B:
        acc = tl.dot(a_high, b_low, acc)
    return acc


@triton.jit
def multiply_columns_kernel(
    x_ptr,  # [B, 3, M, K], or the first of B images [3, M, K]
    offsets_ptr,  # int64 [B], elements from the first image to each of them
    matrix_ptr,  # fp32, bands of matrices A [N, K]
    band_ptr,  # int32 [., 3]: first and last source of BLOCK_N rows, where their weights begin
    table_ptr,  # int32 [B, 4]: M, K, N, first of the bands of A
    y_ptr,  # [B, 3, M, N]
    stride_x_image,
    stride_x_channel,
    stride_x_row,
    stride_y_image,
    stride_y_channel,
    stride_y_row,
    factor,
    APART: tl.constexpr,
    X_EXACT: tl.constexpr,
    ROUND: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """``Y[m, n] = factor · Σ_k X[m, k] A[n, k]``, the sum over the band of A alone."""
    image = tl.program_id(2).to(tl.int64)
    row = table_ptr + image * PRODUCT_COLUMNS
    m_size, k_size, n_size = tl.load(row), tl.load(row + 1), tl.load(row + 2)
    tiles_n = tl.cdiv(n_size, BLOCK_N)
    tile = tl.program_id(0)
    tile_m, tile_n = tile // tiles_n, tile % tiles_n
    if tile_m * BLOCK_M >= m_size:
        return
    channel = tl.program_id(1)
    if APART:
        x = x_ptr + tl.load(offsets_ptr + image) + channel * m_size * k_size
        pitch = k_size
    else:
        x = x_ptr + image * stride_x_image + channel * stride_x_channel
        pitch = stride_x_row
    band = band_ptr + (tl.load(row + 3) + tile_n) * 3
    first, last = tl.load(band), tl.load(band + 1)
    matrix = matrix_ptr + tl.load(band + 2)
    m = tile_m * BLOCK_M + tl.arange(0, BLOCK_M)
    n = tile_n * BLOCK_N + tl.arange(0, BLOCK_N)
    acc = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(first, last, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        inside = (m[:, None] < m_size) & (k[None, :] < k_size)
        part = tl.load(x + m[:, None] * pitch + k[None, :], mask=inside, other=0)
        inside = (n[None, :] < n_size) & (k[:, None] < last)
        at = (n - tile_n * BLOCK_N)[None, :] * (last - first) + (k - first)[:, None]
        weights = tl.load(matrix + at, mask=inside, other=0.0)
        acc = accumulate(acc, part.to(tl.float32), weights, X_EXACT, False)
    acc = acc * factor
    if ROUND:
        acc = tl.minimum(tl.maximum(tl.floor(acc + 0.5), 0.0), 255.0)
    y = y_ptr + image * stride_y_image + channel * stride_y_channel
    inside = (m[:, None] < m_size) & (n[None, :] < n_size)
    tl.store(
        y + m[:, None] * stride_y_row + n[None, :], acc.to(y_ptr.dtype.element_ty), mask=inside
    )


@triton.jit
def multiply_rows_kernel(
    x_ptr,  # [B, 3, K, M]
    matrix_ptr,  # fp32, bands of matrices A [N, K]
    band_ptr,  # int32 [., 3]: first and last source of BLOCK_N rows, where their weights begin
    table_ptr,  # int32 [B, 4]: M, K, N, first of the bands of A
    y_ptr,  # [B, 3, N, M]
    stride_x_image,
    stride_x_channel,
    stride_x_row,
    stride_y_image,
    stride_y_channel,
    stride_y_row,
    X_EXACT: tl.constexpr,
    ROUND: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """``Y[n, m] = Σ_k A[n, k] X[k, m]``, the sum over the band of A alone."""
    image = tl.program_id(2).to(tl.int64)
    row = table_ptr + image * PRODUCT_COLUMNS
    m_size, k_size, n_size = tl.load(row), tl.load(row + 1), tl.load(row + 2)
    tiles_m = tl.cdiv(m_size, BLOCK_M)
    tile = tl.program_id(0)
    tile_n, tile_m = tile // tiles_m, tile % tiles_m
    if tile_n * BLOCK_N >= n_size:
        return
    channel = tl.program_id(1)
    x = x_ptr + image * stride_x_image + channel * stride_x_channel
    band = band_ptr + (tl.load(row + 3) + tile_n) * 3
    first, last = tl.load(band), tl.load(band + 1)
    matrix = matrix_ptr + tl.load(band + 2)
    m = tile_m * BLOCK_M + tl.arange(0, BLOCK_M)
    n = tile_n * BLOCK_N + tl.arange(0, BLOCK_N)
    acc = tl.zeros((BLOCK_N, BLOCK_M), tl.float32)
    for start in range(first, last, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        inside = (n[:, None] < n_size) & (k[None, :] < last)
        at = (n - tile_n * BLOCK_N)[:, None] * (last - first) + (k - first)[None, :]
        weights = tl.load(matrix + at, mask=inside, other=0.0)
        inside = (k[:, None] < k_size) & (m[None, :] < m_size)
        part = tl.load(x + k[:, None] * stride_x_row + m[None, :], mask=inside, other=0)
        acc = accumulate(acc, weights, part.to(tl.float32), False, X_EXACT)
    if ROUND:
        acc = tl.minimum(tl.maximum(tl.floor(acc + 0.5), 0.0), 255.0)
    y = y_ptr + image * stride_y_image + channel * stride_y_channel
    inside = (n[:, None] < n_size) & (m[None, :] < m_size)
    tl.store(
        y + n[:, None] * stride_y_row + m[None, :], acc.to(y_ptr.dtype.element_ty), mask=inside
    )


@triton.jit
def canvas_offsets(taps, p, mask, width, length, pitch, TAP: tl.constexpr):
    """Canvas offset of the first (TAP 0) or second pixel behind output pixels ``p``.

    ``taps`` is int32 [4, L]: first and second canvas row of an output row, then of a column;
    negative where the output shows nothing, and then so is the result.
    """
    y = tl.load(taps + TAP * length + p // width, mask=mask, other=-1)
    x = tl.load(taps + (2 + TAP) * length + p % width, mask=mask, other=-1)
    return tl.where((y >= 0) & (x >= 0), y * pitch + x, -1)


@triton.jit
def changed_levels(
    canvas, blurred, at, mask, channel, stride_channel, alpha, color, red, green, blue,
    EFFECT: tl.constexpr,
):  # fmt: skip
    """Plain and changed levels of one channel at canvas offsets ``at``."""
    plain = tl.load(canvas + channel * stride_channel + at, mask=mask, other=0).to(tl.float32)
    changed = plain
    if EFFECT == CONSTANT:
        changed = tl.zeros_like(plain) + color
    if EFFECT == TINT:
        changed = (1.0 - alpha) * plain + alpha * color
    if EFFECT == GREY:
        first = tl.load(canvas + at, mask=mask, other=0).to(tl.float32)
        second = tl.load(canvas + stride_channel + at, mask=mask, other=0).to(tl.float32)
        third = tl.load(canvas + 2 * stride_channel + at, mask=mask, other=0).to(tl.float32)
        changed = red * first + green * second + blue * third
    if EFFECT == BLUR:
        changed = tl.load(blurred + channel * stride_channel + at, mask=mask, other=0.0)
    return plain, changed


@triton.jit
def _finish(levels, scale, shift, visible, ROUND: tl.constexpr):
    values = levels * scale + shift
    if ROUND:
        values = tl.minimum(tl.maximum(tl.floor(levels + 0.5), 0.0), 255.0)
    return tl.where(visible, values, 0.0)


@triton.jit
def planes_kernel(
    canvas_ptr,  # [B, 3, CH, CW], uint8 or fp32 levels
    blurred_ptr,  # fp32 [B, 3, CH, CW]
    taps_ptr,  # int32 [B, 4, L], see canvas_offsets
    fractions_ptr,  # fp32 [B, 2, L], weight of the second row, of the second column
    constants_ptr,  # fp32 [3, 3]: scale, shift and color of each channel
    planes_ptr,  # [B, PLANES, 3, h·w]
    stride_image,
    stride_channel,
    area,
    width,
    length,
    pitch,
    alpha,
    red,
    green,
    blue,
    EFFECT: tl.constexpr,
    OUTSIDE: tl.constexpr,
    TAPS: tl.constexpr,
    SOFT: tl.constexpr,
    ROUND: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Finished values for every answer to "is tap 0 inside, is tap 1 inside?".

    Planes 0 to 3 are (out, out), (in, in), (in, out), (out, in); one tap has the first two. For
    soft masks they are the picture outside and what a whole mask would add through either tap.
    """
    image = tl.program_id(1).to(tl.int64)
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = p < area
    canvas = canvas_ptr + image * stride_image
    blurred = blurred_ptr + image * stride_image
    taps = taps_ptr + image * 4 * length
    at_0 = canvas_offsets(taps, p, mask, width, length, pitch, 0)
    visible = at_0 >= 0
    at_0 = tl.maximum(at_0, 0)
    PLANES: tl.constexpr = (1 + TAPS) if SOFT else 2 * TAPS
    for channel in tl.static_range(3):
        scale = tl.load(constants_ptr + channel)
        shift = tl.load(constants_ptr + 3 + channel)
        color = tl.load(constants_ptr + 6 + channel)
        plain_0, changed_0 = changed_levels(
            canvas, blurred, at_0, mask & visible, channel, stride_channel, alpha, color,
            red, green, blue, EFFECT,
        )  # fmt: skip
        in_0, out_0 = changed_0, plain_0
        if OUTSIDE:
            in_0, out_0 = plain_0, changed_0
        planes = planes_ptr + image * (PLANES * 3 * area) + channel * area + p
        dtype = planes_ptr.dtype.element_ty
        if TAPS == 1:
            outside = _finish(out_0, scale, shift, visible, ROUND)
            tl.store(planes, outside.to(dtype), mask=mask)
            if SOFT:
                added = tl.where(visible, (in_0 - out_0) * scale, 0.0)
                tl.store(planes + 3 * area, added.to(dtype), mask=mask)
            else:
                inside = _finish(in_0, scale, shift, visible, ROUND)
                tl.store(planes + 3 * area, inside.to(dtype), mask=mask)
        else:
            at_1 = canvas_offsets(taps, p, mask, width, length, pitch, 1)
            at_1 = tl.maximum(at_1, 0)
            # Only one axis is squashed, so at most one of the two weights is not 0.
            fractions = fractions_ptr + image * 2 * length
            f = tl.load(fractions + p // width, mask=mask, other=0.0)
            f += tl.load(fractions + length + p % width, mask=mask, other=0.0)
            plain_1, changed_1 = changed_levels(
                canvas, blurred, at_1, mask & visible, channel, stride_channel, alpha, color,
                red, green, blue, EFFECT,
            )  # fmt: skip
            in_1, out_1 = changed_1, plain_1
            if OUTSIDE:
                in_1, out_1 = plain_1, changed_1
            outside = _finish(out_0 + f * (out_1 - out_0), scale, shift, visible, ROUND)
            tl.store(planes, outside.to(dtype), mask=mask)
            if SOFT:
                added = tl.where(visible, (1.0 - f) * (in_0 - out_0) * scale, 0.0)
                tl.store(planes + 3 * area, added.to(dtype), mask=mask)
                added = tl.where(visible, f * (in_1 - out_1) * scale, 0.0)
                tl.store(planes + 6 * area, added.to(dtype), mask=mask)
            else:
                inside = _finish(in_0 + f * (in_1 - in_0), scale, shift, visible, ROUND)
                first = _finish(in_0 + f * (out_1 - in_0), scale, shift, visible, ROUND)
                second = _finish(out_0 + f * (in_1 - out_0), scale, shift, visible, ROUND)
                tl.store(planes + 3 * area, inside.to(dtype), mask=mask)
                tl.store(planes + 6 * area, first.to(dtype), mask=mask)
                tl.store(planes + 9 * area, second.to(dtype), mask=mask)
