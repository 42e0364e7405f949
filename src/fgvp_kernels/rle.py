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


def decode_runs(runs: Runs, size: Size) -> npt.NDArray[np.bool_]:
    """Dense mask ``[H, W]`` of checked runs."""
    height, width = size
    values = np.arange(runs.size) % 2 == 1
    mask: npt.NDArray[np.bool_] = np.repeat(values, runs).reshape(width, height).T
    return mask
