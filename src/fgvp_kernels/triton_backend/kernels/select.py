"""Triton kernels that write the pictures: select for binary masks, blend for soft ones.

A task is up to 32 candidates of one image: a program holds a stretch of one channel of that image's
planes in registers and writes it once for each candidate, so its loop stores and does little else.
"""

from __future__ import annotations

import triton
import triton.language as tl

from fgvp_kernels.triton_backend.kernels.mask_bits import IMAGE_COLUMNS
from fgvp_kernels.triton_backend.kernels.planes import canvas_offsets

# Columns of a task: image (or another surface), first output row, word row, first bit, count, first
# mask of the image; where candidates are drawn apart, origin (y, x) of the window that is shown of
# the scaled frame, and corner (y, x) of the surface in its masks.
TASK_COLUMNS = tl.constexpr(10)


@triton.jit
def select_kernel(
    planes_ptr,  # [B, 2 · TAPS, 3, h·w]
    words_ptr,  # int32 [G, CH·CW], bit j is candidate j of the group
    taps_ptr,  # int32 [B, 4, L], see canvas_offsets
    tasks_ptr,  # int32 [T, 10]
    out_ptr,  # [ΣN, 3, h·w]
    area,
    width,
    length,
    pitch,
    stride_words,
    TAPS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """``out[n] = bit n ? inside : outside``, the bits at one or two taps of every pixel."""
    task = tasks_ptr + tl.program_id(1) * TASK_COLUMNS
    channel = tl.program_id(2)
    image = tl.load(task).to(tl.int64)
    row = tl.load(task + 1).to(tl.int64)
    group = tl.load(task + 2).to(tl.int64)
    bit, count = tl.load(task + 3), tl.load(task + 4)
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = p < area
    taps = taps_ptr + image * 4 * length
    words = words_ptr + group * stride_words
    planes = planes_ptr + image * (2 * TAPS * 3 * area) + channel * area + p
    out = out_ptr + row * 3 * area + channel * area + p
    at_0 = canvas_offsets(taps, p, mask, width, length, pitch, 0)
    word_0 = tl.load(words + at_0, mask=mask & (at_0 >= 0), other=0) >> bit
    outside = tl.load(planes, mask=mask)
    inside = tl.load(planes + 3 * area, mask=mask)
    if TAPS == 1:
        for _ in range(count):
            tl.store(out, tl.where((word_0 & 1) != 0, inside, outside), mask=mask)
            word_0 = word_0 >> 1
            out += 3 * area
    else:
        at_1 = canvas_offsets(taps, p, mask, width, length, pitch, 1)
        word_1 = tl.load(words + at_1, mask=mask & (at_1 >= 0), other=0) >> bit
        first = tl.load(planes + 6 * area, mask=mask)
        second = tl.load(planes + 9 * area, mask=mask)
        for _ in range(count):
            in_0, in_1 = (word_0 & 1) != 0, (word_1 & 1) != 0
            value = tl.where(in_0, tl.where(in_1, inside, first), tl.where(in_1, second, outside))
            tl.store(out, value, mask=mask)
            word_0 = word_0 >> 1
            word_1 = word_1 >> 1
            out += 3 * area


@triton.jit
def blend_kernel(
    planes_ptr,  # fp32 [B, 1 + TAPS, 3, h·w]
    masks_ptr,  # soft masks [N, H, W] of the first image
    offsets_ptr,  # int64 [B], elements from there to the masks of each image
    mask_taps_ptr,  # int32 [B, 4, M], first and second mask row of a canvas row, then of a column
    weights_ptr,  # fp32 [B, 2, M], weight of the second row, of the second column
    images_ptr,  # int32 [B, 8], see triton_words.IMAGE_COLUMNS
    taps_ptr,  # int32 [B, 4, L], see canvas_offsets
    tasks_ptr,  # int32 [T, 10]
    out_ptr,  # [ΣN, 3, h·w]
    area,
    width,
    length,
    pitch,
    mask_length,
    TAPS: tl.constexpr,
    ROUND: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """``out[n] = outside + Σ_taps a_n · added``, ``a`` the bilinearly resized mask."""
    task = tasks_ptr + tl.program_id(1) * TASK_COLUMNS
    image = tl.load(task).to(tl.int64)
    row = tl.load(task + 1).to(tl.int64)
    first_mask, count = tl.load(task + 5).to(tl.int64), tl.load(task + 4)
    sizes = images_ptr + image * IMAGE_COLUMNS
    mask_height, mask_width = tl.load(sizes + 2), tl.load(sizes + 3)
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = p < area
    taps = taps_ptr + image * 4 * length
    mask_taps = mask_taps_ptr + image * 4 * mask_length
    weights = weights_ptr + image * 2 * mask_length
    planes = planes_ptr + image * ((1 + TAPS) * 3 * area) + p
    out = out_ptr + row * 3 * area + p
    masks = masks_ptr + tl.load(offsets_ptr + image)
    masks += first_mask * mask_height * mask_width
    at_0 = canvas_offsets(taps, p, mask, width, length, pitch, 0)
    at_1 = canvas_offsets(taps, p, mask, width, length, pitch, 1)
    shown = mask & (at_0 >= 0)
    for _ in range(count):
        a_0 = bilinear(masks, mask_taps, weights, at_0, pitch, mask_length, mask_width, shown)
        a_1 = a_0
        if TAPS == 2:
            a_1 = bilinear(masks, mask_taps, weights, at_1, pitch, mask_length, mask_width, shown)
        for channel in tl.static_range(3):
            plane = planes + channel * area
            value = tl.load(plane, mask=mask, other=0.0)
            value += a_0 * tl.load(plane + 3 * area, mask=mask, other=0.0)
            if TAPS == 2:
                value += a_1 * tl.load(plane + 6 * area, mask=mask, other=0.0)
            if ROUND:
                value = tl.minimum(tl.maximum(tl.floor(value + 0.5), 0.0), 255.0)
            tl.store(out + channel * area, value.to(out_ptr.dtype.element_ty), mask=mask)
        masks += mask_height * mask_width
        out += 3 * area


@triton.jit
def bilinear(masks, taps, weights, at, pitch, length, width, mask):
    """Bilinear value of a mask at canvas offsets ``at``."""
    y, x = at // pitch, at % pitch
    y_0 = tl.load(taps + y, mask=mask, other=0)
    y_1 = tl.load(taps + length + y, mask=mask, other=0)
    x_0 = tl.load(taps + 2 * length + x, mask=mask, other=0)
    x_1 = tl.load(taps + 3 * length + x, mask=mask, other=0)
    f_y = tl.load(weights + y, mask=mask, other=0.0)
    f_x = tl.load(weights + length + x, mask=mask, other=0.0)
    a = tl.load(masks + y_0 * width + x_0, mask=mask, other=0.0).to(tl.float32)
    b = tl.load(masks + y_0 * width + x_1, mask=mask, other=0.0).to(tl.float32)
    c = tl.load(masks + y_1 * width + x_0, mask=mask, other=0.0).to(tl.float32)
    d = tl.load(masks + y_1 * width + x_1, mask=mask, other=0.0).to(tl.float32)
    top, bottom = a + f_x * (b - a), c + f_x * (d - c)
    return top + f_y * (bottom - top)
