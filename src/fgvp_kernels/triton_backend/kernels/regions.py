"""Triton kernels that draw regions into words: boxes, ellipses and rings.

``fgvp_kernels.regions`` draws the same; words are described in ``triton_words``.
"""

from __future__ import annotations

import triton
import triton.language as tl

from fgvp_kernels.ellipses import FARTHEST, SLOPE, TIE
from fgvp_kernels.triton_backend.kernels.mask_bits import GROUP_COLUMNS, IMAGE_COLUMNS

# Numbers of the shapes that follow from boxes.
BOX = tl.constexpr(0)
ELLIPSE = tl.constexpr(1)
POINT = tl.constexpr(2)
FARTHEST_CENTRE = tl.constexpr(float(FARTHEST))
SLOPE_CUT = tl.constexpr(SLOPE)
TIE_CUT = tl.constexpr(TIE)


@triton.jit
def shape_runs_kernel(
    boxes_ptr,  # fp32 [ΣN, 4] xyxy in pixels of the image
    scales_ptr,  # fp32 [B, 2], from pixels of the image to those of the canvas, y and x
    images_ptr,  # int32 [B, 8]
    groups_ptr,  # int32 [G, 4]
    corners_ptr,  # fp32 [4, 2, SIDES + 1], see ``ellipses.unit_corners``
    runs_ptr,  # int32 [ΣN, 4, rows], no pixels; see ``regions.Shapes``
    rows,
    half,
    radius,
    SHAPE: tl.constexpr,
    OUTLINE: tl.constexpr,
    THIN: tl.constexpr,
    SIDES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Runs of boxes, ellipses and rings, filled or as lines, as ``regions.region_shapes`` has them.

    A program draws one shape. A line covers ``half`` pixels to either side; ``radius`` is that of
    a ring about a point. Lines are ``THIN`` that are one pixel wide.
    """
    group = tl.program_id(0)
    image = tl.load(groups_ptr + group * GROUP_COLUMNS)
    sizes = images_ptr + image * IMAGE_COLUMNS
    height, width = tl.load(sizes), tl.load(sizes + 1)
    candidate = tl.load(sizes + 4) + tl.load(groups_ptr + group * GROUP_COLUMNS + 1)
    candidate += tl.program_id(1)
    there = tl.program_id(1) < tl.load(groups_ptr + group * GROUP_COLUMNS + 2)
    box = boxes_ptr + candidate * 4
    x_0, y_0 = tl.load(box, mask=there, other=0.0), tl.load(box + 1, mask=there, other=0.0)
    x_1, y_1 = tl.load(box + 2, mask=there, other=0.0), tl.load(box + 3, mask=there, other=0.0)
    some = there & ((tl.load(sizes + 5) != 0) | (x_1 > x_0))
    scale_y, scale_x = tl.load(scales_ptr + image * 2), tl.load(scales_ptr + image * 2 + 1)
    left, top, right, bottom = x_0 * scale_x, y_0 * scale_y, x_1 * scale_x, y_1 * scale_y
    runs = runs_ptr + candidate.to(tl.int64) * 4 * rows
    if SHAPE == POINT:
        centre_x = _centre(x_0, x_1, width, tl.load(sizes + 7))
        centre_y = _centre(y_0, y_1, height, tl.load(sizes + 6))
        if THIN:
            _ring_runs(runs, rows, centre_x, centre_y, radius, some, BLOCK)
        else:
            _ellipse_runs(
                runs, rows, corners_ptr, centre_x, centre_y, radius, radius, half, some,
                OUTLINE, THIN, SIDES, BLOCK,
            )  # fmt: skip
    else:
        left, right = _clamp(left, width), _clamp(right, width)
        top, bottom = _clamp(top, height), _clamp(bottom, height)
        if SHAPE == BOX:
            _box_runs(
                runs, rows, tl.floor(left), tl.floor(top), tl.floor(right), tl.floor(bottom), half,
                some, OUTLINE, BLOCK,
            )  # fmt: skip
        else:
            a, b = (right - left) / 2, (bottom - top) / 2
            _ellipse_runs(
                runs, rows, corners_ptr, tl.floor(left + a), tl.floor(top + b), tl.floor(a),
                tl.floor(b), half, some, OUTLINE, THIN, SIDES, BLOCK,
            )  # fmt: skip


@triton.jit
def _centre(low, high, canvas, image):
    """The whole canvas pixel of a centre, no farther than matters; see ``regions.centre_boxes``."""
    low = tl.minimum(tl.maximum(low, -4194304.0), 4194304.0) * 1048576.0
    high = tl.minimum(tl.maximum(high, -4194304.0), 4194304.0) * 1048576.0
    total = low.to(tl.int64) + high.to(tl.int64)
    pixel = (total * canvas // (image.to(tl.int64) * 2097152)).to(tl.float32)
    return tl.minimum(tl.maximum(pixel, -FARTHEST_CENTRE), FARTHEST_CENTRE)


@triton.jit
def _clamp(value, length):
    return tl.minimum(tl.maximum(value, 0.0), (length - 1).to(tl.float32))


@triton.jit
def _box_runs(
    runs, rows, left, top, right, bottom, half, some, OUTLINE: tl.constexpr, BLOCK: tl.constexpr
):
    for start in range(0, rows, BLOCK):
        row = start + tl.arange(0, BLOCK)
        y = row.to(tl.float32)
        beyond = tl.maximum(tl.maximum(top - y, y - bottom), 0.0)
        square = half * half - beyond * beyond
        reach = tl.floor(tl.sqrt_rn(tl.maximum(square, 0.0)))
        mask = some & (row < rows) & (square >= 0.0)
        whole = beyond == 0.0
        if OUTLINE:
            whole = (y <= top + half) | (y >= bottom - half)
        end = tl.where(whole, right + reach, left + reach)
        second = tl.where(whole, left - reach, right - reach)
        _store_runs(runs + row, rows, left - reach, end, second, right + reach, mask)


@triton.jit
def _ring_runs(runs, rows, centre_x, centre_y, radius, some, BLOCK: tl.constexpr):
    for start in range(0, rows, BLOCK):
        row = start + tl.arange(0, BLOCK)
        y = tl.abs(row.to(tl.float32) - centre_y)
        square = radius * radius - y * y
        last = tl.floor(tl.sqrt_rn(tl.maximum(square, 0.0)))
        beside = radius * radius - (y + 1) * (y + 1)
        first = tl.floor(tl.sqrt_rn(tl.maximum(beside, 0.0))) + 1
        first = tl.minimum(tl.where(beside < 0.0, 0.0, first), last)
        mask = some & (row < rows) & (square >= 0.0)
        _store_runs(
            runs + row, rows, centre_x - last, centre_x - first, centre_x + first, centre_x + last,
            mask,
        )  # fmt: skip


@triton.jit
def _store_runs(runs, rows, first, end, second, last, mask):
    tl.store(runs, first.to(tl.int32), mask=mask)
    tl.store(runs + rows, -end.to(tl.int32), mask=mask)
    tl.store(runs + 2 * rows, second.to(tl.int32), mask=mask)
    tl.store(runs + 3 * rows, -last.to(tl.int32), mask=mask)


@triton.jit
def _ellipse_runs(
    runs, rows, corners_ptr, centre_x, centre_y, a, b, half, some,
    OUTLINE: tl.constexpr, THIN: tl.constexpr, SIDES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """What ``ellipses.ellipse_runs`` says, a lane for each side of the polygon."""
    largest = tl.maximum(a, b)
    kind = (largest >= 3.0).to(tl.int32) + (largest >= 10.0).to(tl.int32)
    kind += (largest >= 15.0).to(tl.int32)
    k = tl.arange(0, BLOCK)
    corner, side = some & (k <= SIDES), some & (k < SIDES)
    units = corners_ptr + kind * 2 * (SIDES + 1) + k
    unit_x, unit_y = tl.load(units, mask=corner), tl.load(units + SIDES + 1, mask=corner)
    next_x, next_y = tl.load(units + 1, mask=side), tl.load(units + SIDES + 2, mask=side)
    x, y, dx, dy = unit_x * a, unit_y * b, next_x * a, next_y * b
    if THIN:
        x, y, dx, dy = _round(x), _round(y), _round(dx), _round(dy)
    dx, dy = tl.where(side, dx - x, 0.0), tl.where(side, dy - y, 0.0)
    left = unit_x + next_x < 0.0
    origin = tl.where(left, 0, 3)
    length = tl.maximum(tl.sqrt_rn(dx * dx + dy * dy), 1e-6)
    moved = tl.zeros_like(length) + half
    scale = tl.div_rn(moved, length)
    _mark_side(
        runs, rows, x + dy * scale, y - dx * scale, dx, dy, origin, centre_x, centre_y, side, THIN
    )
    if OUTLINE:
        scale = tl.div_rn(-moved, length)
        origin = tl.where(left, 1, 2)
        _mark_side(
            runs, rows, x + dy * scale, y - dx * scale, dx, dy, origin, centre_x, centre_y, side,
            THIN,
        )  # fmt: skip
        if not THIN:
            x, y = _round(x), _round(y)
            for shift in range(-half, half + 1):
                reach = tl.floor(tl.sqrt_rn(tl.zeros_like(x) + (half * half - shift * shift)))
                for slot in tl.static_range(4):
                    on_side = (unit_x <= 0.0) if slot < 2 else (unit_x >= 0.0)
                    end = x - reach if slot % 2 == 0 else x + reach
                    _keep_least(
                        runs, rows, slot + tl.zeros_like(k), end, y + shift, centre_x, centre_y,
                        corner & on_side,
                    )  # fmt: skip


@triton.jit
def _round(value):
    return tl.floor(value + 0.5)


@triton.jit
def _mark_side(
    runs, rows, x_0, y_0, dx, dy, slot, centre_x, centre_y, side, THIN: tl.constexpr
):  # fmt: skip
    """See ``ellipses._side_pixels``."""
    x_1, y_1 = x_0 + dx, y_0 + dy
    steep = tl.abs(dx) <= tl.abs(dy)
    forth = tl.where(steep, dy, dx) >= 0.0
    low_x, high_x = tl.where(forth, x_0, x_1) + 0.5, tl.where(forth, x_1, x_0) + 0.5
    low_y, high_y = tl.where(forth, y_0, y_1) + 0.5, tl.where(forth, y_1, y_0) + 0.5
    end_x, end_y = tl.floor(high_x), tl.floor(high_y)
    _keep_least(runs, rows, slot, end_x, end_y, centre_x, centre_y, side)
    length = tl.maximum(tl.abs(dx), tl.abs(dy))
    slope = tl.div_rn(tl.where(steep, dx, dy), tl.maximum(length, 1e-6)) * SLOPE_CUT
    slope = tl.where(forth, slope, -slope)
    if THIN:
        tie = tl.where(steep | (slope > 0.0), -TIE_CUT, TIE_CUT)
        low_x, low_y = low_x + tl.where(steep, tie, 0.0), low_y + tl.where(steep, 0.0, tie)
    low_x, low_y = (
        tl.where(steep, low_x, tl.floor(low_x)), tl.where(steep, tl.floor(low_y), low_y)
    )  # fmt: skip
    step_x, step_y = tl.where(steep, slope, 1.0), tl.where(steep, 1.0, slope)
    steps = tl.floor(length)
    down = dy >= 0.0
    top_x, bottom_x = tl.where(down, x_0, x_1), tl.where(down, x_1, x_0)
    top_y = tl.floor(tl.where(down, y_0, y_1) + 0.5)
    filled = tl.floor(tl.where(down, y_1, y_0) + 0.5) - top_y
    run = tl.div_rn(bottom_x - top_x, tl.maximum(filled, 1.0))
    filled = tl.maximum(filled - 1.0, 0.0)
    i = tl.zeros_like(steps)
    for _ in range(tl.max(steps, 0).to(tl.int32) + 1):
        at = tl.minimum(i, steps)
        x, y = tl.floor(low_x + at * step_x), tl.floor(low_y + at * step_y)
        _keep_least(runs, rows, slot, x, y, centre_x, centre_y, side)
        if not THIN:
            at = tl.minimum(i, filled)
            x = tl.floor(top_x + 0.5 + at * run)
            _keep_least(runs, rows, slot, x, top_y + at, centre_x, centre_y, side)
        i += 1.0


@triton.jit
def _keep_least(runs, rows, slot, x, y, centre_x, centre_y, mask):
    row, column = (y + centre_y).to(tl.int32), (x + centre_x).to(tl.int32)
    value = tl.where(slot % 2 == 0, column, -column)
    mask &= (row >= 0) & (row < rows)
    tl.atomic_min(runs + slot * rows + row, value, mask=mask, sem="relaxed")


@triton.jit
def pack_shapes_kernel(
    runs_ptr,  # int32 [ΣN, 4, rows]
    images_ptr,  # int32 [B, 8]
    groups_ptr,  # int32 [G, 4]
    words_ptr,  # int32 [rows of words, CH·CW]
    rows,
    pitch,
    stride_words,
    OUTLINE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Shapes of which the runs are known; filled ones go from their first to their last column."""
    group = tl.program_id(1)
    sizes = images_ptr + tl.load(groups_ptr + group * GROUP_COLUMNS) * IMAGE_COLUMNS
    first = tl.load(groups_ptr + group * GROUP_COLUMNS + 1)
    count = tl.load(groups_ptr + group * GROUP_COLUMNS + 2)
    height, width = tl.load(sizes), tl.load(sizes + 1)
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row, x = p // pitch, p % pitch
    mask = (row < height) & (x < width)
    runs = runs_ptr + (tl.load(sizes + 4) + first).to(tl.int64) * 4 * rows + row
    words = tl.zeros((BLOCK,), tl.int32)
    for j in range(count):
        start, end = tl.load(runs, mask=mask), tl.load(runs + rows, mask=mask)
        second, last = tl.load(runs + 2 * rows, mask=mask), tl.load(runs + 3 * rows, mask=mask)
        if OUTLINE:
            inside = ((x >= start) & (-x >= end)) | ((x >= second) & (-x >= last))
        else:
            inside = (x >= tl.minimum(start, second)) & (-x >= tl.minimum(end, last))
        words |= (inside & mask).to(tl.int32) << j
        runs += 4 * rows
    word_row = tl.load(groups_ptr + group * GROUP_COLUMNS + 3).to(tl.int64)
    tl.store(words_ptr + word_row * stride_words + p, words, mask=p < stride_words)
