"""Candidate boxes of one picture from a file, as detectors, COCO and SAM write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fgvp_eval.boxes import xyxy_from_xywh
from fgvp_eval.data_files import read_box, read_json, require
from fgvp_eval.errors import DataError
from fgvp_eval.records import Box

BoxFormat = Literal["xyxy", "xywh"]

FORMS = """\
boxes FILE (JSON; pixels of the picture as a viewer shows it, rotated as the camera notes):
  [[x1, y1, x2, y2], ...]                     corners
  {"boxes": [[x1, y1, x2, y2], ...], "labels": ["dog", ...]}    corners; labels may be left out
  {"boxes_xyxy": ...} or {"boxes_xywh": ...}  the name says which
  [{"bbox": [x, y, width, height], ...}, ...] COCO results, or masks of SAM's generator: left, top,
                                              width, height; "segmentation" and "label" are used
  {"annotations": [{"bbox": ...}, ...]}       a COCO file, with --image-id
  {"42": [[x, y, width, height], ...], ...}   ReCLIP's detections, with --image-id
A box without area or beyond the picture is an error. --box-format xyxy or xywh says otherwise than
the list."""

_SOURCE = "see python -m fgvp_eval.ground --help"
_SLACK = 1.0  # pixels that a rounded box may reach beyond the picture


@dataclass(frozen=True)
class GivenBoxes:
    """The candidates of a picture.

    Attributes:
        boxes_xyxy: N boxes, N >= 1, in pixels of the picture.
        form: How the numbers of the file were read.
        labels: What the file calls each of them; None if it does not.
        segmentations: Their masks as COCO has them, polygons or RLE; None unless all have one.
    """

    boxes_xyxy: tuple[Box, ...]
    form: BoxFormat
    labels: tuple[str, ...] | None = None
    segmentations: tuple[Any, ...] | None = None


@dataclass(frozen=True)
class _Listed:
    """Boxes as a file lists them, and how they are to be read."""

    boxes: Sequence[Any]
    form: BoxFormat
    labels: Sequence[Any] | None = None
    segmentations: Sequence[Any] | None = None


def read_boxes(
    path: Path,
    size: tuple[int, int],
    *,
    box_format: BoxFormat | None = None,
    image_id: int | None = None,
) -> GivenBoxes:
    """Read candidate boxes; the forms are those of ``FORMS``.

    Args:
        path: A JSON file.
        size: Height and width of the picture.
        box_format: How four numbers are to be read; None for the way of the file's form.
        image_id: Which picture of a file of several.

    Raises:
        DataError: The file is missing or broken, has none of the forms, holds boxes of several
            pictures and no ``image_id`` is given, or a box has no area or leaves the picture.
    """
    listed = _listed(read_json(path, _SOURCE), path, image_id)
    form = box_format or listed.form
    if not listed.boxes:
        raise DataError(f"{path}: holds no box of this picture")
    boxes_xyxy = tuple(
        _checked(read_box(box, f"box {index}", path), form, size, f"{path}: box {index}")
        for index, box in enumerate(listed.boxes)
    )
    labels = None if listed.labels is None else tuple(str(label) for label in listed.labels)
    if labels is not None and len(labels) != len(boxes_xyxy):
        raise DataError(f"{path}: has {len(labels)} labels for {len(boxes_xyxy)} boxes")
    masks = None if listed.segmentations is None else tuple(listed.segmentations)
    return GivenBoxes(boxes_xyxy, form, labels, masks)


def _listed(content: Any, path: Path, image_id: int | None) -> _Listed:
    if isinstance(content, Mapping):
        return _from_dict(content, path, image_id)
    if not isinstance(content, list):
        raise DataError(f"{path}: must hold a list or a dict, got {type(content).__name__}")
    if content and all(isinstance(entry, Mapping) for entry in content):
        return _from_entries(content, path, image_id)
    return _Listed(content, "xyxy")


def _from_dict(content: Mapping[str, Any], path: Path, image_id: int | None) -> _Listed:
    if "annotations" in content:
        return _from_entries(content["annotations"], path, image_id)
    forms: dict[str, BoxFormat] = {"boxes": "xyxy", "boxes_xyxy": "xyxy", "boxes_xywh": "xywh"}
    present = [key for key in forms if key in content]
    if len(present) == 1:
        boxes = _as_list(content[present[0]], present[0], path)
        labels = content.get("labels")
        return _Listed(
            boxes, forms[present[0]], None if labels is None else _as_list(labels, "labels", path)
        )
    if present or not all(key.isdecimal() for key in content):
        raise DataError(
            f"{path}: a dict must have one of 'boxes', 'boxes_xyxy', 'boxes_xywh', 'annotations', "
            f"or image ids as keys; got {', '.join(content)[:80]}"
        )
    if image_id is None:
        raise DataError(f"{path}: holds boxes of {len(content)} pictures; give --image-id")
    return _Listed(_as_list(content.get(str(image_id), []), str(image_id), path), "xywh")


def _from_entries(entries: Any, path: Path, image_id: int | None) -> _Listed:
    """Read entries of COCO results or annotations, or of SAM's generator."""
    for index, entry in enumerate(_as_list(entries, "annotations", path)):
        require(entry, ("bbox",), f"entry {index}", path)
    ids = {entry.get("image_id") for entry in entries}
    if image_id is not None:
        entries = [entry for entry in entries if str(entry.get("image_id")) == str(image_id)]
    elif len(ids) > 1:
        raise DataError(f"{path}: holds boxes of {len(ids)} pictures; give --image-id")

    def of_all(key: str) -> list[Any] | None:
        found = [entry[key] for entry in entries if entry.get(key) is not None]
        return found if found and len(found) == len(entries) else None

    boxes = [entry["bbox"] for entry in entries]
    return _Listed(boxes, "xywh", of_all("label"), of_all("segmentation"))


def _as_list(value: Any, what: str, path: Path) -> list[Any]:
    if not isinstance(value, list):
        raise DataError(f"{path}: {what} must be a list, got {type(value).__name__}")
    return value


def _checked(box: Box, form: BoxFormat, size: tuple[int, int], what: str) -> Box:
    """Return a box as corners, if it has an area and is within the picture."""
    box_xyxy = xyxy_from_xywh(box) if form == "xywh" else box
    left, top, right, bottom = box_xyxy
    height, width = size
    other = "xyxy" if form == "xywh" else "xywh"
    hint = f"numbers are read as {form}; if they are {other}, say --box-format {other}"
    shown = [round(number, 2) for number in box]
    if right <= left or bottom <= top:
        raise DataError(f"{what} {shown} has no area; {hint}")
    if min(left, top) < -_SLACK or right > width + _SLACK or bottom > height + _SLACK:
        raise DataError(f"{what} {shown} reaches beyond the picture of {width}x{height}; {hint}")
    if max(box) <= 1.0 and min(size) > 1:
        raise DataError(f"{what} {shown} is within one pixel; boxes are pixels, not shares")
    return box_xyxy
