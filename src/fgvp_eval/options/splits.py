"""Names of splits: what exists, what a collection stands for, and how large each should be."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from fgvp_eval.errors import UsageError


@dataclass(frozen=True)
class Counts:
    """Size of a split: referred objects, images and sentences."""

    refs: int
    images: int
    sentences: int


@dataclass(frozen=True)
class Split:
    """One split of one dataset.

    Attributes:
        name: What the user types, ``refcoco+_testA``.
        dataset: Name of the dataset and of its folder under the data root.
        subset: Value of ``split`` in the references, or the last word of PACO's file.
        split_by: Author of the partition, in the name of the references file; empty for parts.
        published: Counts of the published split; None where there is nothing to compare with,
            and for PACO, which counts other things.
    """

    name: str
    dataset: str
    subset: str
    split_by: str
    published: Counts | None

    @property
    def is_demo(self) -> bool:
        """The split is the embedded one, which has defaults of its own."""
        return self.dataset in ("demo", "demo_parts")

    @property
    def has_parts(self) -> bool:
        """The split is of objects with parts, in PACO's form, and has a protocol of its own."""
        return self.dataset in ("paco", "demo_parts")


_SPLIT_BY = {"demo": "unc", "refcoco": "unc", "refcoco+": "unc", "refcocog": "umd"}

# Partitions by unc (RefCOCO, RefCOCO+) and umd (RefCOCOg).
_PUBLISHED = {
    ("refcoco", "val"): Counts(3811, 1500, 10834),
    ("refcoco", "testA"): Counts(1975, 750, 5657),
    ("refcoco", "testB"): Counts(1810, 750, 5095),
    ("refcoco+", "val"): Counts(3805, 1500, 10758),
    ("refcoco+", "testA"): Counts(1975, 750, 5726),
    ("refcoco+", "testB"): Counts(1798, 750, 4889),
    ("refcocog", "val"): Counts(2573, 1300, 4896),
    ("refcocog", "test"): Counts(5023, 2600, 9602),
}

DEMO = Split("demo", "demo", "val", _SPLIT_BY["demo"], None)
# Its sentences tell twins apart by where they are.
DEMO_LOCATION = Split("demo_location", "demo", "location", _SPLIT_BY["demo"], None)
SPLITS: dict[str, Split] = {DEMO.name: DEMO, DEMO_LOCATION.name: DEMO_LOCATION} | {
    f"{dataset}_{subset}": Split(
        f"{dataset}_{subset}", dataset, subset, _SPLIT_BY[dataset], published
    )
    for (dataset, subset), published in _PUBLISHED.items()
}
for _parts in (
    Split("paco_val", "paco", "val", "", None),
    Split("paco_test", "paco", "test", "", None),
    Split("demo_parts", "demo_parts", "val", "", None),
):
    SPLITS[_parts.name] = _parts
COLLECTIONS: dict[str, tuple[str, ...]] = {
    f"{dataset}_all": tuple(name for name, split in SPLITS.items() if split.dataset == dataset)
    for dataset in ("refcoco", "refcoco+", "refcocog", "paco")
}


def parse_splits(text: str) -> tuple[Split, ...]:
    """Return the splits that a comma-separated text names, each once, in the order given.

    Args:
        text: Names of splits or collections; case does not matter.

    Raises:
        UsageError: A name is unknown; the message gives the closest names and all choices.
    """
    by_lower = {name.lower(): name for name in (*SPLITS, *COLLECTIONS)}
    chosen: dict[str, Split] = {}
    for word in text.split(","):
        typed = word.strip()
        name = by_lower.get(typed.lower())
        if name is None:
            raise UsageError(_unknown(typed, by_lower))
        for member in COLLECTIONS.get(name, (name,)):
            chosen.setdefault(member, SPLITS[member])
    return tuple(chosen.values())


def _unknown(typed: str, by_lower: dict[str, str]) -> str:
    close = difflib.get_close_matches(typed.lower(), by_lower, n=3)
    hint = f" (did you mean {', '.join(by_lower[name] for name in close)}?)" if close else ""
    choices = ", ".join((*SPLITS, *COLLECTIONS))
    return f"unknown split {typed!r}{hint}; choices: {choices}"
