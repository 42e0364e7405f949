"""COCO run lengths: column-major runs of unset and set pixels, beginning with unset ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from fgvp_kernels.frames import Size

Runs = npt.NDArray[np.int64]


def runs_of(rle: object, name: str, size: Size) -> Runs:
    """Return the runs of one COCO RLE dict: int64 ``[R]``, which add up to H·W.

    Args:
        rle: ``{"size": [H, W], "counts": ...}`` with counts as a compressed string (str or bytes)
            or as a list of runs.
        name: The argument's name, for messages.
        size: (H, W) of the image.

    Raises:
        TypeError: ``rle`` is no RLE dict.
        ValueError: Its size is not the image's, or its counts are broken.
    """
    if not isinstance(rle, Mapping) or "size" not in rle or "counts" not in rle:
        raise TypeError(
            f"{name} must be a COCO RLE dict with 'size' and 'counts', got {type(rle).__name__}"
        )
    if tuple(rle["size"]) != size:
        raise ValueError(
            f"{name}['size'] must be the size of the image, [H, W] = {list(size)}; "
            f"got {rle['size']!r}"
        )
    counts: Any = rle["counts"]
    try:
        if isinstance(counts, str):
            counts = counts.encode("ascii")
        runs = parse_counts(counts) if isinstance(counts, bytes) else np.array(counts, np.int64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name}['counts'] is no COCO run-length code: {error}") from None
    if runs.ndim != 1 or (runs < 0).any() or runs.sum() != size[0] * size[1]:
        raise ValueError(
            f"{name}['counts'] must be runs >= 0 that add up to H·W = {size[0] * size[1]}, "
            f"got {runs.size} runs that add up to {runs.sum()}"
        )
    return runs


def parse_counts(text: bytes) -> Runs:
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
