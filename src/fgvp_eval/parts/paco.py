"""Reader of PACO-LVIS v1: objects and their parts, kept in one list of annotations."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgvp_eval.data_files import file_sha256, read_box, read_integer, read_json, require
from fgvp_eval.data_sources import annotation_source, images_source
from fgvp_eval.errors import DataError
from fgvp_eval.parts.masks import has_area, merge_annotations
from fgvp_eval.parts.names import part_text
from fgvp_eval.parts.records import Part, PartCounts, PartedObject, PartsDataset, PartsImage
from fgvp_eval.records import Annotation
from fgvp_eval.splits import Split

PUBLISHED = {
    "paco_val": PartCounts(2410, 10794, 20945),
    "paco_test": PartCounts(9443, 45861, 86041),
}
LEAST_AREA = 32**2  # objects below it are left out: COCO's bound of a small object
# A folder and a file; nothing else is joined to the data root.
_IMAGE_NAME = re.compile(r"\w+/\w[\w.-]*")
_KEYS = ("images", "annotations", "categories")


@dataclass(frozen=True)
class PacoFile:
    """A PACO annotation file, its records checked for the fields that are read here.

    Attributes:
        path: The file.
        images: Image records by id, ``file_name`` relative to ``images`` under the data root.
        objects: Object annotations by id.
        parts_of: Part annotations by the id of their object.
        part_names: ``OBJECT:PART`` by category id.
    """

    path: Path
    images: dict[int, dict[str, Any]]
    objects: dict[int, dict[str, Any]]
    parts_of: dict[int, list[dict[str, Any]]]
    part_names: dict[int, str]

    @property
    def counts(self) -> PartCounts:
        """Size of the file."""
        parts = sum(len(parts) for parts in self.parts_of.values())
        return PartCounts(len(self.images), len(self.objects), parts)

    @property
    def image_names(self) -> tuple[str, ...]:
        """The image files, relative to the data root."""
        return tuple(f"images/{image['file_name']}" for image in self.images.values())


def paco_path(root: Path, split: Split) -> Path:
    """Return the annotation file of a split."""
    return root / split.dataset / f"paco_lvis_v1_{split.subset}.json"


def read_paco_file(root: Path, split: Split) -> PacoFile:
    """Read the annotation file of a split.

    Raises:
        DataError: The file is missing or broken, or a record lacks a field.
    """
    path = paco_path(root, split)
    source = annotation_source(split.dataset)
    if not path.is_file():
        raise DataError(
            f"split {split.name}: {path.name} is missing, expected at {path}; source: {source}"
        )
    content = read_json(path, source)
    require(content, _KEYS, "the file", path)
    for key in _KEYS:
        if not isinstance(content[key], list):
            raise DataError(f"{path}: {key!r} must be a list")
    part_names: dict[int, str] = {}
    for index, category in enumerate(content["categories"]):
        require(category, ("id", "name"), f"category {index}", path)
        # Objects and parts share the list; "supercategory" tells them apart in one version only.
        if ":" in category["name"]:
            part_names[category["id"]] = category["name"]
    objects: dict[int, dict[str, Any]] = {}
    parts_of: dict[int, list[dict[str, Any]]] = defaultdict(list)
    fields = ("id", "image_id", "category_id", "obj_ann_id", "bbox")
    for index, record in enumerate(content["annotations"]):
        require(record, fields, f"annotation {index}", path)
        if record["category_id"] in part_names:
            parts_of[record["obj_ann_id"]].append(record)
        else:
            objects[record["id"]] = record
    return PacoFile(path, _images(content["images"], path), objects, dict(parts_of), part_names)


def _images(records: list[Any], path: Path) -> dict[int, dict[str, Any]]:
    images: dict[int, dict[str, Any]] = {}
    for index, record in enumerate(records):
        require(record, ("id", "file_name", "height", "width"), f"image {index}", path)
        if not _IMAGE_NAME.fullmatch(str(record["file_name"])):
            raise DataError(
                f"{path}: file_name of image {index} must be FOLDER/FILE, got "
                f"{record['file_name']!r:.80}"
            )
        images[record["id"]] = record
    return images


def read_paco(root: Path, split: Split, limit: int | None = None) -> PartsDataset:
    """Read the objects of a split that part detection is evaluated on.

    Those are the objects of at least ``LEAST_AREA`` pixels with at least one part that has a mask.
    What is left out is counted by reason. An image that is not on disk is no reason: which images
    are there must not decide what the others are called.

    Args:
        root: The data root, holding ``DATASET/paco_lvis_v1_SUBSET.json`` and ``images``.
        split: Which split.
        limit: Keep only the first objects that have so many parts together.

    Raises:
        DataError: The annotation file is missing or broken, or no image is there.
    """
    file = read_paco_file(root, split)
    left_out: Counter[str] = Counter()
    left_out["parts without an object"] = sum(
        len(parts) for object_id, parts in file.parts_of.items() if object_id not in file.objects
    )
    if file.images and not any((root / name).is_file() for name in file.image_names):
        first = root / file.image_names[0]
        raise DataError(
            f"split {split.name}: none of {len(file.images)} images is there, the first expected "
            f"at {first}; source: {images_source(split.dataset)}"
        )
    objects_of: dict[int, list[PartedObject]] = defaultdict(list)
    wanted = limit
    for object_id, record in file.objects.items():
        if wanted is not None and wanted <= 0:
            break
        read = _read_object(object_id, record, file, left_out)
        if read is not None:
            objects_of[record["image_id"]].append(read)
            wanted = None if wanted is None else wanted - len(read.parts)
    images = tuple(
        PartsImage(
            image_id=image_id,
            path=root / name,
            name=name,
            size=(int(file.images[image_id]["height"]), int(file.images[image_id]["width"])),
            objects=tuple(objects_of[image_id]),
        )
        for image_id, name in zip(file.images, file.image_names, strict=True)
        if image_id in objects_of
    )
    return PartsDataset(
        split=split,
        root=root,
        images=images,
        counts=file.counts,
        published=PUBLISHED.get(split.name),
        phrases=tuple(sorted({_text(name, file.path) for name in file.part_names.values()})),
        left_out={reason: count for reason, count in left_out.items() if count},
        files_sha256={file.path.relative_to(root).as_posix(): file_sha256(file.path)},
    )


def _read_object(
    object_id: int,
    record: dict[str, Any],
    file: PacoFile,
    left_out: Counter[str],
) -> PartedObject | None:
    """Return an object, or None if it is left out; counts what is left out."""
    path, what = file.path, f"annotation {object_id}"
    parts = file.parts_of.get(object_id, [])
    if not parts:
        left_out["objects without parts"] += 1
        return None
    image = file.images.get(record["image_id"])
    if image is None:
        raise DataError(f"{path} has no image {record['image_id']}, which {what} is on")
    box_xywh = read_box(record["bbox"], f"bbox of {what}", path)
    area = record.get("area")
    pixels = box_xywh[2] * box_xywh[3] if area is None else float(area)
    if pixels < LEAST_AREA or box_xywh[2] <= 0 or box_xywh[3] <= 0:
        left_out[f"objects below {LEAST_AREA} pixels"] += 1
        return None
    size = (int(image["height"]), int(image["width"]))
    if not has_area(Annotation(object_id, box_xywh, record.get("segmentation")), size):
        left_out["objects without a mask"] += 1
        return None
    by_name: dict[str, list[Annotation]] = defaultdict(list)
    for part in parts:
        part_id = read_integer(part["id"], f"id of a part of {what}", path)
        part_box_xywh = read_box(part["bbox"], f"bbox of annotation {part_id}", path)
        annotation = Annotation(part_id, part_box_xywh, part.get("segmentation"))
        if part_box_xywh[2] > 0 and part_box_xywh[3] > 0 and has_area(annotation, size):
            by_name[_text(file.part_names[part["category_id"]], path)].append(annotation)
        else:
            left_out["parts without a mask"] += 1
    if not by_name:
        left_out["objects whose parts have no mask"] += 1
        return None
    return PartedObject(
        object_id,
        box_xywh,
        tuple(Part(text, merge_annotations(same, size)) for text, same in by_name.items()),
    )


def _text(category: str, path: Path) -> str:
    try:
        return part_text(category)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None
