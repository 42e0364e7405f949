"""Scenes, mask forms and comparisons for the tests of the Triton backend."""

from __future__ import annotations

from itertools import pairwise

import torch
import triton
import triton.language as tl

from fgvp_kernels import PackedMasks, render_batch
from tolerances import TRITON_MAX, TRITON_RESIZED_MAX, TRITON_RESIZED_SHARE


@triton.jit
def _count_kernel(count_ptr, out_ptr):
    total = 0
    for _ in range(tl.load(count_ptr)):
        total += 1
    tl.store(out_ptr, total)


def loops_work() -> bool:
    """Triton 3.6's interpreter cannot loop up to a loaded number under NumPy 2.4 and later."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    count = torch.full((2,), 3, dtype=torch.int32, device=device)
    try:
        _count_kernel[(1,)](count, count[1:])
    except Exception as error:
        if "converted to Python scalars" in str(error):
            return False
        raise
    return count[1] == 3


def scene(height, width, count, device, seed=0):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)
    masks = torch.rand(count, height, width, generator=generator) < 0.08
    if count > 2:
        masks[1], masks[2] = False, True
    return image.to(device), masks.to(device)


def both(images, masks, mode, **keywords):
    """Levels of the Triton and the torch backend, float32; Triton's are written over NaN."""
    keywords = {"dtype": torch.float32} | keywords
    expected = render_batch(images, masks, mode, backend="torch", **keywords)
    out = torch.full_like(expected, torch.nan if expected.is_floating_point() else 77)
    render_batch(images, masks, mode, backend="triton", out=out, **keywords)
    unit = 255 if expected.is_floating_point() else 1
    return out.float() * unit, expected.float() * unit


def assert_equal_levels(ours, expected):
    assert (ours - expected).abs().max() <= TRITON_MAX


def assert_equal_but_for_resizing(ours, expected):
    """The two resize the image with weights of different precision: a few levels round apart."""
    difference = (ours - expected).abs()
    assert difference.max() <= TRITON_RESIZED_MAX
    assert (difference > TRITON_MAX).float().mean() <= TRITON_RESIZED_SHARE


def run_lengths(mask):
    """COCO's run lengths of a bool mask ``[H, W]``: down the columns, the first of zeros."""
    flat = mask.T.flatten()
    edges = torch.nonzero(flat[1:] != flat[:-1]).flatten() + 1
    edges = [0, *edges.tolist(), flat.numel()]
    runs = [stop - start for start, stop in pairwise(edges)]
    return [0, *runs] if flat[0] else runs


def coco_string(runs):
    """Run lengths as COCO writes them: from the fourth on the difference to the last but one, in
    groups of five bits, the lowest first, each with a bit that says whether more follow.
    """
    letters = bytearray()
    for i, run in enumerate(runs):
        rest = run - runs[i - 2] if i > 2 else run
        more = True
        while more:
            bits = rest & 31
            rest >>= 5
            more = rest != (-1 if bits & 16 else 0)  # the fifth bit is the sign of the last group
            letters.append(48 + bits + 32 * more)
    return bytes(letters)


def forms(masks):
    rles, plain = [], []
    for mask in masks.cpu():
        runs, size = run_lengths(mask), list(mask.shape)
        rles.append({"size": size, "counts": coco_string(runs)})
        # Runs of no length, which say the same.
        counts = [runs[0], 0, 0, *runs[1:], 0] if len(runs) > 1 else runs
        plain.append({"size": size, "counts": counts})
    return {
        "uint8": masks.to(torch.uint8) * 255,
        "strided": masks.repeat_interleave(2, dim=1)[:, ::2],
        "packed": PackedMasks.pack(masks),
        "rle": rles,
        "rle plain": plain,
    }
