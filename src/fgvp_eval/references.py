"""The sentences of a split, from records of referred objects in the form of the ``refer`` tool."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgvp_eval.data_files import read_integer, require
from fgvp_eval.data_sources import annotation_source
from fgvp_eval.errors import DataError
from fgvp_eval.records import Sample
from fgvp_eval.safe_pickle import load_plain_pickle
from fgvp_eval.splits import Counts, Split


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
    return parse_references(records, split, path)


def parse_references(records: Any, split: Split, path: Path) -> References:
    """Return the sentences of those ``records`` that belong to ``split``.

    Args:
        records: A list of dicts with ``ref_id``, ``ann_id``, ``image_id``, ``split``,
            ``sentences``.
        split: Which split.
        path: The file they are from, for messages.

    Raises:
        DataError: A record lacks a field or holds nonsense, or none is of this split.
    """
    if not isinstance(records, (list, tuple)):
        raise DataError(f"{path} must hold a list of references, got {type(records).__name__}")
    for index, ref in enumerate(records):
        require(ref, ("ref_id", "ann_id", "image_id", "split", "sentences"), f"ref {index}", path)
    # Equality, not a test of the last letter: "test" must not catch testA and testB.
    refs = [ref for ref in records if ref["split"] == split.subset]
    if not refs:
        present = ", ".join(sorted({str(ref["split"]) for ref in records})) or "none"
        raise DataError(f"{path} has no reference of split {split.subset!r}; it has: {present}")
    samples_of, gold_of = _samples(refs, split, path)
    counts = Counts(len(refs), len(samples_of), sum(map(len, samples_of.values())))
    return References(path, samples_of, gold_of, counts)


def _samples(
    refs: list[dict[str, Any]], split: Split, path: Path
) -> tuple[dict[int, list[Sample]], dict[int, set[int]]]:
    """Return each image's sentences, in order, and each image's referred annotations."""
    samples_of: dict[int, list[Sample]] = defaultdict(list)
    gold_of: dict[int, set[int]] = defaultdict(set)
    for ref in refs:
        what = f"ref {ref['ref_id']}"
        image_id = read_integer(ref["image_id"], f"image_id of {what}", path)
        given = ref["ann_id"] if isinstance(ref["ann_id"], (list, tuple)) else [ref["ann_id"]]
        gold = tuple(read_integer(ann_id, f"ann_id of {what}", path) for ann_id in given)
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
