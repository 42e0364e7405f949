"""The page of a run on sentences: accuracy, causes of misses, and the gallery."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, get_args

from fgvp_eval.data.data_uris import Photo, read_photo
from fgvp_eval.data.records import Prediction
from fgvp_eval.report.miss_cards import (
    CANDIDATE_BUCKETS,
    OBJECT_BUCKETS,
    MissCard,
    miss_cards,
    photo_key,
)
from fgvp_eval.results.metrics import RECALL_RANKS, Cause
from fgvp_eval.results.miss_sample import sampled_misses
from fgvp_eval.results.seen_pictures import read_pictures
from fgvp_eval.results.stored_runs import StoredRun, read_run, split_of
from fgvp_eval.results.tables import TableRow, table_rows

_PROTOCOLS = {
    "gt": (
        "Among annotated boxes",
        "Candidates are all annotated boxes of the image (--proposals gt): an easier protocol "
        "than detected boxes. No published number compares.",
    ),
    "detections": (
        "Among a detector's boxes",
        "Candidates are a detector's boxes (--proposals detections), the protocol of the "
        "published tables.",
    ),
    "sam-grid": (
        "Among SAM-grid masks",
        "Candidates are the masks that SAM finds from a grid of points (--proposals sam-grid). No "
        "published number compares.",
    ),
}
CAUSE_NAMES: dict[Cause, str] = {
    "ranked_wrong": "ranked wrong",
    "post_flipped": "post flipped",
    "no_candidate": "no candidate",
}
Filter = tuple[str, str, str, list[tuple[str, str]]]  # name, label, "any", values with their texts


@dataclass(frozen=True)
class RowGroup:
    """Rows on one kind of candidates, which compare with each other."""

    name: str
    protocol: str
    rows: list[TableRow]

    @property
    def has_post(self) -> bool:
        """A row has post-processing."""
        return any(row.post != "none" for row in self.rows)

    @property
    def has_preset(self) -> bool:
        """A row follows a preset."""
        return any(row.preset is not None for row in self.rows)

    @property
    def has_published(self) -> bool:
        """A published number stands beside a row."""
        return any(row.published is not None for row in self.rows)


def sentences_content(folder: Path, *, per_row: int, data_root: Path | None) -> dict[str, Any]:
    """Return the variables of ``sentences.html.j2``.

    Args:
        folder: The run folder.
        per_row: How many misses of each row are shown at most.
        data_root: Where the images are; None for where the run had them.

    Raises:
        DataError: A file of the run is missing or broken.
    """
    run = read_run(folder)
    seed = run.results.get("config", {}).get("seed", 0)
    sampled = {key: sampled_misses(rows, per_row, seed) for key, rows in run.rows.items()}
    shown = set().union(*sampled.values())
    predictions = [p for rows in run.rows.values() for p in rows if p.sample_id in shown]
    roots = {split: data_root or _root_of(run, split) for split, _ in run.rows}
    photos = _photos(predictions, roots)
    cards = miss_cards(run, sampled, photos, read_pictures(folder, shown))
    groups = _groups(table_rows(run.rows, run.settings))
    splits = list(dict.fromkeys(split for split, _ in run.rows))
    return {
        "title": f"Visual prompts on {', '.join(splits) or 'nothing'}",
        "unit": "sentences",
        "first_sections": [("accuracy", "Accuracy"), ("causes", "What was missed")],
        "last_sections": [("misses", "Misses")],
        "groups": groups,
        "ranks": RECALL_RANKS,
        "causes": tuple(CAUSE_NAMES),
        "cause_names": CAUSE_NAMES,
        "cards": cards,
        "photos": photos,
        "photo_ids": {key: index for index, key in enumerate(photos)},
        "missed_total": len(
            {p.sample_id for rows in run.rows.values() for p in rows if not p.correct}
        ),
        "per_row": per_row,
        "seed": seed,
        "without_photo": sum(card.photo is None for card in cards),
        "without_prompts": sum(card.clip is None for card in cards),
        "data_roots": sorted({str(root) for root in roots.values()}),
        "filters": _filters(cards),
    }


def _root_of(run: StoredRun, split: str) -> Path:
    return Path(str(run.settings(split).get("data_root", "data")))


def _photos(predictions: Iterable[Prediction], roots: Mapping[str, Path]) -> dict[str, Photo]:
    """Return the images that are there, by :func:`photo_key`."""
    photos: dict[str, Photo] = {}
    names = {photo_key(p): (roots[split_of(p)], PurePosixPath(p.image)) for p in predictions}
    for key, (root, name) in names.items():
        if name.is_absolute() or ".." in name.parts:
            continue  # samples.jsonl names files of the data root only
        photo = read_photo(root / name)
        if photo is not None:
            photos[key] = photo
    return photos


def _groups(rows: Sequence[TableRow]) -> list[RowGroup]:
    by_kind: dict[str, list[TableRow]] = {}
    for row in rows:
        by_kind.setdefault(row.proposals, []).append(row)
    unknown = ("Accuracy", "The run does not say what its candidates are.")
    return [RowGroup(*_PROTOCOLS.get(kind, unknown), of_kind) for kind, of_kind in by_kind.items()]


def _filters(cards: Sequence[MissCard]) -> list[Filter]:
    """Return the filters that have something to choose between."""
    outcomes = [outcome for card in cards for outcome in card.outcomes if outcome.sampled]
    causes = {outcome.cause for outcome in outcomes}
    found: list[Filter] = [
        ("split", "Split", "all splits", _values(card.split for card in cards)),
        ("row", "Missed by", "any row", _values(outcome.label for outcome in outcomes)),
        (
            "cause",
            "Cause",
            "any cause",
            [(cause, CAUSE_NAMES[cause]) for cause in get_args(Cause) if cause in causes],
        ),
        (
            "candidates",
            "Candidates",
            "any number",
            _values((card.candidate_bucket for card in cards), CANDIDATE_BUCKETS),
        ),
        (
            "object",
            "Object",
            "any size",
            _values((card.object_bucket for card in cards), OBJECT_BUCKETS),
        ),
    ]
    return [one for one in found if len(one[3]) > 1]


def _values(names: Iterable[str], order: Sequence[str] = ()) -> list[tuple[str, str]]:
    there = dict.fromkeys(names)
    return [(name, name) for name in order or there if name in there]
