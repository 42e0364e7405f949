"""Candidate boxes of one picture from a file, as detectors, COCO and SAM write them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fgvp_eval.data.boxes import xyxy_from_xywh
from fgvp_eval.data.data_files import read_json
from fgvp_eval.data.file_values import FileValue
from fgvp_eval.data.records import Box
from fgvp_eval.errors import DataError

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

    boxes: list[FileValue]
    form: BoxFormat
    labels: list[FileValue] | None = None
    segmentations: tuple[Any, ...] | None = None


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
    content = FileValue(path, "the file", read_json(path, _SOURCE))
    listed = _listed(content, image_id)
    form = box_format or listed.form
    if not listed.boxes:
        raise DataError(f"{path}: holds no box of this picture")
    boxes_xyxy = tuple(
        _checked(box.named(f"box {index}"), form, size) for index, box in enumerate(listed.boxes)
    )
    labels = None if listed.labels is None else tuple(label.name() for label in listed.labels)
    if labels is not None and len(labels) != len(boxes_xyxy):
        raise DataError(f"{path}: has {len(labels)} labels for {len(boxes_xyxy)} boxes")
    return GivenBoxes(boxes_xyxy, form, labels, listed.segmentations)


def _listed(content: FileValue, image_id: int | None) -> _Listed:
    if isinstance(content.value, dict):
        return _from_dict(content, image_id)
    if not isinstance(content.value, list):
        raise content.wrong("a list or a dict")
    if content.value and all(isinstance(entry, dict) for entry in content.value):
        return _from_entries(content, image_id)
    return _Listed(list(content.each("box")), "xyxy")


def _from_dict(content: FileValue, image_id: int | None) -> _Listed:
    keys: dict[str, Any] = content.value
    if "annotations" in keys:
        return _from_entries(content.field("annotations"), image_id)
    forms: dict[str, BoxFormat] = {"boxes": "xyxy", "boxes_xyxy": "xyxy", "boxes_xywh": "xywh"}
    present = [key for key in forms if key in keys]
    if len(present) == 1:
        boxes, labels = content.field(present[0]), content.optional("labels")
        return _Listed(
            list(boxes.each("box")),
            forms[present[0]],
            None if labels is None else list(labels.each("label")),
        )
    if present or not all(key.isdecimal() for key in keys):
        raise DataError(
            f"{content.path}: a dict must have one of 'boxes', 'boxes_xyxy', 'boxes_xywh', "
            f"'annotations', or image ids as keys; got {', '.join(keys)[:80]}"
        )
    if image_id is None:
        raise DataError(f"{content.path}: holds boxes of {len(keys)} pictures; give --image-id")
    if str(image_id) not in keys:
        return _Listed([], "xywh")
    return _Listed(list(content.field(str(image_id)).each("box")), "xywh")


def _from_entries(content: FileValue, image_id: int | None) -> _Listed:
    """Read entries of COCO results or annotations, or of SAM's generator."""
    entries = list(content.each("entry"))
    ids = [entry.optional("image_id") for entry in entries]
    names = [None if of_image is None else of_image.name() for of_image in ids]
    if image_id is not None:
        entries = [
            entry for entry, name in zip(entries, names, strict=True) if name == str(image_id)
        ]
    elif len(set(names)) > 1:
        raise DataError(
            f"{content.path}: holds boxes of {len(set(names))} pictures; give --image-id"
        )

    def of_all(key: str) -> list[FileValue] | None:
        present = [field for field in (entry.optional(key) for entry in entries) if field]
        return present if present and len(present) == len(entries) else None

    masks = of_all("segmentation")
    return _Listed(
        [entry.field("bbox") for entry in entries],
        "xywh",
        of_all("label"),
        None if masks is None else tuple(mask.value for mask in masks),
    )


def _checked(value: FileValue, form: BoxFormat, size: tuple[int, int]) -> Box:
    """Return a box as corners, if it has an area and is within the picture."""
    box, what = value.box(), f"{value.path}: {value.what}"
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
