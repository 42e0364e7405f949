"""Reader of RefCOCO, RefCOCO+, RefCOCOg and the demo: pickled references and ``instances.json``."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fgvp_eval.data_files import file_sha256, read_box, read_json, require
from fgvp_eval.data_sources import annotation_source, images_source
from fgvp_eval.errors import DataError
from fgvp_eval.records import Annotation, Dataset, ImageRecord, Sample
from fgvp_eval.safe_pickle import load_plain_pickle
from fgvp_eval.splits import Counts, Split

_LOG = logging.getLogger(__name__)

# The references' own file names carry a suffix that is on no disk, so files go by image id. All
# images are in train2014, and again under shorter names in train2017.
_IMAGE_NAMES = (
    "images/train2014/COCO_train2014_{:012d}.jpg",
    "images/train2014/COCO_train2014_{:012d}.png",
    "images/train2017/{:012d}.jpg",
    "images/train2017/{:012d}.png",
)


def read_refcoco(root: Path, split: Split, limit: int | None = None) -> Dataset:
    """Read one split in the layout of the ``refer`` tool.

    Args:
        root: The data root, holding ``DATASET/refs(AUTHOR).p``, ``DATASET/instances.json`` and
            ``images/train2014``.
        split: Which split.
        limit: Keep only the first so many sentences.

    Returns:
        The split; its ``counts`` are those before the limit.

    Raises:
        DataError: A file is missing or broken, a record lacks a field, a referred annotation is
            not there or has an empty box, or an image file is missing.
    """
    source = annotation_source(split.dataset)
    refs_path = root / split.dataset / f"refs({split.split_by}).p"
    instances_path = root / split.dataset / "instances.json"
    for path in (refs_path, instances_path):
        if not path.is_file():
            raise DataError(
                f"split {split.name}: {path.name} is missing, expected at {path}; source: {source}"
            )
    refs = _wanted_refs(load_plain_pickle(refs_path, source), split, refs_path)
    samples_of, gold_of = _samples(refs, split, refs_path)
    counts = Counts(len(refs), len(samples_of), sum(map(len, samples_of.values())))
    samples_of = _first(samples_of, limit)
    instances = read_json(instances_path, source)
    require(instances, ("images", "annotations"), "the file", instances_path)
    for key in ("images", "annotations"):
        if not isinstance(instances[key], list):
            raise DataError(f"{instances_path}: {key!r} must be a list")
    sizes = _image_sizes(instances["images"], instances_path)
    gold_ids = {ann_id for image_id in samples_of for ann_id in gold_of[image_id]}
    annotations_of = _annotations(
        instances["annotations"], samples_of.keys(), gold_ids, instances_path
    )
    _check_gold(samples_of, annotations_of, refs_path, instances_path)
    names = _find_images(root, samples_of, split)
    images = tuple(
        ImageRecord(
            image_id=image_id,
            path=root / names[image_id],
            name=names[image_id],
            size=sizes.get(image_id),
            annotations=tuple(annotations_of[image_id]),
            samples=tuple(samples),
        )
        for image_id, samples in samples_of.items()
    )
    hashes = {
        path.relative_to(root).as_posix(): file_sha256(path) for path in (refs_path, instances_path)
    }
    return Dataset(split, root, images, counts, hashes)


def _wanted_refs(refs: Any, split: Split, path: Path) -> list[dict[str, Any]]:
    if not isinstance(refs, (list, tuple)):
        raise DataError(f"{path} must hold a list of references, got {type(refs).__name__}")
    for index, ref in enumerate(refs):
        require(ref, ("ref_id", "ann_id", "image_id", "split", "sentences"), f"ref {index}", path)
    # Equality, not a test of the last letter: "test" must not catch testA and testB.
    wanted = [ref for ref in refs if ref["split"] == split.subset]
    if not wanted:
        present = ", ".join(sorted({str(ref["split"]) for ref in refs})) or "none"
        raise DataError(f"{path} has no reference of split {split.subset!r}; it has: {present}")
    return wanted


def _samples(
    refs: list[dict[str, Any]], split: Split, path: Path
) -> tuple[dict[int, list[Sample]], dict[int, set[int]]]:
    """Return each image's sentences, in order, and each image's referred annotations."""
    samples_of: dict[int, list[Sample]] = defaultdict(list)
    gold_of: dict[int, set[int]] = defaultdict(set)
    for ref in refs:
        what = f"ref {ref['ref_id']}"
        image_id = _integer(ref["image_id"], f"image_id of {what}", path)
        given = ref["ann_id"] if isinstance(ref["ann_id"], (list, tuple)) else [ref["ann_id"]]
        gold = tuple(_integer(ann_id, f"ann_id of {what}", path) for ann_id in given)
        if not gold or not ref["sentences"]:
            raise DataError(f"{path}: {what} has no {'sentence' if gold else 'ann_id'}")
        gold_of[image_id].update(gold)
        for index, sentence in enumerate(ref["sentences"]):
            require(sentence, ("raw",), f"sentence {index} of {what}", path)
            sent_id = sentence.get("sent_id", f"n{index}")
            samples_of[image_id].append(
                Sample(
                    sample_id=f"{split.name}:{ref['ref_id']}:{sent_id}",
                    text=str(sentence["raw"]).lower(),
                    gold_ann_ids=gold,
                )
            )
    return dict(samples_of), dict(gold_of)


def _first(samples_of: dict[int, list[Sample]], limit: int | None) -> dict[int, list[Sample]]:
    """Keep the first ``limit`` sentences, going through the images in order."""
    if limit is None:
        return samples_of
    kept: dict[int, list[Sample]] = {}
    for image_id, samples in samples_of.items():
        if limit <= 0:
            break
        kept[image_id] = samples[:limit]
        limit -= len(kept[image_id])
    return kept


def _integer(value: Any, what: str, path: Path) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise DataError(f"{path}: {what} must be an integer, got {value!r:.80}") from None


def _image_sizes(images: Any, path: Path) -> dict[int, tuple[int, int]]:
    sizes: dict[int, tuple[int, int]] = {}
    for index, image in enumerate(images):
        require(image, ("id",), f"image {index}", path)
        if image.get("height") and image.get("width"):
            sizes[int(image["id"])] = (int(image["height"]), int(image["width"]))
    return sizes


def _annotations(
    records: Any, image_ids: Iterable[int], gold_ids: set[int], path: Path
) -> dict[int, list[Annotation]]:
    """Return the annotations of the images; those with an empty box serve nobody and are left."""
    of_image: dict[int, list[Annotation]] = {image_id: [] for image_id in image_ids}
    empty = 0
    for index, record in enumerate(records):
        require(record, ("id", "image_id", "bbox"), f"annotation {index}", path)
        image_id = _integer(record["image_id"], f"image_id of annotation {index}", path)
        if image_id not in of_image:
            continue
        ann_id = _integer(record["id"], f"id of annotation {index}", path)
        box_xywh = read_box(record["bbox"], f"bbox of annotation {ann_id}", path)
        if box_xywh[2] > 0 and box_xywh[3] > 0:
            segmentation = record.get("segmentation")
            of_image[image_id].append(Annotation(ann_id, box_xywh, segmentation))
        elif ann_id in gold_ids:
            raise DataError(
                f"{path}: annotation {ann_id}, which a sentence refers to, has an empty box "
                f"(xywh {record['bbox']})"
            )
        else:
            empty += 1
    if empty:
        _LOG.warning("%s: %d annotations with an empty box are no candidates", path, empty)
    return of_image


def _check_gold(
    samples_of: dict[int, list[Sample]],
    annotations_of: dict[int, list[Annotation]],
    refs_path: Path,
    instances_path: Path,
) -> None:
    for image_id, samples in samples_of.items():
        present = {annotation.ann_id for annotation in annotations_of[image_id]}
        for sample in samples:
            for ann_id in sample.gold_ann_ids:
                if ann_id not in present:
                    raise DataError(
                        f"{instances_path} has no annotation {ann_id} on image {image_id}, which "
                        f"{sample.sample_id} of {refs_path.name} refers to"
                    )


def _find_images(root: Path, image_ids: Iterable[int], split: Split) -> dict[int, str]:
    """Return each image's file, relative to the root; all missing ones are told at once."""
    found: dict[int, str] = {}
    missing: list[int] = []
    for image_id in image_ids:
        names = (pattern.format(image_id) for pattern in _IMAGE_NAMES)
        name = next((name for name in names if (root / name).is_file()), None)
        if name is None:
            missing.append(image_id)
        else:
            found[image_id] = name
    if missing:
        expected = root / _IMAGE_NAMES[0].format(missing[0])
        raise DataError(
            f"split {split.name}: {len(missing)} of {len(missing) + len(found)} images are "
            f"missing, the first expected at {expected}; source: "
            f"{images_source(split.dataset)}"
        )
    return found
