"""Reader of PACO-LVIS v1: objects and their parts, kept in one list of annotations."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from fgvp_eval.data.data_files import file_sha256, read_json
from fgvp_eval.data.data_sources import annotation_source, images_source
from fgvp_eval.data.file_values import FileValue
from fgvp_eval.data.part_masks import has_area, merge_annotations
from fgvp_eval.data.part_names import part_text
from fgvp_eval.data.parts_records import Part, PartCounts, PartedObject, PartsDataset, PartsImage
from fgvp_eval.data.records import Annotation
from fgvp_eval.errors import DataError
from fgvp_eval.options.splits import Split

PUBLISHED = {
    "paco_val": PartCounts(2410, 10794, 20945),
    "paco_test": PartCounts(9443, 45861, 86041),
}
LEAST_AREA = 32**2  # objects below it are left out: COCO's bound of a small object
# A folder and a file; nothing else is joined to the data root.
_IMAGE_NAME = re.compile(r"\w+/\w[\w.-]*")
_LONGEST_NAME = 255  # bytes that a file system gives to the name of a folder or file


@dataclass(frozen=True)
class PacoImage:
    """An image of a PACO file: its file relative to the data root, its height and width."""

    name: str
    size: tuple[int, int]


@dataclass(frozen=True)
class PacoAnnotation:
    """An annotation of a PACO file, of an object or a part; ``record`` holds all of it."""

    ann_id: int
    image_id: int
    category_id: int
    object_id: int
    record: FileValue

    def read(self) -> Annotation:
        """Return the annotation with its box, whose width and height may be zero."""
        segmentation = self.record.value.get("segmentation")
        return Annotation(self.ann_id, self.record.field("bbox").box(), segmentation)


@dataclass(frozen=True)
class PacoFile:
    """A PACO annotation file, its records checked for the fields that are read here.

    Attributes:
        path: The file.
        images: Images by id.
        objects: Annotations of objects by id.
        parts_of: Annotations of parts by the id of their object.
        part_names: ``OBJECT:PART`` by category id.
    """

    path: Path
    images: dict[int, PacoImage]
    objects: dict[int, PacoAnnotation]
    parts_of: dict[int, list[PacoAnnotation]]
    part_names: dict[int, str]

    @property
    def counts(self) -> PartCounts:
        """Size of the file."""
        parts = sum(len(parts) for parts in self.parts_of.values())
        return PartCounts(len(self.images), len(self.objects), parts)

    @property
    def image_names(self) -> tuple[str, ...]:
        """The image files, relative to the data root."""
        return tuple(image.name for image in self.images.values())


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
    content = FileValue(path, "the file", read_json(path, source))
    part_names: dict[int, str] = {}
    for category in content.field("categories").each("category"):
        category_id, name = category.field("id").integer(), category.field("name").text()
        # Objects and parts share the list; "supercategory" tells them apart in one version only.
        if ":" in name:
            part_names[category_id] = name
    objects: dict[int, PacoAnnotation] = {}
    parts_of: dict[int, list[PacoAnnotation]] = defaultdict(list)
    for record in content.field("annotations").each("annotation"):
        annotation = _annotation(record)
        if annotation.category_id in part_names:
            parts_of[annotation.object_id].append(annotation)
        else:
            objects[annotation.ann_id] = annotation
    images = {
        image.field("id").integer(): PacoImage(_image_name(image), image.size())
        for image in content.field("images").each("image")
    }
    return PacoFile(path, images, objects, dict(parts_of), part_names)


def _annotation(record: FileValue) -> PacoAnnotation:
    ann_id = record.field("id").integer()
    record.field("bbox")
    return PacoAnnotation(
        ann_id,
        record.field("image_id").integer(),
        record.field("category_id").integer(),
        record.field("obj_ann_id").integer(),
        record.named(f"annotation {ann_id}"),
    )


def _image_name(image: FileValue) -> str:
    """Return an image's file relative to the data root."""
    file_name = image.field("file_name")
    name = file_name.text()
    lengths = [len(part.encode()) for part in name.split("/")]
    if not _IMAGE_NAME.fullmatch(name) or max(lengths) > _LONGEST_NAME:
        raise file_name.wrong(f"FOLDER/FILE of at most {_LONGEST_NAME} bytes each")
    return f"images/{name}"


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
    for annotation in file.objects.values():
        if wanted is not None and wanted <= 0:
            break
        read = _read_object(annotation, file, left_out)
        if read is not None:
            objects_of[annotation.image_id].append(read)
            wanted = None if wanted is None else wanted - len(read.parts)
    images = tuple(
        PartsImage(
            image_id=image_id,
            path=root / image.name,
            name=image.name,
            size=image.size,
            objects=tuple(objects_of[image_id]),
        )
        for image_id, image in file.images.items()
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
    thing: PacoAnnotation, file: PacoFile, left_out: Counter[str]
) -> PartedObject | None:
    """Return an object, or None if it is left out; counts what is left out."""
    parts = file.parts_of.get(thing.ann_id, [])
    if not parts:
        left_out["objects without parts"] += 1
        return None
    image = file.images.get(thing.image_id)
    if image is None:
        raise DataError(
            f"{file.path} has no image {thing.image_id}, which annotation {thing.ann_id} is on"
        )
    annotation = thing.read()
    width, height = annotation.box_xywh[2:]
    area = thing.record.optional("area")
    pixels = width * height if area is None else area.number()
    if pixels < LEAST_AREA or width <= 0 or height <= 0:
        left_out[f"objects below {LEAST_AREA} pixels"] += 1
        return None
    try:
        is_drawn = has_area(annotation, image.size)
    except DataError as error:
        raise DataError(f"{file.path}: {error}") from None
    if not is_drawn:
        left_out["objects without a mask"] += 1
        return None
    by_name: dict[str, list[Annotation]] = defaultdict(list)
    for part in parts:
        of_part = part.read()
        if min(of_part.box_xywh[2:]) > 0 and _may_be_drawn(of_part, image.size):
            by_name[_text(file.part_names[part.category_id], file.path)].append(of_part)
        else:
            left_out["parts without a mask"] += 1
    if not by_name:
        left_out["objects whose parts have no mask"] += 1
        return None
    return PartedObject(
        thing.ann_id,
        annotation.box_xywh,
        tuple(Part(text, merge_annotations(same, image.size)) for text, same in by_name.items()),
    )


def _may_be_drawn(annotation: Annotation, size: tuple[int, int]) -> bool:
    try:
        return has_area(annotation, size)
    except DataError:  # drawing it will say so, and name the parts that it leaves unscored
        return True


def _text(category: str, path: Path) -> str:
    try:
        return part_text(category)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None
