"""A detector's candidate boxes, as the ReCLIP data package stores them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from fgvp_eval.data.data_files import file_sha256, read_json
from fgvp_eval.data.data_sources import detections_source
from fgvp_eval.data.file_values import FileValue
from fgvp_eval.data.records import Box, Dataset
from fgvp_eval.errors import DataError
from fgvp_eval.options.splits import Split

_LOG = logging.getLogger(__name__)
_MOST_BEYOND = 0.05  # share of boxes that may leave their images before their layout is doubted


def detections_path(split: Split, root: Path, given: Path | None) -> Path:
    """Return the detections file of a split: the one given, else the one under the data root.

    Under the data root it is in ``detections``, or in ``reclip_data``, where ReCLIP has it.

    Raises:
        DataError: It is not there; the message says where it comes from and what else can be had.
    """
    name = f"{split.dataset}_dets_dict.json"
    path, as_reclip = given or root / "detections" / name, root / "reclip_data" / name
    if given is None and not path.is_file() and as_reclip.is_file():
        return as_reclip
    if not path.is_file():
        raise DataError(
            f"split {split.name}: the detector's boxes are missing, expected at {path}; source: "
            f"{detections_source(split.dataset)}; --proposals gt needs no file, but is a "
            "different, easier protocol: its accuracy does not compare with detected boxes"
        )
    return path


def read_detections(path: Path, dataset: Dataset) -> tuple[dict[int, tuple[Box, ...]], str]:
    """Read the candidate boxes of every image of ``dataset``.

    Two forms are read: a dict from image id to a list of boxes xywh, and a list of
    ``{"image_id": ..., "box": xywh}``. A detector that found nothing is an empty list, or, in the
    second form, cannot be told from an image that was left out.

    Returns:
        Boxes xywh by image id, an empty tuple where the detector found none; and the file's
        SHA-256.

    Raises:
        DataError: The file is missing or broken, or has no entry for an image.
    """
    content = read_json(path, detections_source(dataset.split.dataset))
    if isinstance(content, dict):
        boxes_of = content
    elif isinstance(content, list):
        boxes_of = _group(FileValue(path, "the file", content))
    else:
        raise DataError(f"{path} must hold a dict or a list, got {type(content).__name__}")
    found: dict[int, tuple[Box, ...]] = {}
    dropped = 0
    for image in dataset.images:
        if str(image.image_id) not in boxes_of:
            raise DataError(
                f"{path} has no entry for image {image.image_id} of split {dataset.split.name}; "
                "is it the file of another dataset?"
            )
        what = f"image {image.image_id}"
        boxes = FileValue(path, f"boxes of {what}", boxes_of[str(image.image_id)])
        read = [box.box() for box in boxes.each("box", what)]
        kept = tuple(box for box in read if box[2] > 0 and box[3] > 0)
        dropped += len(read) - len(kept)
        found[image.image_id] = kept
    if dropped:
        _LOG.warning("%s: %d boxes without area are no candidates", path, dropped)
    _check_layout(found, dataset, path)
    return found, file_sha256(path)


def _group(content: FileValue) -> dict[str, list[Any]]:
    boxes_of: dict[str, list[Any]] = {}
    for entry in content.each("entry"):
        image_id = str(entry.field("image_id").integer())
        boxes_of.setdefault(image_id, []).append(entry.field("box").value)
    return boxes_of


def _check_layout(found: dict[int, tuple[Box, ...]], dataset: Dataset, path: Path) -> None:
    """Refuse boxes that fit their images as xyxy and not as xywh; warn of those that fit in no way.

    Read in the wrong way they would give low accuracies and no other sign.

    Raises:
        DataError: More than one box in twenty leaves its image as xywh, and no more as xyxy.
    """
    total = beyond = beyond_as_corners = 0
    for image in dataset.images:
        if image.size is None:
            continue
        height, width = image.size
        for left, top, third, fourth in found[image.image_id]:
            total += 1
            beyond += left + third > width + 1 or top + fourth > height + 1
            ordered = left < third <= width + 1 and top < fourth <= height + 1
            beyond_as_corners += not ordered
    if beyond > _MOST_BEYOND * total >= beyond_as_corners:
        raise DataError(
            f"{path}: {beyond} of {total} boxes reach beyond their image by more than a pixel as "
            f"xywh, {beyond_as_corners} as xyxy: boxes must be x, y, width, height; is the file "
            "xyxy?"
        )
    if beyond:
        _LOG.warning("%s: %d of %d boxes reach beyond their image", path, beyond, total)
