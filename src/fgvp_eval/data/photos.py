"""Pictures that a user names: files from cameras and drawing programs, or those of the demo."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from fgvp_eval.data.images import BROKEN_IMAGE, check_shape, decode_image
from fgvp_eval.data.records import Box, Dataset, ImageRecord
from fgvp_eval.data.refcoco import read_refcoco
from fgvp_eval.errors import DataError, UsageError
from fgvp_eval.options.splits import DEMO
from fgvp_eval.options.values import is_demo_picture

# SAM looks at 1024 pixels and CLIP at fewer, while a hundred masks of a phone's photo take
# gigabytes at its own size.
LONGEST_SIDE = 1600


@dataclass(frozen=True, eq=False)
class Photo:
    """A picture, at most ``LONGEST_SIDE`` pixels wide and high.

    Attributes:
        pixels: ``[h, w, 3]`` uint8 RGB.
        size: Its own height and width, before it was made smaller.
    """

    pixels: NDArray[np.uint8]
    size: tuple[int, int]

    def box_to_pixels(self, box_xyxy: Box) -> Box:
        """Return a box of the picture in pixels of :attr:`pixels`."""
        (height, width), (h, w) = self.size, self.pixels.shape[:2]
        return _scaled(box_xyxy, w / width, h / height)

    def point_to_pixels(self, point_xy: tuple[float, float]) -> tuple[float, float]:
        """Return a point of the picture in pixels of :attr:`pixels`."""
        x, y, _, _ = self.box_to_pixels((*point_xy, *point_xy))
        return x, y

    def mask_to_pixels(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return a mask of the picture, ``[H, W]`` bool, at the size of :attr:`pixels`."""
        return _nearest(mask, self.pixels.shape[:2])

    def box_to_picture(self, box_xyxy: Box) -> Box:
        """Return a box of :attr:`pixels` in pixels of the picture's own size."""
        (height, width), (h, w) = self.size, self.pixels.shape[:2]
        return _scaled(box_xyxy, width / w, height / h)

    def mask_to_picture(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return a mask of :attr:`pixels`, ``[h, w]`` bool, at the picture's own size."""
        return _nearest(mask, self.size)


def demo_picture(word: str) -> tuple[Dataset, ImageRecord]:
    """Return the demo split and the picture of it that ``demo`` or ``demo:K`` means.

    Raises:
        UsageError: There is no K-th picture.
    """
    from fgvp_eval.demo.dataset import demo_data_root

    dataset = read_refcoco(demo_data_root(), DEMO, None)
    number = int(word.partition(":")[2] or 1)
    if not 1 <= number <= len(dataset.images):
        raise UsageError(f"IMAGE {word}: demo pictures are demo:1 to demo:{len(dataset.images)}")
    return dataset, dataset.images[number - 1]


def read_demo(record: ImageRecord) -> Photo:
    """Read a demo picture as an evaluation does."""
    pixels = decode_image(record)
    return Photo(pixels, (pixels.shape[0], pixels.shape[1]))


def read_image(word: str) -> Photo:
    """Read a picture by its path, or one of the demo's by ``demo`` or ``demo:K``.

    Raises:
        DataError: The file is missing, or no picture that can be read.
        UsageError: There is no K-th picture.
    """
    return read_demo(demo_picture(word)[1]) if is_demo_picture(word) else read_photo(Path(word))


def read_photo(path: Path) -> Photo:
    """Read a picture as :func:`read_picture` does, made smaller if it is large.

    Raises:
        DataError: The file is missing, no picture that can be read, or too thin.
    """
    picture = read_picture(path)
    size = (picture.height, picture.width)
    check_shape(path, size)
    if max(size) > LONGEST_SIDE:
        picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    return Photo(np.array(picture), size)


def read_picture(path: Path) -> Image.Image:
    """Read a picture as a viewer shows it, in RGB.

    The rotation that a camera notes (EXIF) is applied, what is transparent becomes white, and 16
    bits become 8.

    Raises:
        DataError: The file is missing, or no picture that can be read.
    """
    try:
        with Image.open(path) as file:
            return _as_rgb(ImageOps.exif_transpose(file), path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except BROKEN_IMAGE as error:
        raise DataError(f"{path}: cannot be read as a picture: {error}") from None


def _as_rgb(picture: Image.Image, path: Path) -> Image.Image:
    if picture.mode == "F":
        raise DataError(f"{path}: has float pixels of unknown range; save it with 8 or 16 bits")
    if picture.mode.startswith("I"):
        levels = np.asarray(picture, dtype=np.int64)  # [H, W]
        if levels.min() < 0 or levels.max() > 65535:
            raise DataError(f"{path}: has 32-bit pixels; save it with 8 or 16 bits")
        picture = Image.fromarray((levels / 257.0).round().astype(np.uint8))
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return picture.convert("RGB")


def _nearest(mask: NDArray[np.bool_], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return a mask at another height and width, each pixel that of the nearest."""
    if mask.shape == size:
        return mask
    height, width = size
    return np.array(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))


def _scaled(box_xyxy: Box, x: float, y: float) -> Box:
    left, top, right, bottom = box_xyxy
    return left * x, top * y, right * x, bottom * y
