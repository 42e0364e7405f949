"""COCO run lengths: column-major runs of unset and set pixels, beginning with unset ones."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from operator import index
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fgvp_kernels.frames import Size
from fgvp_kernels.value_checks import shown

Runs = npt.NDArray[np.int64]


def runs_of(rle: object, name: str, size: Size) -> Runs:
    """Return the runs of one COCO RLE dict: int64 ``[R]``, which add up to H·W.

    Args:
        rle: ``{"size": [H, W], "counts": ...}`` with counts as a compressed string (str or bytes)
            or as runs: a sequence, array or tensor of integers.
        name: The argument's name, for messages.
        size: (H, W) of the image.

    Raises:
        TypeError: ``rle`` is no RLE dict.
        ValueError: Its size is not the image's, or its counts are broken.
    """
    if not isinstance(rle, Mapping) or "size" not in rle or "counts" not in rle:
        raise TypeError(
            f"{name} must be a COCO RLE dict with 'size' and 'counts', got {_kind(rle)}"
        )
    try:
        given = tuple([index(side) for side in rle["size"]])
    except TypeError:
        given = ()
    if given != size:
        raise ValueError(
            f"{name}['size'] must be the size of the image, [H, W] = {list(size)}; "
            f"got {shown(rle['size'])}"
        )
    try:
        runs = _runs_in(rle["counts"])
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ValueError(f"{name}['counts'] is no COCO run-length code: {error}") from None
    pixels = size[0] * size[1]
    # As unsigned numbers negative ones are large. Sums of larger ones than these could overflow.
    if runs.size == 0 or runs.view(np.uint64).max() > pixels or runs.sum() != pixels:
        raise ValueError(
            f"{name}['counts'] must be runs >= 0 that add up to H·W = {pixels}, "
            f"got {runs.size} runs that add up to {sum(runs.tolist())}"
        )
    return runs


def _kind(value: object) -> str:
    """What ``value`` is, for a message."""
    if isinstance(value, Mapping):
        return f"a dict with {', '.join(shown(key) for key in [*value][:8]) or 'nothing'}"
    return type(value).__name__


def _runs_in(counts: Any) -> Runs:
    """The numbers that ``counts`` holds, int64 ``[R]``, of any value."""
    if isinstance(counts, str):
        counts = counts.encode("ascii")
    if isinstance(counts, (bytes, bytearray)):
        return parse_counts(counts)
    if isinstance(counts, (list, tuple)):
        return np.array(array("q", counts))  # takes integers only, as fast as NumPy takes anything
    if isinstance(counts, torch.Tensor):
        counts = counts.numpy(force=True)
    runs = np.asarray(counts)
    if runs.ndim != 1:
        raise ValueError(f"it must be a string or one row of numbers, got {shown(counts)}")
    if runs.dtype.kind not in "iu" and runs.size > 0:
        raise ValueError(f"its runs must be integers, got {runs.dtype}")
    return runs.astype(np.int64)


def parse_counts(text: bytes | bytearray) -> Runs:
    """Runs of a compressed COCO string.

    A number is a chain of characters 48-111, five bits each, lowest first; bit 5 says that more
    follow, bit 4 of the last is the sign. From the fourth number on, the difference to the number
    two before is stored.
    """
    codes = np.frombuffer(text, np.uint8).astype(np.int64) - 48  # [L]
    if codes.size == 0:
        return np.zeros(0, np.int64)
    if codes.min() < 0 or codes.max() > 63:
        raise ValueError("a character outside '0' to 'o'")
    stops = np.flatnonzero((codes & 32) == 0)  # last character of each number
    if stops.size == 0 or stops[-1] != codes.size - 1:
        raise ValueError("it ends within a number")
    starts = np.concatenate([[0], stops[:-1] + 1])
    lengths = stops - starts + 1
    if lengths.max() > 12:
        raise ValueError("a number of more than 60 bits")
    place = 5 * (np.arange(codes.size) - np.repeat(starts, lengths))
    numbers = np.add.reduceat((codes & 31) << place, starts)
    numbers -= np.where(codes[stops] & 16, np.int64(1) << (5 * lengths), 0)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers


def tight_box(runs: Runs, size: Size) -> tuple[int, int, int, int]:
    """Smallest box round the set pixels, x0, y0, x1, y1 with x1 and y1 beyond; zeros if none."""
    height = size[0]
    edges = np.cumsum(runs)
    starts = edges[:-1:2]  # the set runs, which may have no length
    stops = edges[1::2]
    starts, stops = starts[stops > starts], stops[stops > starts]
    if starts.size == 0:
        return (0, 0, 0, 0)
    left, right = starts[0] // height, (stops[-1] - 1) // height + 1
    # A run that goes on in the next column covers a column's last pixel and the next one's first.
    wraps = starts // height != (stops - 1) // height
    top = 0 if wraps.any() else (starts % height).min()
    bottom = height if wraps.any() else ((stops - 1) % height).max() + 1
    return (int(left), int(top), int(right), int(bottom))


def decode_runs(runs: Runs, mask: npt.NDArray[np.bool_]) -> None:
    """Set the pixels of checked runs in ``mask [H, W]``, which is all False."""
    height = mask.shape[0]
    left, top, right, bottom = tight_box(runs, (height, mask.shape[1]))
    # Ends of the runs, seen from the box's first column and cut at its last.
    ends = (np.cumsum(runs) - left * height).clip(0, (right - left) * height)
    values = np.arange(runs.size) % 2 == 1
    columns = np.repeat(values, np.diff(ends, prepend=0)).reshape(right - left, height)
    mask[top:bottom, left:right] = columns[:, top:bottom].T
