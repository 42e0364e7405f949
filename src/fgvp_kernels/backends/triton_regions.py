"""Triton kernels that draw regions into words: boxes, ellipses and rings, and outlines of masks.

``fgvp_kernels.regions`` draws the same; words are described in ``triton_words``.
"""

from __future__ import annotations

import triton
import triton.language as tl

from fgvp_kernels.backends.triton_words import GROUP_COLUMNS, IMAGE_COLUMNS

# Numbers of the shapes that follow from boxes.
BOX = tl.constexpr(0)
ELLIPSE = tl.constexpr(1)
POINT = tl.constexpr(2)


@triton.jit
def pack_shapes_kernel(
    boxes_ptr,  # fp32 [ΣN, 4] xyxy in pixels of the image
    scales_ptr,  # fp32 [B, 2], from pixels of the image to those of the canvas, y and x
    images_ptr,  # int32 [B, 6]
    groups_ptr,  # int32 [G, 4]
    words_ptr,  # int32 [rows, CH·CW]
    pitch,
    stride_words,
    reach,
    radius,
    outwards,
    inwards,
    SHAPE: tl.constexpr,
    OUTLINE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Boxes, ellipses and rings, filled or as lines.

    A line covers ``reach`` pixels to either side and a margin (``outwards``, ``inwards``) more.
    """
    group = tl.program_id(1)
    image = tl.load(groups_ptr + group * GROUP_COLUMNS)
    first = tl.load(groups_ptr + group * GROUP_COLUMNS + 1)
    count = tl.load(groups_ptr + group * GROUP_COLUMNS + 2)
    sizes = images_ptr + image * IMAGE_COLUMNS
    height, width = tl.load(sizes), tl.load(sizes + 1)
    given = tl.load(sizes + 5)
    scale_y, scale_x = tl.load(scales_ptr + image * 2), tl.load(scales_ptr + image * 2 + 1)
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row, column = p // pitch, p % pitch
    mask = (row < height) & (column < width)
    y, x = row.to(tl.float32), column.to(tl.float32)
    box = boxes_ptr + (tl.load(sizes + 4) + first) * 4
    words = tl.zeros((BLOCK,), tl.int32)
    for j in range(count):
        some = (given != 0) | (tl.load(box + 2) > tl.load(box))
        left, top = tl.load(box) * scale_x, tl.load(box + 1) * scale_y
        right, bottom = tl.load(box + 2) * scale_x, tl.load(box + 3) * scale_y
        if SHAPE == POINT:
            centre_x, centre_y = _truncate((left + right) / 2), _truncate((top + bottom) / 2)
            a, b = radius, radius
        else:
            left, right = _clamp(left, width), _clamp(right, width)
            top, bottom = _clamp(top, height), _clamp(bottom, height)
            a, b = (right - left) / 2, (bottom - top) / 2
            centre_x, centre_y = tl.floor(left + a), tl.floor(top + b)
            a, b = tl.floor(a), tl.floor(b)
        if SHAPE == BOX:
            left, right, top, bottom = (
                tl.floor(left), tl.floor(right), tl.floor(top), tl.floor(bottom)
            )  # fmt: skip
            inside = (x >= left - reach) & (x <= right + reach)
            inside &= (y >= top - reach) & (y <= bottom + reach)
            if OUTLINE:
                hollow = (x >= left + reach + 1) & (x <= right - reach - 1)
                hollow &= (y >= top + reach + 1) & (y <= bottom - reach - 1)
                inside &= hollow == 0
        else:
            grown_a, grown_b = a + reach + outwards, b + reach + outwards
            inside = _distance(x, y, centre_x, centre_y, grown_a, grown_b) <= 1.0
            if OUTLINE:
                cut_a, cut_b = a - reach - inwards, b - reach - inwards
                inside &= (_distance(x, y, centre_x, centre_y, cut_a, cut_b) < 1.0) == 0
        words |= (inside & some & mask).to(tl.int32) << j
        box += 4
    word_row = tl.load(groups_ptr + group * GROUP_COLUMNS + 3).to(tl.int64)
    tl.store(words_ptr + word_row * stride_words + p, words, mask=p < stride_words)


@triton.jit
def _truncate(value):
    return tl.where(value < 0, tl.ceil(value), tl.floor(value))


@triton.jit
def _clamp(value, length):
    return tl.minimum(tl.maximum(value, 0.0), (length - 1).to(tl.float32))


@triton.jit
def _distance(x, y, centre_x, centre_y, a, b):
    """Squared distance from the centre in units of the radii; infinite for no ellipse."""
    dx, dy = (x - centre_x) / tl.maximum(a, 1e-6), (y - centre_y) / tl.maximum(b, 1e-6)
    return dx * dx + dy * dy + tl.where(tl.minimum(a, b) > 0.0, 0.0, float("inf"))


@triton.jit
def boundary_kernel(
    words_ptr,  # int32 [rows, CH·CW]
    images_ptr,  # int32 [B, 6]
    owners_ptr,  # int32 [rows], image of a word row
    out_ptr,  # int32 [rows, CH·CW]
    pitch,
    stride_words,
    BLOCK: tl.constexpr,
):
    """Set pixels that have an unset one, or the border, among their four neighbours."""
    row = tl.program_id(1).to(tl.int64)
    sizes = images_ptr + tl.load(owners_ptr + row) * IMAGE_COLUMNS
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
    images_ptr,  # int32 [B, 6]
    owners_ptr,  # int32 [rows]
    out_ptr,  # int32 [rows, CH·CW]
    pitch,
    stride_words,
    reach,
    BLOCK: tl.constexpr,
):
    """Widen what is set by ``reach`` pixels in all eight directions."""
    row = tl.program_id(1).to(tl.int64)
    sizes = images_ptr + tl.load(owners_ptr + row) * IMAGE_COLUMNS
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
