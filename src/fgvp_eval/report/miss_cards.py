"""What the page shows of each missed sentence."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fgvp_eval.data.data_uris import PROMPT_SIDE, Photo
from fgvp_eval.data.records import Box, Prediction
from fgvp_eval.report.row_outcomes import RowOutcome, row_outcome
from fgvp_eval.results.seen_pictures import SeenPictures
from fgvp_eval.results.stored_runs import StoredRun, split_of

_COUNT_LIMITS, CANDIDATE_BUCKETS = (5, 10, 20), ("1 to 5", "6 to 10", "11 to 20", "over 20")
# As COCO divides them, by the area of the box.
_AREA_LIMITS = (32.0**2, 96.0**2)
OBJECT_BUCKETS = ("small, to 32² pixels", "medium, to 96² pixels", "large")


@dataclass(frozen=True)
class MissCard:
    """A sentence that at least one row missed.

    Attributes:
        sample_id, text, image, split: As in ``samples.jsonl``.
        photo: Key of the image among those of the page; None if it could not be had.
        size: Width and height that the boxes are given in.
        golds_xyxy: The annotated boxes.
        candidates_xyxy: The N candidates.
        candidate_bucket, object_bucket: What it counts as in the filters.
        clip: What saw the prompts, and at which size; None without prompts.
        outcomes: What each row made of it.
    """

    sample_id: str
    text: str
    image: str
    split: str
    photo: str | None
    size: tuple[float, float]
    golds_xyxy: tuple[Box, ...]
    candidates_xyxy: tuple[Box, ...]
    candidate_bucket: str
    object_bucket: str
    clip: str | None
    outcomes: tuple[RowOutcome, ...]

    @property
    def choices(self) -> dict[int, list[str]]:
        """The candidates that rows chose wrongly, each with the labels of these rows."""
        found: dict[int, list[str]] = {}
        for outcome in self.outcomes:
            if outcome.cause is not None:
                found.setdefault(outcome.pred, []).append(outcome.label)
        return found


def miss_cards(
    run: StoredRun,
    sampled: Mapping[tuple[str, str], Collection[str]],
    photos: Mapping[str, Photo],
    pictures: Mapping[str, SeenPictures],
) -> list[MissCard]:
    """Return a card for each sampled sentence, in the order of the run.

    Args:
        run: The run.
        sampled: Ids of the misses that are shown of each row, by split and label.
        photos: The images that are there, by :func:`photo_key`.
        pictures: Prompts as CLIP saw them, by sentence.
    """
    wanted = set().union(*sampled.values())
    by_sentence: dict[str, list[Prediction]] = {}
    for predictions in run.rows.values():
        for prediction in predictions:
            if prediction.sample_id in wanted:
                by_sentence.setdefault(prediction.sample_id, []).append(prediction)
    return [
        _card(of_rows, sampled, photos, pictures.get(sample_id))
        for sample_id, of_rows in by_sentence.items()
    ]


def _card(
    of_rows: Sequence[Prediction],
    sampled: Mapping[tuple[str, str], Collection[str]],
    photos: Mapping[str, Photo],
    seen: SeenPictures | None,
) -> MissCard:
    """Return the card of one sentence, of its predictions in all rows."""
    first = of_rows[0]
    split, key = split_of(first), photo_key(first)
    golds_xyxy = first.golds_xyxy or (first.gold_xyxy,)
    count = len(first.candidates_xyxy)
    return MissCard(
        sample_id=first.sample_id,
        text=first.text,
        image=first.image,
        split=split,
        photo=key if key in photos else None,
        size=photos[key].size if key in photos else _extent(first, golds_xyxy),
        golds_xyxy=golds_xyxy,
        candidates_xyxy=first.candidates_xyxy,
        candidate_bucket=CANDIDATE_BUCKETS[bisect_left(_COUNT_LIMITS, count)],
        object_bucket=OBJECT_BUCKETS[bisect_left(_AREA_LIMITS, _area(golds_xyxy[0]))],
        clip=None if seen is None else _clip_text(seen),
        outcomes=tuple(
            row_outcome(prediction, prediction.sample_id in sampled[split, prediction.mode], seen)
            for prediction in of_rows
        ),
    )


def _clip_text(seen: SeenPictures) -> str:
    height, width = seen.size
    reduced = f", reduced to {PROMPT_SIDE}" if max(seen.size) > PROMPT_SIDE else ""
    return f"{seen.clip} ({width} × {height} pixels{reduced})"


def photo_key(prediction: Prediction) -> str:
    """Return what tells the image of a prediction from those of other splits."""
    return f"{split_of(prediction)}/{prediction.image}"


def _extent(prediction: Prediction, golds_xyxy: Sequence[Box]) -> tuple[float, float]:
    """Return the width and height that hold all boxes, for want of the image."""
    boxes = np.array([*prediction.candidates_xyxy, *golds_xyxy])  # [B, 4]
    return max(1.0, float(boxes[:, 2].max())), max(1.0, float(boxes[:, 3].max()))


def _area(box_xyxy: Box) -> float:
    left, top, right, bottom = box_xyxy
    return (right - left) * (bottom - top)
