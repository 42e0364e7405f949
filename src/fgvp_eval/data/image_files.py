"""Where image files lie under a data root."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

# The references' own file names carry a suffix that is on no disk, so files go by image id. All
# images are in train2014, and again under shorter names in train2017.
_IMAGE_NAMES = (
    "images/train2014/COCO_train2014_{:012d}.jpg",
    "images/train2014/COCO_train2014_{:012d}.png",
    "images/train2017/{:012d}.jpg",
    "images/train2017/{:012d}.png",
)


def image_name(image_id: int) -> str:
    """Return the place of a RefCOCO image under the data root, whether or not it is there."""
    return _IMAGE_NAMES[0].format(image_id)


def find_images(root: Path, image_ids: Iterable[int]) -> tuple[dict[int, str], list[int]]:
    """Look for RefCOCO images.

    Returns:
        The file of each image that is there, relative to ``root``, with ``/``; and the ids of
        those that are not.
    """
    found: dict[int, str] = {}
    missing: list[int] = []
    for image_id in image_ids:
        names = (pattern.format(image_id) for pattern in _IMAGE_NAMES)
        name = next((name for name in names if (root / name).is_file()), None)
        if name is None:
            missing.append(image_id)
        else:
            found[image_id] = name
    return found, missing
