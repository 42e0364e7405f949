"""Triton kernel that walks pictures back to the canvas: the gradient of select and blend."""

from __future__ import annotations

import triton
import triton.language as tl

from fgvp_kernels.backends.triton_planes import BLUR, GREY, NOTHING, TINT, changed_levels
from fgvp_kernels.backends.triton_select import bilinear
from fgvp_kernels.backends.triton_words import IMAGE_COLUMNS

# Columns of an image's candidates: first output row, first row of words, count.
SPAN_COLUMNS = tl.constexpr(3)


@triton.jit
def gather_kernel(
    gradient_ptr,  # [ΣN, 3, h·w], of the pictures
    constants_ptr,  # fp32 [3, 3]: scale, shift and color of each channel
    shown_ptr,  # int32 [B, 4, L]: output row that has a canvas row as its first tap, as its second
    shares_ptr,  # fp32 [B, 4, L]: with which weight; then both of the columns; -1 and 0 where none
    images_ptr,  # int32 [B, 8], see triton_words.IMAGE_COLUMNS
    spans_ptr,  # int32 [B, 3]
    words_ptr,  # int32 [rows, CH·CW], of binary masks
    masks_ptr,  # soft masks [N, H, W] of the first image
    offsets_ptr,  # int64 [B], elements from there to the masks of each image
    mask_taps_ptr,  # int32 [B, 4, M], see blend_kernel
    weights_ptr,  # fp32 [B, 2, M]
    canvas_ptr,  # [B, 3, CH, CW], uint8 or fp32 levels
    blurred_ptr,  # fp32 [B, 3, CH, CW]
    d_canvas_ptr,  # fp32 [B, 3, CH, CW]; added to
    d_blurred_ptr,  # fp32 [B, 3, CH, CW]; added to
    d_masks_ptr,  # fp32 [candidates, CH, CW], of masks on the canvas; added to
    area,
    width,
    length,
    pitch,
    mask_length,
    stride_words,
    alpha,
    red,
    green,
    blue,
    EFFECT: tl.constexpr,
    OUTSIDE: tl.constexpr,
    TAPS: tl.constexpr,
    SOFT: tl.constexpr,
    D_IMAGES: tl.constexpr,
    D_MASKS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Gradients at the pixels of the canvas, summed over candidates one after another.

    A picture is ``Σ_taps weight · scale · (outside + a · (inside - outside))``. Every canvas pixel
    gathers from the outputs that show it, so nothing is added up in an order that could change.
    """
    image = tl.program_id(1).to(tl.int64)
    sizes = images_ptr + image * IMAGE_COLUMNS
    height, canvas_width = tl.load(sizes), tl.load(sizes + 1)
    mask_height, mask_width = tl.load(sizes + 2), tl.load(sizes + 3)
    span = spans_ptr + image * SPAN_COLUMNS
    row, count = tl.load(span).to(tl.int64), tl.load(span + 2)
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    y, x = p // pitch, p % pitch
    mask = (y < height) & (x < canvas_width)
    shown, shares = shown_ptr + image * 4 * length, shares_ptr + image * 4 * length
    at_00, share_00 = _output(shown, shares, y, x, width, length, mask, 0, 0)
    at_01, share_01, at_10, share_10 = at_00, share_00, at_00, share_00
    if TAPS == 2:  # one axis is squashed, so never both second taps
        at_01, share_01 = _output(shown, shares, y, x, width, length, mask, 0, 1)
        at_10, share_10 = _output(shown, shares, y, x, width, length, mask, 1, 0)
    stride_channel = stride_words.to(tl.int64)
    canvas = canvas_ptr + image * 3 * stride_channel
    blurred = blurred_ptr + image * 3 * stride_channel
    words = words_ptr + tl.load(span + 1).to(tl.int64) * stride_words + p
    masks = masks_ptr + tl.load(offsets_ptr + image)
    mask_taps = mask_taps_ptr + image * 4 * mask_length
    weights = weights_ptr + image * 2 * mask_length
    d_masks = d_masks_ptr + tl.load(sizes + 4).to(tl.int64) * stride_words + p
    gradient = gradient_ptr + row * 3 * area
    in_0, out_0 = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
    in_1, out_1 = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
    in_2, out_2 = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
    for n in range(count):
        if SOFT:
            a = bilinear(masks, mask_taps, weights, p, pitch, mask_length, mask_width, mask)
            masks += mask_height * mask_width
        else:
            word = tl.load(words + (n // 32) * stride_channel, mask=mask, other=0)
            a = ((word >> (n % 32)) & 1).to(tl.float32)
        step = tl.zeros((BLOCK,), tl.float32)
        for channel in tl.static_range(3):
            source = gradient + channel * area
            g = _shared(source + at_00, share_00)
            if TAPS == 2:
                g += _shared(source + at_01, share_01) + _shared(source + at_10, share_10)
            g *= tl.load(constants_ptr + channel)
            if D_MASKS:
                color = tl.load(constants_ptr + 6 + channel)
                plain, changed = changed_levels(
                    canvas, blurred, p, mask, channel, stride_channel, alpha, color,
                    red, green, blue, EFFECT,
                )  # fmt: skip
                step += g * ((plain - changed) if OUTSIDE else (changed - plain))
            if channel == 0:
                in_0, out_0 = in_0 + a * g, out_0 + (1.0 - a) * g
            elif channel == 1:
                in_1, out_1 = in_1 + a * g, out_1 + (1.0 - a) * g
            else:
                in_2, out_2 = in_2 + a * g, out_2 + (1.0 - a) * g
        if D_MASKS:
            tl.store(d_masks, tl.load(d_masks, mask=mask, other=0.0) + step, mask=mask)
            d_masks += stride_channel
        gradient += 3 * area
    if D_IMAGES:
        if OUTSIDE:
            changed_0, changed_1, changed_2 = out_0, out_1, out_2
            plain_0, plain_1, plain_2 = in_0, in_1, in_2
        else:
            changed_0, changed_1, changed_2 = in_0, in_1, in_2
            plain_0, plain_1, plain_2 = out_0, out_1, out_2
        if EFFECT == NOTHING:
            plain_0 += changed_0
            plain_1 += changed_1
            plain_2 += changed_2
        if EFFECT == TINT:
            plain_0 += (1.0 - alpha) * changed_0
            plain_1 += (1.0 - alpha) * changed_1
            plain_2 += (1.0 - alpha) * changed_2
        if EFFECT == GREY:
            total = changed_0 + changed_1 + changed_2
            plain_0 += red * total
            plain_1 += green * total
            plain_2 += blue * total
        d_canvas = d_canvas_ptr + image * 3 * stride_channel + p
        _add(d_canvas, plain_0, mask)
        _add(d_canvas + stride_channel, plain_1, mask)
        _add(d_canvas + 2 * stride_channel, plain_2, mask)
        if EFFECT == BLUR:
            d_blurred = d_blurred_ptr + image * 3 * stride_channel + p
            _add(d_blurred, changed_0, mask)
            _add(d_blurred + stride_channel, changed_1, mask)
            _add(d_blurred + 2 * stride_channel, changed_2, mask)


@triton.jit
def _output(shown, shares, y, x, width, length, mask, ROW: tl.constexpr, COLUMN: tl.constexpr):
    """Offset of an output pixel that shows canvas pixels, and its weight, 0 where there is none."""
    row = tl.load(shown + ROW * length + y, mask=mask, other=-1)
    column = tl.load(shown + (2 + COLUMN) * length + x, mask=mask, other=-1)
    share = tl.load(shares + ROW * length + y, mask=mask, other=0.0)
    share *= tl.load(shares + (2 + COLUMN) * length + x, mask=mask, other=0.0)
    return row * width + column, share


@triton.jit
def _shared(pointer, share):
    return share * tl.load(pointer, mask=share != 0, other=0.0).to(tl.float32)


@triton.jit
def _add(pointer, value, mask):
    tl.store(pointer, tl.load(pointer, mask=mask, other=0.0) + value, mask=mask)
