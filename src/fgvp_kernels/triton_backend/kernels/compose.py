"""Triton kernels for candidates that share no finished picture: own colour, own window, own canvas.

The select kernel picks from pictures that are finished; here each candidate's is worked out from
the levels on the canvas.
"""

from __future__ import annotations

import triton
import triton.language as tl

from fgvp_kernels.triton_backend.kernels.planes import CONSTANT, TINT, changed_levels
from fgvp_kernels.triton_backend.kernels.select import TASK_COLUMNS, bilinear
from fgvp_kernels.triton_backend.kernels.tiles import BITS, FRAME_COLUMNS, SOFT, first_pixel


@triton.jit
def _word(words, taps, at, pitch, length, mask_pitch, mask, RESIZED: tl.constexpr):
    """Words at canvas offsets ``at``: there, or of any mask pixel that the canvas pixel touches."""
    if not RESIZED:
        return tl.load(words + at, mask=mask, other=0)
    y, x = at // pitch, at % pitch
    y_0 = tl.load(taps + y, mask=mask, other=0)
    y_1 = tl.load(taps + length + y, mask=mask, other=0)
    x_0 = tl.load(taps + 2 * length + x, mask=mask, other=0)
    x_1 = tl.load(taps + 3 * length + x, mask=mask, other=0)
    word = tl.load(words + y_0 * mask_pitch + x_0, mask=mask, other=0)
    word |= tl.load(words + y_0 * mask_pitch + x_1, mask=mask, other=0)
    word |= tl.load(words + y_1 * mask_pitch + x_0, mask=mask, other=0)
    word |= tl.load(words + y_1 * mask_pitch + x_1, mask=mask, other=0)
    return word


@triton.jit
def _mixed(plain, changed, color, a, OUTSIDE: tl.constexpr, MASK: tl.constexpr):
    """Levels of one tap; ``color`` is what the candidate's colour adds to ``changed``."""
    changed += color
    inside, outside = changed, plain
    if OUTSIDE:
        inside, outside = plain, changed
    levels = outside
    if MASK == BITS:
        levels = tl.where((a & 1) != 0, inside, outside)
    if MASK == SOFT:
        levels = outside + a * (inside - outside)
    return levels


@triton.jit
def compose_kernel(
    canvas_ptr,  # [V, 3, CH, CW], uint8 or fp32 levels
    blurred_ptr,  # fp32 [V, 3, CH, CW]
    masks_ptr,  # BITS: int32 words [G, ·]; SOFT: masks [N, H, W] of the first surface
    offsets_ptr,  # SOFT: int64 [V], elements from there to the masks of each surface
    mask_taps_ptr,  # int32 [V, 4, M], mask rows and columns of the canvas, see MaskTaps
    weights_ptr,  # fp32 [V, 2, M]
    taps_ptr,  # int32 [V, 4, L], canvas rows and columns of the scaled frame
    fractions_ptr,  # fp32 [V, 2, L]
    frames_ptr,  # int32 [V, 8], see triton_tiles
    tasks_ptr,  # int32 [T, 10], see triton_select
    colors_ptr,  # fp32 [·, 3], a row of each output row, or one of all
    finish_ptr,  # fp32 [2, 3], scale and shift of each channel
    out_ptr,  # [ΣN, 3, area]
    stride_image,
    stride_channel,
    pitch,
    stride_words,
    mask_pitch,
    mask_length,
    length,
    area,
    width,
    stride_color,
    alpha,
    red,
    green,
    blue,
    EFFECT: tl.constexpr,
    OUTSIDE: tl.constexpr,
    MASK: tl.constexpr,
    RESIZED: tl.constexpr,
    TAPS: tl.constexpr,
    ROUND: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """``out[n] = a · inside + (1 - a) · outside``, mixed from one or two canvas pixels each."""
    channel = tl.program_id(1)
    blocks = tl.cdiv(area, BLOCK)
    task = tasks_ptr + (tl.program_id(0) // blocks).to(tl.int64) * TASK_COLUMNS
    surface, row = tl.load(task).to(tl.int64), tl.load(task + 1).to(tl.int64)
    bit, count = tl.load(task + 3), tl.load(task + 4)
    origin_y, origin_x = tl.load(task + 6), tl.load(task + 7)
    frame = frames_ptr + surface * FRAME_COLUMNS
    visible_y, visible_x = tl.load(frame + 4), tl.load(frame + 5)
    scale, shift = tl.load(finish_ptr + channel), tl.load(finish_ptr + 3 + channel)
    canvas = canvas_ptr + surface * stride_image
    blurred = blurred_ptr + surface * stride_image
    mask_taps = mask_taps_ptr + surface * 4 * mask_length
    weights = weights_ptr + surface * 2 * mask_length
    mask_area = stride_words
    if MASK == SOFT:
        mask_pitch = tl.load(frame + 7)
        mask_area = tl.load(frame + 6).to(tl.int64) * mask_pitch
    masks = first_pixel(masks_ptr, offsets_ptr, task, surface, mask_area, mask_pitch, MASK)

    p = (tl.program_id(0) % blocks) * BLOCK + tl.arange(0, BLOCK)
    y, x = p // width, p % width
    stored = p < area
    visible = stored & (y < visible_y) & (x < visible_x)
    y, x = y + origin_y, x + origin_x
    taps = taps_ptr + surface * 4 * length
    fractions = fractions_ptr + surface * 2 * length
    at_0 = y * pitch + x
    if TAPS == 2:
        # Only one axis is squashed, so at most one of the two weights is not 0.
        f = tl.load(fractions + y, mask=visible, other=0.0)
        f += tl.load(fractions + length + x, mask=visible, other=0.0)
        at_0 = tl.load(taps + y, mask=visible, other=0) * pitch
        at_0 += tl.load(taps + 2 * length + x, mask=visible, other=0)
        at_1 = tl.load(taps + length + y, mask=visible, other=0) * pitch
        at_1 += tl.load(taps + 3 * length + x, mask=visible, other=0)
        plain_1, changed_1 = changed_levels(
            canvas, blurred, at_1, visible, channel, stride_channel, alpha, 0.0, red, green, blue,
            EFFECT,
        )  # fmt: skip
    plain_0, changed_0 = changed_levels(
        canvas, blurred, at_0, visible, channel, stride_channel, alpha, 0.0, red, green, blue,
        EFFECT,
    )  # fmt: skip
    a_0, a_1 = 0, 0
    if MASK == BITS:
        a_0 = _word(masks, mask_taps, at_0, pitch, mask_length, mask_pitch, visible, RESIZED) >> bit
        if TAPS == 2:
            a_1 = _word(masks, mask_taps, at_1, pitch, mask_length, mask_pitch, visible, RESIZED)
            a_1 = a_1 >> bit
    out = out_ptr + (row * 3 + channel) * area
    colors = colors_ptr + row * stride_color + channel
    for _ in range(count):
        color = 0.0
        if EFFECT == CONSTANT:
            color = tl.load(colors)
        if EFFECT == TINT:
            color = alpha * tl.load(colors)
        a = a_0
        if MASK == SOFT:
            a = bilinear(masks, mask_taps, weights, at_0, pitch, mask_length, mask_pitch, visible)
        levels = _mixed(plain_0, changed_0, color, a, OUTSIDE, MASK)
        if TAPS == 2:
            a = a_1
            if MASK == SOFT:
                a = bilinear(
                    masks, mask_taps, weights, at_1, pitch, mask_length, mask_pitch, visible
                )  # fmt: skip
            levels += f * (_mixed(plain_1, changed_1, color, a, OUTSIDE, MASK) - levels)
        value = levels * scale + shift
        if ROUND:
            value = tl.minimum(tl.maximum(tl.floor(levels + 0.5), 0.0), 255.0)
        value = tl.where(visible, value, 0.0)
        tl.store(out + p, value.to(out_ptr.dtype.element_ty), mask=stored)
        out += 3 * area
        colors += stride_color
        if MASK == BITS:
            a_0 = a_0 >> 1
            if TAPS == 2:
                a_1 = a_1 >> 1
        if MASK == SOFT:
            masks += mask_area
