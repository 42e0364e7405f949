"""Decoding of image files."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fgvp_eval.errors import DataError
from fgvp_eval.records import ImageRecord

# What Pillow raises for files that are truncated, damaged, no image, or absurdly large.
BROKEN_IMAGE = (
    *(OSError, SyntaxError, ValueError, EOFError, struct.error),
    Image.DecompressionBombError,
)


def decode_image(record: ImageRecord) -> NDArray[np.uint8]:
    """Decode an image, as stored: EXIF rotation is not applied, as annotations are without it.

    Returns:
        ``[H, W, 3]`` uint8 RGB.

    Raises:
        DataError: The file cannot be decoded, or is not of the size that the annotations say.
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
    return pixels
