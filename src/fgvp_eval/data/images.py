"""Decoding of image files."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fgvp_eval.data.records import ImageRecord
from fgvp_eval.errors import DataError

# What Pillow and its plugins raise for files that are truncated, damaged, no image, or absurdly
# large.
BROKEN_IMAGE = (
    *(OSError, SyntaxError, ValueError, EOFError, struct.error, RuntimeError, TypeError),
    *(ArithmeticError, LookupError, MemoryError, Image.DecompressionBombError),
)


# SAM's frame of 1024 pixels and the renderer's of a set short side hold no thinner picture.
MOST_TIMES_AS_LONG = 100


def check_shape(path: Path, size: tuple[int, int]) -> None:
    """Check that a picture, of this height and width, is not too thin to be looked at.

    Raises:
        DataError: One side is more than ``MOST_TIMES_AS_LONG`` times the other.
    """
    height, width = size
    if max(size) > MOST_TIMES_AS_LONG * min(size):
        raise DataError(
            f"{path} is {width}x{height}: pictures of which one side is more than "
            f"{MOST_TIMES_AS_LONG} times the other cannot be scored"
        )


def decode_image(record: ImageRecord) -> NDArray[np.uint8]:
    """Decode an image, as stored: EXIF rotation is not applied, as annotations are without it.

    Returns:
        ``[H, W, 3]`` uint8 RGB.

    Raises:
        DataError: The file cannot be decoded, is too thin, or is not of the size that the
            annotations say.
    """
    try:
        with Image.open(record.path) as file:
            pixels = np.array(file.convert("RGB"))  # [H, W, 3]
    except BROKEN_IMAGE as error:
        raise DataError(f"{record.path} cannot be decoded: {error}") from None
    size = pixels.shape[:2]
    if record.size is not None and size != record.size:
        raise DataError(
            f"{record.path} is {size[1]}x{size[0]}, but instances.json says "
            f"{record.size[1]}x{record.size[0]}"
        )
    check_shape(record.path, (size[0], size[1]))
    return pixels
