"""Triton kernels that outline masks: the boundary of what words hold, made as wide as a line.

``fgvp_kernels.regions`` draws the same; words are described in ``triton_words``.
"""

from __future__ import annotations

import triton
import triton.language as tl

from fgvp_kernels.triton_backend.kernels.mask_bits import IMAGE_COLUMNS


@triton.jit
def boundary_kernel(
    words_ptr,  # int32 [rows, CH·CW]
    images_ptr,  # int32 [B, 8]
    owners_ptr,  # int32 [rows], image of a word row
    out_ptr,  # int32 [3, rows, CH·CW]
    pitch,
    stride_words,
    BLOCK: tl.constexpr,
):
    """Boundary pixels, and pixels at an end of steps down to the right, and down to the left.

    Boundary pixels have an unset one, or the border, among their four neighbours; see
    ``regions.outline_of``.
    """
    row = tl.program_id(1).to(tl.int64)
    sizes = images_ptr + tl.load(owners_ptr + row) * IMAGE_COLUMNS
    height, width = tl.load(sizes), tl.load(sizes + 1)
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    y, x = p // pitch, p % pitch
    mask = (y < height) & (x < width)
    words = words_ptr + row * stride_words + p
    above, below = mask & (y > 0), mask & (y + 1 < height)
    before, behind = x > 0, x + 1 < width
    here = tl.load(words, mask=mask, other=0)
    north, south = (
        tl.load(words - pitch, mask=above, other=0),
        tl.load(words + pitch, mask=below, other=0),
    )
    west, east = (
        tl.load(words - 1, mask=mask & before, other=0),
        tl.load(words + 1, mask=mask & behind, other=0),
    )
    falling = tl.load(words - pitch - 1, mask=above & before, other=0) & ~(north & west)
    falling |= tl.load(words + pitch + 1, mask=below & behind, other=0) & ~(south & east)
    rising = tl.load(words - pitch + 1, mask=above & behind, other=0) & ~(north & east)
    rising |= tl.load(words + pitch - 1, mask=below & before, other=0) & ~(south & west)
    out = out_ptr + row * stride_words + p
    plane = tl.num_programs(1).to(tl.int64) * stride_words
    mask = p < stride_words
    tl.store(out, here & ~(north & south & west & east), mask=mask)
    tl.store(out + plane, here & falling, mask=mask)
    tl.store(out + 2 * plane, here & rising, mask=mask)


@triton.jit
def widen_kernel(
    words_ptr,  # int32 [3, rows, CH·CW], of boundary_kernel
    images_ptr,  # int32 [B, 8]
    owners_ptr,  # int32 [rows]
    out_ptr,  # int32 [rows, CH·CW]
    pitch,
    stride_words,
    half,
    slant,
    BLOCK: tl.constexpr,
):
    """A disc about each boundary pixel, and pixels ``slant`` to either side of diagonal steps."""
    row = tl.program_id(1).to(tl.int64)
    sizes = images_ptr + tl.load(owners_ptr + row) * IMAGE_COLUMNS
    height, width = tl.load(sizes), tl.load(sizes + 1)
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    y, x = p // pitch, p % pitch
    mask = (y < height) & (x < width)
    words = words_ptr + row * stride_words + p
    wide = tl.zeros((BLOCK,), tl.int32)
    for dy in range(-half, half + 1):
        rows_there = mask & (y + dy >= 0) & (y + dy < height)
        for dx in range(-half, half + 1):
            inside = rows_there & (x + dx >= 0) & (x + dx < width)
            inside &= dx * dx + dy * dy <= half * half
            wide |= tl.load(words + dy * pitch + dx, mask=inside, other=0)
    if slant > 0:
        plane = tl.num_programs(1).to(tl.int64) * stride_words
        for dy in range(-slant, slant + 1, 2 * slant):
            inside = mask & (y + dy >= 0) & (y + dy < height)
            for dx in range(-slant, slant + 1, 2 * slant):
                steps = words + tl.where(dx * dy < 0, plane, 2 * plane)
                there = inside & (x + dx >= 0) & (x + dx < width)
                wide |= tl.load(steps + dy * pitch + dx, mask=there, other=0)
    tl.store(out_ptr + row * stride_words + p, wide, mask=p < stride_words)
