"""Triton kernels that turn every form of a binary mask into words.

A word holds one canvas pixel of up to 32 candidates, bit j for candidate j of the group; a group
is up to 32 successive candidates of one image. All forms of a mask give the same bits.
"""

from __future__ import annotations

import triton
import triton.language as tl

# Columns of a group: image, first mask within the image, number of masks.
GROUP_COLUMNS = tl.constexpr(3)


@triton.jit
def _canvas_pixel(taps, sizes, length, pitch, BLOCK: tl.constexpr):
    """Offsets of a program's canvas pixels, which of them exist, and the mask pixels they touch."""
    height, width = tl.load(sizes), tl.load(sizes + 1)
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    y, x = p // pitch, p % pitch
    mask = (y < height) & (x < width)
    y_0 = tl.load(taps + y, mask=mask, other=0)
    y_1 = tl.load(taps + length + y, mask=mask, other=0)
    x_0 = tl.load(taps + 2 * length + x, mask=mask, other=0)
    x_1 = tl.load(taps + 3 * length + x, mask=mask, other=0)
    return p, mask, y_0, y_1, x_0, x_1


@triton.jit
def pack_dense_kernel(
    masks_ptr,  # int64 [B], addresses of bytes [N, H, W], or of bits [N, H, ceil(W / 8)]
    taps_ptr,  # int32 [B, 4, L], first and second mask row of a canvas row, then of a column
    sizes_ptr,  # int32 [B, 4], canvas height and width, mask height, bytes in a mask row
    groups_ptr,  # int32 [G, 3]
    rows_ptr,  # int32 [G], word rows
    words_ptr,  # int32 [rows, CH·CW]
    length,
    pitch,
    stride_words,
    PACKED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Dense masks (any non-zero byte is set) or bit-packed ones (highest bit first)."""
    group = tl.program_id(1)
    image = tl.load(groups_ptr + group * GROUP_COLUMNS).to(tl.int64)
    first = tl.load(groups_ptr + group * GROUP_COLUMNS + 1).to(tl.int64)
    count = tl.load(groups_ptr + group * GROUP_COLUMNS + 2)
    sizes = sizes_ptr + image * 4
    height, row_bytes = tl.load(sizes + 2), tl.load(sizes + 3)
    p, mask, y_0, y_1, x_0, x_1 = _canvas_pixel(
        taps_ptr + image * 4 * length, sizes, length, pitch, BLOCK
    )
    masks = tl.load(masks_ptr + image).to(tl.pointer_type(tl.uint8)) + first * height * row_bytes
    words = tl.zeros((BLOCK,), tl.int32)
    for j in range(count):
        if PACKED:
            left = tl.load(masks + y_0 * row_bytes + (x_0 >> 3), mask=mask, other=0)
            left |= tl.load(masks + y_1 * row_bytes + (x_0 >> 3), mask=mask, other=0)
            right = tl.load(masks + y_0 * row_bytes + (x_1 >> 3), mask=mask, other=0)
            right |= tl.load(masks + y_1 * row_bytes + (x_1 >> 3), mask=mask, other=0)
            touched = (left.to(tl.int32) >> (7 - (x_0 & 7))) & 1
            touched |= (right.to(tl.int32) >> (7 - (x_1 & 7))) & 1
        else:
            any_tap = tl.load(masks + y_0 * row_bytes + x_0, mask=mask, other=0)
            any_tap |= tl.load(masks + y_0 * row_bytes + x_1, mask=mask, other=0)
            any_tap |= tl.load(masks + y_1 * row_bytes + x_0, mask=mask, other=0)
            any_tap |= tl.load(masks + y_1 * row_bytes + x_1, mask=mask, other=0)
            touched = (any_tap != 0).to(tl.int32)
        words |= touched << j
        masks += height * row_bytes
    row = tl.load(rows_ptr + group).to(tl.int64)
    tl.store(words_ptr + row * stride_words + p, words, mask=p < stride_words)


@triton.jit
def pack_runs_kernel(
    ends_ptr,  # int32, cumulative run lengths of all masks, column-major pixels
    offsets_ptr,  # int32 [masks + 1], where a mask's ends begin
    bases_ptr,  # int32 [B], first mask of an image among all
    taps_ptr,  # int32 [B, 4, L]
    sizes_ptr,  # int32 [B, 4], canvas height and width, mask height, unused
    groups_ptr,  # int32 [G, 3]
    rows_ptr,  # int32 [G]
    words_ptr,  # int32 [rows, CH·CW]
    length,
    pitch,
    stride_words,
    steps,
    BLOCK: tl.constexpr,
):
    """COCO run lengths: a pixel is set if an odd number of runs ends at or before it.

    The number is found by bisection in ``steps`` halvings. The two rows that a canvas row touches
    follow each other in a column, so the second needs no search of its own: it changes sides just
    where a run ends between the two.
    """
    group = tl.program_id(1)
    image = tl.load(groups_ptr + group * GROUP_COLUMNS).to(tl.int64)
    first = tl.load(groups_ptr + group * GROUP_COLUMNS + 1)
    count = tl.load(groups_ptr + group * GROUP_COLUMNS + 2)
    sizes = sizes_ptr + image * 4
    height = tl.load(sizes + 2)
    p, mask, y_0, y_1, x_0, x_1 = _canvas_pixel(
        taps_ptr + image * 4 * length, sizes, length, pitch, BLOCK
    )
    base = tl.load(bases_ptr + image) + first
    words = tl.zeros((BLOCK,), tl.int32)
    for j in range(count):
        start, stop = tl.load(offsets_ptr + base + j), tl.load(offsets_ptr + base + j + 1)
        touched = _in_runs(ends_ptr, start, stop, x_0 * height + y_0, y_1 - y_0, steps, mask)
        touched |= _in_runs(ends_ptr, start, stop, x_1 * height + y_0, y_1 - y_0, steps, mask)
        words |= touched << j
    row = tl.load(rows_ptr + group).to(tl.int64)
    tl.store(words_ptr + row * stride_words + p, words, mask=p < stride_words)


@triton.jit
def _in_runs(ends_ptr, start, stop, q, below, steps, mask):
    """1 where pixel ``q`` of a column-major mask, or the one ``below`` (0 or 1), is set."""
    low = tl.zeros_like(q) + start  # the first end > q lies in low..high
    high = tl.zeros_like(q) + stop
    for _ in range(steps):
        middle = (low + high) >> 1
        search = mask & (low < high)
        beyond = tl.load(ends_ptr + middle, mask=search, other=0) > q
        high = tl.where(search & beyond, middle, high)
        low = tl.where(search & (beyond == 0), middle + 1, low)
    inside = (low - start) & 1
    end = tl.load(ends_ptr + low, mask=mask & (low < stop), other=0)
    crossed = (below == 1) & (end == q + 1)
    return tl.where(mask, inside | tl.where(crossed, 1 - inside, 0), 0)


@triton.jit
def pack_logits_kernel(
    logits_ptr,  # int64 [B], addresses of logits [N, h, w]
    taps_ptr,  # int32 [B, 2, VARIANTS, L], first logit of a canvas row, of a column
    weights_ptr,  # fp32 [B, 2, VARIANTS, 3, L], weights of three successive logits
    sizes_ptr,  # int32 [B, 4], canvas height and width, logit height and width
    groups_ptr,  # int32 [G, 3]
    rows_ptr,  # int32 [G]
    words_ptr,  # int32 [rows, CH·CW]
    length,
    pitch,
    stride_words,
    LOGIT_DTYPE: tl.constexpr,
    VARIANTS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """SAM's logits, upsampled and thresholded at 0: on the canvas (one variant), or at image size,
    where a canvas pixel is set if any of the image pixels it touches is (two variants an axis)."""
    group = tl.program_id(1)
    image = tl.load(groups_ptr + group * GROUP_COLUMNS).to(tl.int64)
    first = tl.load(groups_ptr + group * GROUP_COLUMNS + 1).to(tl.int64)
    count = tl.load(groups_ptr + group * GROUP_COLUMNS + 2)
    sizes = sizes_ptr + image * 4
    canvas_height, canvas_width = tl.load(sizes), tl.load(sizes + 1)
    height, width = tl.load(sizes + 2), tl.load(sizes + 3)
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    y, x = p // pitch, p % pitch
    mask = (y < canvas_height) & (x < canvas_width)
    taps = taps_ptr + image * (2 * VARIANTS) * length
    weights = weights_ptr + image * (6 * VARIANTS) * length
    logits = tl.load(logits_ptr + image).to(tl.pointer_type(LOGIT_DTYPE)) + first * height * width
    words = tl.zeros((BLOCK,), tl.int32)
    for j in range(count):
        touched = tl.zeros((BLOCK,), tl.int32)
        for v in tl.static_range(VARIANTS):
            row = tl.load(taps + v * length + y, mask=mask, other=0)
            for u in tl.static_range(VARIANTS):
                column = tl.load(taps + (VARIANTS + u) * length + x, mask=mask, other=0)
                value = tl.zeros((BLOCK,), tl.float32)
                for i in tl.static_range(3):
                    inside = mask & (row + i < height)
                    part = tl.zeros((BLOCK,), tl.float32)
                    for k in tl.static_range(3):
                        logit = tl.load(
                            logits + (row + i) * width + column + k,
                            mask=inside & (column + k < width),
                            other=0.0,
                        )
                        at = (3 * (VARIANTS + u) + k) * length + x
                        part += logit.to(tl.float32) * tl.load(weights + at, mask=mask, other=0.0)
                    at = (3 * v + i) * length + y
                    value += part * tl.load(weights + at, mask=mask, other=0.0)
                touched |= (value > 0).to(tl.int32)
        words |= touched << j
        logits += height * width
    row = tl.load(rows_ptr + group).to(tl.int64)
    tl.store(words_ptr + row * stride_words + p, words, mask=p < stride_words)


@triton.jit
def pack_shapes_kernel(
    shapes_ptr,  # fp32 [ΣN, 8]: two shapes (x, y, a, b); the second is cut out of the first
    sizes_ptr,  # int32 [B, 4], canvas height and width, first shape of the image, unused
    groups_ptr,  # int32 [G, 3]
    rows_ptr,  # int32 [G]
    words_ptr,  # int32 [rows, CH·CW]
    pitch,
    stride_words,
    ELLIPSE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Ellipses (centre x, y and radii a, b) or boxes (x, y to a, b, ends included)."""
    group = tl.program_id(1)
    image = tl.load(groups_ptr + group * GROUP_COLUMNS)
    first = tl.load(groups_ptr + group * GROUP_COLUMNS + 1)
    count = tl.load(groups_ptr + group * GROUP_COLUMNS + 2)
    sizes = sizes_ptr + image * 4
    height, width = tl.load(sizes), tl.load(sizes + 1)
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row, column = p // pitch, p % pitch
    mask = (row < height) & (column < width)
    y, x = row.to(tl.float32), column.to(tl.float32)
    shape = shapes_ptr + (tl.load(sizes + 2) + first) * 8
    words = tl.zeros((BLOCK,), tl.int32)
    for j in range(count):
        filled = _within(x, y, shape, True, ELLIPSE)
        hollow = _within(x, y, shape + 4, False, ELLIPSE)
        words |= (filled & (hollow == 0) & mask).to(tl.int32) << j
        shape += 8
    word_row = tl.load(rows_ptr + group).to(tl.int64)
    tl.store(words_ptr + word_row * stride_words + p, words, mask=p < stride_words)


@triton.jit
def _within(x, y, shape, CLOSED: tl.constexpr, ELLIPSE: tl.constexpr):
    """Pixels within one shape; a negative radius or an end before the start means none."""
    left, top = tl.load(shape), tl.load(shape + 1)
    a, b = tl.load(shape + 2), tl.load(shape + 3)
    if ELLIPSE:
        dx, dy = (x - left) / tl.maximum(a, 1e-6), (y - top) / tl.maximum(b, 1e-6)
        distance = dx * dx + dy * dy
        distance += tl.where(tl.minimum(a, b) > 0.0, 0.0, float("inf"))
        if CLOSED:
            return distance <= 1.0
        return distance < 1.0
    return (x >= left) & (x <= a) & (y >= top) & (y <= b)


@triton.jit
def boundary_kernel(
    words_ptr,  # int32 [rows, CH·CW]
    sizes_ptr,  # int32 [B, 4], canvas height and width, unused
    images_ptr,  # int32 [rows], image of a word row
    out_ptr,  # int32 [rows, CH·CW]
    pitch,
    stride_words,
    BLOCK: tl.constexpr,
):
    """Set pixels that have an unset one, or the border, among their four neighbours."""
    row = tl.program_id(1).to(tl.int64)
    sizes = sizes_ptr + tl.load(images_ptr + row) * 4
    height, width = tl.load(sizes), tl.load(sizes + 1)
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    y, x = p // pitch, p % pitch
    mask = (y < height) & (x < width)
    words = words_ptr + row * stride_words + p
    here = tl.load(words, mask=mask, other=0)
    inner = tl.load(words - pitch, mask=mask & (y > 0), other=0)
    inner &= tl.load(words + pitch, mask=mask & (y + 1 < height), other=0)
    inner &= tl.load(words - 1, mask=mask & (x > 0), other=0)
    inner &= tl.load(words + 1, mask=mask & (x + 1 < width), other=0)
    tl.store(out_ptr + row * stride_words + p, here & ~inner, mask=p < stride_words)


@triton.jit
def widen_kernel(
    words_ptr,  # int32 [rows, CH·CW]
    sizes_ptr,  # int32 [B, 4]
    images_ptr,  # int32 [rows]
    out_ptr,  # int32 [rows, CH·CW]
    pitch,
    stride_words,
    reach,
    BLOCK: tl.constexpr,
):
    """Widen what is set by ``reach`` pixels in all eight directions."""
    row = tl.program_id(1).to(tl.int64)
    sizes = sizes_ptr + tl.load(images_ptr + row) * 4
    height, width = tl.load(sizes), tl.load(sizes + 1)
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    y, x = p // pitch, p % pitch
    mask = (y < height) & (x < width)
    words = words_ptr + row * stride_words + p
    wide = tl.zeros((BLOCK,), tl.int32)
    for dy in range(-reach, reach + 1):
        rows = mask & (y + dy >= 0) & (y + dy < height)
        for dx in range(-reach, reach + 1):
            inside = rows & (x + dx >= 0) & (x + dx < width)
            wide |= tl.load(words + dy * pitch + dx, mask=inside, other=0)
    tl.store(out_ptr + row * stride_words + p, wide, mask=p < stride_words)
