"""Reader of RefCOCO, RefCOCO+, RefCOCOg and the demo: sentences and their images' objects."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from fgvp_eval.data.data_files import file_sha256, read_json
from fgvp_eval.data.data_sources import annotation_source, images_source
from fgvp_eval.data.file_values import FileValue
from fgvp_eval.data.image_files import find_images, image_name
from fgvp_eval.data.reclip_references import read_reclip, reclip_path
from fgvp_eval.data.records import Annotation, Dataset, ImageRecord, Sample
from fgvp_eval.data.references import References, read_references, references_path
from fgvp_eval.errors import DataError
from fgvp_eval.options.splits import Split

_LOG = logging.getLogger(__name__)


def read_refcoco(root: Path, split: Split, limit: int | None = None) -> Dataset:
    """Read one split in the layout of the ``refer`` tool, or, where that is absent, of ReCLIP.

    Args:
        root: The data root, holding ``DATASET/refs(AUTHOR).p`` and ``DATASET/instances.json``, or
            neither of them and ``reclip_data/DATASET_SUBSET.jsonl``; and ``images/train2014``.
        split: Which split.
        limit: Keep only the first so many sentences.

    Returns:
        The split; its ``counts`` are those before the limit.

    Raises:
        DataError: A file is missing or broken, a record lacks a field, a referred annotation is
            not there or has an empty box, or an image file is missing.
    """
    references, instances, files = _read_files(root, split)
    samples_of = _first(references.samples_of, limit)
    objects_path = files[-1]
    sizes = _image_sizes(instances.field("images"))
    gold_ids = {ann_id for image_id in samples_of for ann_id in references.gold_of[image_id]}
    annotations_of = _annotations(instances.field("annotations"), samples_of.keys(), gold_ids)
    _check_gold(samples_of, annotations_of, references.path, objects_path)
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
    hashes = {path.relative_to(root).as_posix(): file_sha256(path) for path in files}
    captions = tuple(
        sample.text for samples in references.samples_of.values() for sample in samples
    )
    return Dataset(split, root, images, references.counts, hashes, captions)


def _read_files(root: Path, split: Split) -> tuple[References, FileValue, tuple[Path, ...]]:
    """Return the sentences, the objects, and the files that they are from, the objects' last."""
    refs_path = references_path(root, split)
    instances_path = root / split.dataset / "instances.json"
    present = [path.is_file() for path in (refs_path, instances_path)]
    alternative = reclip_path(root, split)
    if not any(present) and alternative.is_file():
        _LOG.info("%s: no refs and instances; reading %s instead", split.name, alternative)
        references, instances = read_reclip(root, split)
        return references, FileValue(alternative, "the file", instances), (alternative,)
    source = annotation_source(split.dataset)
    if not all(present):
        path = (refs_path, instances_path)[present.index(False)]
        raise DataError(
            f"split {split.name}: {path.name} is missing, expected at {path}; source: {source}"
        )
    references = read_references(root, split)
    content = FileValue(instances_path, "the file", read_json(instances_path, source))
    return references, content, (refs_path, instances_path)


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


def _image_sizes(images: FileValue) -> dict[int, tuple[int, int]]:
    """Return the height and width of the images that have both."""
    sizes: dict[int, tuple[int, int]] = {}
    for image in images.each("image"):
        image_id = image.field("id").integer()
        if image.optional("height") and image.optional("width"):
            sizes[image_id] = image.named(f"image {image_id}").size()
    return sizes


def _annotations(
    records: FileValue, image_ids: Iterable[int], gold_ids: set[int]
) -> dict[int, list[Annotation]]:
    """Return the annotations of the images; those with an empty box serve nobody and are left."""
    of_image: dict[int, list[Annotation]] = {image_id: [] for image_id in image_ids}
    empty = 0
    for record in records.each("annotation"):
        image_id, ann_id = record.field("image_id").integer(), record.field("id").integer()
        if image_id not in of_image:
            continue
        record = record.named(f"annotation {ann_id}")
        box_xywh = record.field("bbox").box()
        if box_xywh[2] > 0 and box_xywh[3] > 0:
            segmentation = record.value.get("segmentation")
            of_image[image_id].append(Annotation(ann_id, box_xywh, segmentation))
        elif ann_id in gold_ids:
            raise DataError(
                f"{records.path}: annotation {ann_id}, which a sentence refers to, has an empty "
                f"box (xywh {list(box_xywh)})"
            )
        else:
            empty += 1
    if empty:
        _LOG.warning("%s: %d annotations with an empty box are no candidates", records.path, empty)
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
    found, missing = find_images(root, image_ids)
    if missing:
        raise DataError(
            f"split {split.name}: {len(missing)} of {len(missing) + len(found)} images are "
            f"missing, the first expected at {root / image_name(missing[0])}; source: "
            f"{images_source(split.dataset)}"
        )
    return found
