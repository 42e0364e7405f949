"""Triton kernel for pictures that are resampled after drawing: one tile of one channel a program.

A resize of an axis from K to N pixels weighs source pixel ``k`` for output ``i`` by a function of
the distance ``|k + 1/2 - (i + 1/2) K/N|``, and divides by the sum of the weights. The distance is a
whole number of ``1/2N``, so the kernel makes the weights itself and reads no matrix. Of a tile's
sources it visits, in chunks, only the band that its outputs look at.
"""

from __future__ import annotations

import triton
import triton.language as tl

from fgvp_kernels.triton_backend.kernels.planes import accumulate, changed_levels
from fgvp_kernels.triton_backend.kernels.select import TASK_COLUMNS

# Columns of a frame: height and width of the canvas, of the scaled frame, of what a picture shows
# of it, and of the masks.
FRAME_COLUMNS = tl.constexpr(8)

# Where the kernels find what is inside.
NOTHING = tl.constexpr(0)
BITS = tl.constexpr(1)  # words, bit j for candidate j of a group
SOFT = tl.constexpr(2)  # weights from 0 to 1

SCAN_ROWS = tl.constexpr(8)  # looked at together in search of a mask's edge


@triton.jit
def first_pixel(masks, offsets, task, surface, stride, pitch, MASK: tl.constexpr):
    """The first pixel of a task: of its word row, canvas or first mask, at the surface's corner."""
    if MASK == SOFT:
        masks += tl.load(offsets + surface) + tl.load(task + 5).to(tl.int64) * stride
    else:
        masks += tl.load(task + 2).to(tl.int64) * stride
    return masks + tl.load(task + 8) * pitch + tl.load(task + 9)


@triton.jit
def _band(first, count: tl.constexpr, source, target, REACH: tl.constexpr):
    """Sources (first, end) that outputs ``first`` to ``first + count`` look at."""
    start = tl.minimum(first, target - 1).to(tl.int64)
    stop = tl.minimum(first + count, target).to(tl.int64) - 1
    reach = 2 * REACH * tl.maximum(source, target).to(tl.int64)
    low = ((2 * start + 1) * source - reach) // (2 * target)
    high = ((2 * stop + 1) * source + reach) // (2 * target) + 1
    return tl.maximum(low, 0).to(tl.int32), tl.minimum(high, source).to(tl.int32)


@triton.jit
def _weights(k, i, source, target, CUBIC: tl.constexpr):
    """Weights of sources ``k`` for outputs ``i``, which broadcast; not normalised."""
    # Both products may wrap around: their difference, in 1/2N of a source pixel, is small.
    distance = (2 * k + 1) * target - (2 * i + 1) * source
    x = tl.abs(distance).to(tl.float32) * (0.5 / tl.maximum(source, target).to(tl.float32))
    if CUBIC:
        near = (1.5 * x - 2.5) * x * x + 1.0
        far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
        weights = tl.where(x < 1.0, near, tl.where(x < 2.0, far, 0.0))
    else:
        weights = tl.maximum(1.0 - x, 0.0)
    return tl.where((k < source) & (i < target), weights, 0.0)


@triton.jit
def _inverse_sums(
    i, first, last, source, target, CUBIC: tl.constexpr, BLOCK: tl.constexpr, CHUNK: tl.constexpr
):
    """One over the sum of the weights of each of the outputs ``i [BLOCK]``."""
    sums = tl.zeros((BLOCK,), tl.float32)
    for start in range(first, last, CHUNK):
        k = start + tl.arange(0, CHUNK)
        sums += tl.sum(_weights(k[None, :], i[:, None], source, target, CUBIC), 1)
    return 1.0 / tl.where(sums == 0.0, 1.0, sums)


@triton.jit
def _either(x, y):
    return x | y


@triton.jit
def _scan_words(
    words, pitch, first_y, last_y, first_x, last_x, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    """Bits that are set in any word of a rectangle, and bits that are not set in all of them."""
    some = tl.zeros((ROWS, COLUMNS), tl.int32)
    lacking = tl.zeros((ROWS, COLUMNS), tl.int32)
    for start_y in range(first_y, last_y, ROWS):
        y = start_y + tl.arange(0, ROWS)
        for start_x in range(first_x, last_x, COLUMNS):
            x = start_x + tl.arange(0, COLUMNS)
            within = (y[:, None] < last_y) & (x[None, :] < last_x)
            word = tl.load(words + y[:, None] * pitch + x[None, :], mask=within, other=0)
            some |= word
            lacking |= tl.where(within, ~word, 0)
    some = tl.reduce(tl.reduce(some, 1, _either), 0, _either)
    return some, tl.reduce(tl.reduce(lacking, 1, _either), 0, _either)


@triton.jit
def _highest(
    mask, pitch, first_y, last_y, first_x, last_x, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    """The highest weight of a soft mask in a rectangle."""
    highest = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start_y in range(first_y, last_y, ROWS):
        y = start_y + tl.arange(0, ROWS)
        for start_x in range(first_x, last_x, COLUMNS):
            x = start_x + tl.arange(0, COLUMNS)
            within = (y[:, None] < last_y) & (x[None, :] < last_x)
            weights = tl.load(mask + y[:, None] * pitch + x[None, :], mask=within, other=0.0)
            highest = tl.maximum(highest, weights.to(tl.float32))
    return tl.max(tl.max(highest, 1), 0)


@triton.jit
def _finish(levels, scale, shift, visible, ROUND: tl.constexpr):
    """Values of the output; 0 where nothing is ``visible``."""
    levels = tl.minimum(tl.maximum(levels, 0.0), 255.0)
    values = levels * scale + shift
    if ROUND:
        values = tl.floor(levels + 0.5)
    return tl.where(visible, values, 0.0)


@triton.jit
def tile_kernel(
    canvas_ptr,  # [V, 3, CH, CW], uint8 or fp32 levels
    blurred_ptr,  # fp32 [V, 3, CH, CW]
    masks_ptr,  # BITS: int32 words [G, ·]; SOFT: masks [N, H, W] of the first surface
    offsets_ptr,  # SOFT: int64 [V], elements from there to the masks of each surface
    planes_ptr,  # [V, 2, 3, ·] finished pictures with nothing and with everything inside
    frames_ptr,  # int32 [V, 8]
    tasks_ptr,  # int32 [T, 10], see triton_select
    colors_ptr,  # fp32 [·, 3], a row of each output row, or one of all
    finish_ptr,  # fp32 [2, 3], scale and shift of each channel
    out_ptr,  # [ΣN, 3, area]
    stride_image,
    stride_channel,
    pitch,
    stride_words,
    mask_pitch,
    stride_planes,
    plane_pitch,
    area,
    height,
    width,
    stride_color,
    alpha,
    red,
    green,
    blue,
    EFFECT: tl.constexpr,
    OUTSIDE: tl.constexpr,
    MASK: tl.constexpr,
    CUT: tl.constexpr,
    EXACT: tl.constexpr,
    PLANES: tl.constexpr,
    OWN_COLOR: tl.constexpr,
    ROUND: tl.constexpr,
    BLOCK: tl.constexpr,
    CHUNK_Y: tl.constexpr,
    CHUNK_X: tl.constexpr,
):
    """``out[n] = clamp(R(a · inside + (1 - a) · outside))``, R an antialiased bicubic resize.

    With ``PLANES`` a tile that no edge of the mask touches is copied from a plane, unless the
    candidate has an ``OWN_COLOR`` there; only the others are computed. ``CUT`` resamples windows
    of other canvases instead, bilinearly and with whole levels after each axis where the result
    is whole: a task's word row is then the canvas. ``EXACT`` says
    that all levels are whole.
    """
    CUBIC: tl.constexpr = not CUT
    REACH: tl.constexpr = 1 if CUT else 2
    channel = tl.program_id(1)
    tiles_x = tl.cdiv(width, BLOCK)
    tiles = tiles_x * tl.cdiv(height, BLOCK)
    tile = tl.program_id(0) % tiles
    tile_y, tile_x = (tile // tiles_x) * BLOCK, (tile % tiles_x) * BLOCK
    task = tasks_ptr + (tl.program_id(0) // tiles).to(tl.int64) * TASK_COLUMNS
    surface, row = tl.load(task).to(tl.int64), tl.load(task + 1).to(tl.int64)
    bit, count = tl.load(task + 3), tl.load(task + 4)
    origin_y, origin_x = tl.load(task + 6), tl.load(task + 7)
    frame = frames_ptr + surface * FRAME_COLUMNS
    source_y, source_x = tl.load(frame), tl.load(frame + 1)
    target_y, target_x = tl.load(frame + 2), tl.load(frame + 3)
    visible_y, visible_x = tl.load(frame + 4), tl.load(frame + 5)
    scale, shift = tl.load(finish_ptr + channel), tl.load(finish_ptr + 3 + channel)

    y, x = tile_y + tl.arange(0, BLOCK), tile_x + tl.arange(0, BLOCK)
    stored = (y[:, None] < height) & (x[None, :] < width)
    visible = (y[:, None] < visible_y) & (x[None, :] < visible_x)
    # Pointers stay scalar and offsets 32 bits wide: tensors of pointers take too many registers.
    out = out_ptr + (row * 3 + channel) * area
    out_offsets = y[:, None] * width + x[None, :]
    # Outputs in the scaled frame, and the band of sources behind them.
    i_y, i_x = y + origin_y, x + origin_x
    first_y, last_y = _band(tile_y + origin_y, BLOCK, source_y, target_y, REACH)
    first_x, last_x = _band(tile_x + origin_x, BLOCK, source_x, target_x, REACH)
    inverse_y = _inverse_sums(i_y, first_y, last_y, source_y, target_y, CUBIC, BLOCK, CHUNK_Y)
    inverse_x = _inverse_sums(i_x, first_x, last_x, source_x, target_x, CUBIC, BLOCK, CHUNK_X)

    canvas = canvas_ptr + surface * stride_image
    if CUT:
        canvas = first_pixel(canvas_ptr, offsets_ptr, task, surface, stride_image, pitch, BITS)
    blurred = blurred_ptr + surface * stride_image
    colors = colors_ptr + row * stride_color + channel
    mask_area = stride_words
    if MASK == SOFT:
        mask_pitch = tl.load(frame + 7)
        mask_area = tl.load(frame + 6).to(tl.int64) * mask_pitch
    masks = first_pixel(masks_ptr, offsets_ptr, task, surface, mask_area, mask_pitch, MASK)
    if PLANES:
        planes = planes_ptr + (surface * 6 + channel) * stride_planes
        planes_at = i_y[:, None] * plane_pitch + i_x[None, :]
        empty = tl.load(planes + planes_at, mask=visible, other=0)
        if MASK == BITS:
            full = tl.load(planes + 3 * stride_planes + planes_at, mask=visible, other=0)
            some, lacking = _scan_words(
                masks, mask_pitch, first_y, last_y, first_x, last_x, SCAN_ROWS, CHUNK_X
            )
            some, lacking = some >> bit, lacking >> bit
            # Tiles to compute: those with an edge, and those in a colour of the candidate's own.
            computed = some & lacking
            if OWN_COLOR:
                computed = lacking if OUTSIDE else some

    for j in range(count):
        if PLANES:
            drawn = False
            if MASK == BITS:
                drawn = ((computed >> j) & 1) != 0
            if MASK == SOFT:
                drawn = OWN_COLOR & OUTSIDE
                if not (OWN_COLOR & OUTSIDE):
                    highest = _highest(
                        masks, mask_pitch, first_y, last_y, first_x, last_x, SCAN_ROWS, CHUNK_X
                    )
                    drawn = highest > 0.0
        else:
            drawn = True
        if drawn:
            color = tl.load(colors)
            acc = tl.zeros((BLOCK, BLOCK), tl.float32)
            for start_y in tl.range(first_y, last_y, CHUNK_Y, num_stages=1):
                k_y = start_y + tl.arange(0, CHUNK_Y)
                part = tl.zeros((CHUNK_Y, BLOCK), tl.float32)
                for start_x in tl.range(first_x, last_x, CHUNK_X, num_stages=1):
                    k_x = start_x + tl.arange(0, CHUNK_X)
                    within = (k_y[:, None] < last_y) & (k_x[None, :] < last_x)
                    levels, changed = changed_levels(
                        canvas, blurred, k_y[:, None] * pitch + k_x[None, :], within, channel,
                        stride_channel, alpha, color, red, green, blue, EFFECT,
                    )  # fmt: skip
                    inside, outside = changed, levels
                    if OUTSIDE:
                        inside, outside = levels, changed
                    at = k_y[:, None] * mask_pitch + k_x[None, :]
                    if MASK == NOTHING:
                        levels = outside
                    if MASK == BITS:
                        word = tl.load(masks + at, mask=within, other=0)
                        levels = tl.where(((word >> (bit + j)) & 1) != 0, inside, outside)
                    if MASK == SOFT:
                        a = tl.load(masks + at, mask=within, other=0.0).to(tl.float32)
                        levels = outside + a * (inside - outside)
                    weights = _weights(k_x[:, None], i_x[None, :], source_x, target_x, CUBIC)
                    part = accumulate(part, levels, weights, EXACT, False)
                part *= inverse_x[None, :]
                if CUT and ROUND:
                    part = tl.floor(part + 0.5)
                weights = _weights(k_y[None, :], i_y[:, None], source_y, target_y, CUBIC)
                acc = accumulate(acc, weights, part, False, CUT and ROUND)
            value = _finish(acc * inverse_y[:, None], scale, shift, visible, ROUND)
            tl.store(out + out_offsets, value.to(out_ptr.dtype.element_ty), mask=stored)
        elif PLANES:
            copied = empty
            if MASK == BITS:
                copied = tl.where(((some >> j) & 1) != 0, full, empty)
            tl.store(out + out_offsets, copied, mask=stored)
        out += 3 * area
        colors += stride_color
        if MASK == SOFT:
            masks += mask_area
