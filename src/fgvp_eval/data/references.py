"""The sentences of a split, from records of referred objects in the form of the ``refer`` tool."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from fgvp_eval.data.data_sources import annotation_source
from fgvp_eval.data.file_values import FileValue
from fgvp_eval.data.records import Sample
from fgvp_eval.data.safe_pickle import load_plain_pickle
from fgvp_eval.errors import DataError
from fgvp_eval.options.splits import Counts, Split


@dataclass(frozen=True)
class References:
    """What is said about the images of a split.

    Attributes:
        path: The file it was read from.
        samples_of: The sentences of each image, images in the order in which they are first named.
        gold_of: The annotations of each image that some sentence refers to.
        counts: Size of the split.
    """

    path: Path
    samples_of: dict[int, list[Sample]]
    gold_of: dict[int, set[int]]
    counts: Counts


def references_path(root: Path, split: Split) -> Path:
    """Return the file of pickled references of a split."""
    return root / split.dataset / f"refs({split.split_by}).p"


def read_references(root: Path, split: Split) -> References:
    """Read the pickled references of a split.

    Raises:
        DataError: The file is missing, broken or holds code, a record lacks a field, or there is
            none of this split.
    """
    path = references_path(root, split)
    records = load_plain_pickle(path, annotation_source(split.dataset))
    return parse_references(FileValue(path, "the file", records), split)


def parse_references(records: FileValue, split: Split) -> References:
    """Return the sentences of those ``records`` that belong to ``split``.

    Args:
        records: A list of dicts with ``ref_id``, ``ann_id``, ``image_id``, ``split``,
            ``sentences``.
        split: Which split.

    Raises:
        DataError: A record lacks a field or holds nonsense, or none is of this split.
    """
    refs: list[FileValue] = []
    others: set[str] = set()
    for ref in records.each("ref"):
        ref = ref.named(f"ref {ref.field('ref_id').name()}")
        subset = ref.field("split").text()
        # Equality, not a test of the last letter: "test" must not catch testA and testB.
        if subset == split.subset:
            refs.append(ref)
        else:
            others.add(subset)
    if not refs:
        present = ", ".join(sorted(others)[:10]) or "none"
        raise DataError(
            f"{records.path} has no reference of split {split.subset!r}; it has: {present:.200}"
        )
    samples_of, gold_of = _samples(refs, split)
    counts = Counts(len(refs), len(samples_of), sum(map(len, samples_of.values())))
    return References(records.path, samples_of, gold_of, counts)


def _samples(
    refs: list[FileValue], split: Split
) -> tuple[dict[int, list[Sample]], dict[int, set[int]]]:
    """Return each image's sentences, in order, and each image's referred annotations."""
    samples_of: dict[int, list[Sample]] = defaultdict(list)
    gold_of: dict[int, set[int]] = defaultdict(set)
    for ref in refs:
        image_id = ref.field("image_id").integer()
        gold = _gold_ids(ref.field("ann_id"))
        sentences = list(ref.field("sentences").each("sentence", ref.what))
        if not gold or not sentences:
            raise DataError(f"{ref.path}: {ref.what} has no {'sentence' if gold else 'ann_id'}")
        gold_of[image_id].update(gold)
        for index, sentence in enumerate(sentences):
            sent_id = sentence.optional("sent_id")
            name = f"n{index}" if sent_id is None else sent_id.name()
            samples_of[image_id].append(
                Sample(
                    sample_id=f"{split.name}:{ref.field('ref_id').name()}:{name}",
                    text=sentence.field("raw").text().lower(),
                    gold_ann_ids=gold,
                )
            )
    return dict(samples_of), dict(gold_of)


def _gold_ids(ann_id: FileValue) -> tuple[int, ...]:
    """Return the annotations that a reference names, one or a list."""
    if isinstance(ann_id.value, (list, tuple)):
        return tuple(one.named(ann_id.what).integer() for one in ann_id.each("ann_id"))
    return (ann_id.integer(),)
