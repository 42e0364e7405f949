"""Triton kernels that turn every form of a binary mask into words.

A word holds one canvas pixel of up to 32 candidates, bit j for candidate j of the group; a group
is up to 32 successive candidates of one image. All forms of a mask give the same bits.
"""

from __future__ import annotations

import triton
import triton.language as tl

# Columns of a group: image, first mask within the image, number of masks, row of the words.
GROUP_COLUMNS = tl.constexpr(4)
# Columns of an image: canvas height and width; height of its masks and their row length (bytes of
# packed masks, else pixels); its first candidate among those of all images; 1 if boxes were given;
# its own height and width.
IMAGE_COLUMNS = tl.constexpr(8)


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
    masks_ptr,  # bytes or floats [N, H, W], or bits [N, H, ceil(W / 8)], of the first image
    offsets_ptr,  # int64 [B], elements from there to the masks of each image
    taps_ptr,  # int32 [B, 4, L], first and second mask row of a canvas row, then of a column
    images_ptr,  # int32 [B, 8]
    groups_ptr,  # int32 [G, 4]
    words_ptr,  # int32 [rows, CH·CW]
    length,
    pitch,
    stride_words,
    PACKED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Dense masks (any non-zero value is set) or bit-packed ones (highest bit first)."""
    group = tl.program_id(1)
    image = tl.load(groups_ptr + group * GROUP_COLUMNS).to(tl.int64)
    first = tl.load(groups_ptr + group * GROUP_COLUMNS + 1).to(tl.int64)
    count = tl.load(groups_ptr + group * GROUP_COLUMNS + 2)
    sizes = images_ptr + image * IMAGE_COLUMNS
    height, row_length = tl.load(sizes + 2), tl.load(sizes + 3)
    p, mask, y_0, y_1, x_0, x_1 = _canvas_pixel(
        taps_ptr + image * 4 * length, sizes, length, pitch, BLOCK
    )
    masks = masks_ptr + tl.load(offsets_ptr + image) + first * height * row_length
    words = tl.zeros((BLOCK,), tl.int32)
    for j in range(count):
        if PACKED:
            left = tl.load(masks + y_0 * row_length + (x_0 >> 3), mask=mask, other=0)
            left |= tl.load(masks + y_1 * row_length + (x_0 >> 3), mask=mask, other=0)
            right = tl.load(masks + y_0 * row_length + (x_1 >> 3), mask=mask, other=0)
            right |= tl.load(masks + y_1 * row_length + (x_1 >> 3), mask=mask, other=0)
            touched = (left.to(tl.int32) >> (7 - (x_0 & 7))) & 1
            touched |= (right.to(tl.int32) >> (7 - (x_1 & 7))) & 1
        else:
            set_0 = tl.load(masks + y_0 * row_length + x_0, mask=mask, other=0) != 0
            set_0 |= tl.load(masks + y_0 * row_length + x_1, mask=mask, other=0) != 0
            set_1 = tl.load(masks + y_1 * row_length + x_0, mask=mask, other=0) != 0
            set_1 |= tl.load(masks + y_1 * row_length + x_1, mask=mask, other=0) != 0
            touched = (set_0 | set_1).to(tl.int32)
        words |= touched << j
        masks += height * row_length
    row = tl.load(groups_ptr + group * GROUP_COLUMNS + 3).to(tl.int64)
    tl.store(words_ptr + row * stride_words + p, words, mask=p < stride_words)


@triton.jit(do_not_specialize=["steps"])
def pack_runs_kernel(
    ends_ptr,  # int32, cumulative run lengths of all masks, column-major pixels
    starts_ptr,  # int32 [candidates of all images + 1], where a mask's ends begin
    taps_ptr,  # int32 [B, 4, L]
    images_ptr,  # int32 [B, 8]
    groups_ptr,  # int32 [G, 4]
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
    sizes = images_ptr + image * IMAGE_COLUMNS
    height = tl.load(sizes + 2)
    p, mask, y_0, y_1, x_0, x_1 = _canvas_pixel(
        taps_ptr + image * 4 * length, sizes, length, pitch, BLOCK
    )
    base = tl.load(sizes + 4) + first
    words = tl.zeros((BLOCK,), tl.int32)
    for j in range(count):
        start, stop = tl.load(starts_ptr + base + j), tl.load(starts_ptr + base + j + 1)
        touched = _in_runs(ends_ptr, start, stop, x_0 * height + y_0, y_1 - y_0, steps, mask)
        touched |= _in_runs(ends_ptr, start, stop, x_1 * height + y_0, y_1 - y_0, steps, mask)
        words |= touched << j
    row = tl.load(groups_ptr + group * GROUP_COLUMNS + 3).to(tl.int64)
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
    logits_ptr,  # logits [N, h, w] of the first image
    offsets_ptr,  # int64 [B], elements from there to the logits of each image
    taps_ptr,  # int32 [B, 2, VARIANTS, L], first logit of a canvas row, of a column
    weights_ptr,  # fp32 [B, 2, VARIANTS, 3, L], weights of three successive logits
    images_ptr,  # int32 [B, 8]
    groups_ptr,  # int32 [G, 4]
    words_ptr,  # int32 [rows, CH·CW]
    length,
    pitch,
    stride_words,
    VARIANTS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """SAM's logits, upsampled and thresholded at 0: on the canvas (one variant), or at image size,
    where a canvas pixel is set if any of the image pixels it touches is (two variants an axis)."""
    group = tl.program_id(1)
    image = tl.load(groups_ptr + group * GROUP_COLUMNS).to(tl.int64)
    first = tl.load(groups_ptr + group * GROUP_COLUMNS + 1).to(tl.int64)
    count = tl.load(groups_ptr + group * GROUP_COLUMNS + 2)
    sizes = images_ptr + image * IMAGE_COLUMNS
    canvas_height, canvas_width = tl.load(sizes), tl.load(sizes + 1)
    height, width = tl.load(sizes + 2), tl.load(sizes + 3)
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    y, x = p // pitch, p % pitch
    mask = (y < canvas_height) & (x < canvas_width)
    taps = taps_ptr + image * (2 * VARIANTS) * length
    weights = weights_ptr + image * (6 * VARIANTS) * length
    logits = logits_ptr + tl.load(offsets_ptr + image) + first * height * width
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
    row = tl.load(groups_ptr + group * GROUP_COLUMNS + 3).to(tl.int64)
    tl.store(words_ptr + row * stride_words + p, words, mask=p < stride_words)
