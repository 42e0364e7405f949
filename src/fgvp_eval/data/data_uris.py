"""Pictures as text, to stand in a page that loads nothing."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from fgvp_eval.data.images import BROKEN_IMAGE

LONG_SIDE = 640  # pixels of a photo, at most
PROMPT_SIDE = 224  # pixels of a prompt, at most

_PHOTO_QUALITY, _PROMPT_QUALITY = 75, 85


@dataclass(frozen=True)
class Photo:
    """An image of a data set for a page.

    Attributes:
        size: Width and height as stored, in which boxes are given.
        uri: The image, reduced to :data:`LONG_SIDE`.
    """

    size: tuple[int, int]
    uri: str


def read_photo(path: Path) -> Photo | None:
    """Return the image of a file; None if there is none or it is broken.

    EXIF rotation is not applied, as boxes are given without it.
    """
    try:
        with Image.open(path) as file:
            size = file.size
            file.draft("RGB", (LONG_SIDE, LONG_SIDE))
            photo = file.convert("RGB")
    except BROKEN_IMAGE:
        return None
    photo.thumbnail((LONG_SIDE, LONG_SIDE))
    return Photo(size, jpeg_uri(jpeg_text(photo, _PHOTO_QUALITY, "4:2:0")))


def prompt_text(picture: Image.Image) -> str:
    """Return a prompt as the base64 text of a JPEG, reduced to :data:`PROMPT_SIDE`."""
    picture.thumbnail((PROMPT_SIDE, PROMPT_SIDE))
    return jpeg_text(picture, _PROMPT_QUALITY, "4:4:4")


def jpeg_text(picture: Image.Image, quality: int, subsampling: str) -> str:
    """Return a picture as the base64 text of a JPEG."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def jpeg_uri(text: str) -> str:
    """Return the address that holds a JPEG of this base64 text."""
    return f"data:image/jpeg;base64,{text}"
