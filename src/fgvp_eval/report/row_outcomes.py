"""What one row made of a sentence: its choice, scores, and prompts as CLIP saw them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fgvp_eval.data.data_uris import jpeg_uri
from fgvp_eval.data.records import Prediction
from fgvp_eval.results.metrics import Cause, miss_cause
from fgvp_eval.results.miss_sample import nearest_candidate
from fgvp_eval.results.seen_pictures import SeenPictures, shown_candidates
from fgvp_eval.scoring.choice import IOU_THRESHOLD

_MOST_BARS = 40


@dataclass(frozen=True)
class PromptPicture:
    """A prompt as CLIP saw it.

    Attributes:
        mode: Name of its mode.
        candidate: Its number.
        role: ``right``, ``chosen`` though it is not, or ``nearest`` to the annotation.
        uri: The picture.
        score: Its logit under this mode alone, before post-processing; None where the run did not
            store it apart.
    """

    mode: str
    candidate: int
    role: str
    uri: str
    score: float | None


@dataclass(frozen=True)
class Bar:
    """A candidate's score: its number, its height in 0 to 1, and what it is."""

    candidate: int
    score: float
    height: float
    role: str


@dataclass(frozen=True)
class RowOutcome:
    """What one row made of a sentence.

    Attributes:
        label: The row.
        cause: Why it missed; None if it did not.
        sampled: It is one of the misses that are shown for this row.
        pred: Number of the chosen candidate.
        iou: Its overlap with the annotation.
        score: Its score.
        nearest: Number of the candidate that overlaps the annotation most.
        nearest_iou: Its overlap.
        nearest_score: Its score.
        rank: Its place among the candidates by score, from 1.
        pictures: Prompts as CLIP saw them; empty where none were kept.
        bars: Scores, highest first, of at most 40 candidates.
    """

    label: str
    cause: Cause | None
    sampled: bool
    pred: int
    iou: float
    score: float
    nearest: int
    nearest_iou: float
    nearest_score: float
    rank: int
    pictures: tuple[PromptPicture, ...]
    bars: tuple[Bar, ...]

    @property
    def is_tied(self) -> bool:
        """All candidates have one score or none, so that the first was taken."""
        first, last = self.bars[0].score, self.bars[-1].score
        return (first == last or math.isnan(first)) and len(self.bars) > 1

    @property
    def pictures_by_mode(self) -> dict[str, list[PromptPicture]]:
        """The prompts, under the name of their mode."""
        found: dict[str, list[PromptPicture]] = {}
        for picture in self.pictures:
            found.setdefault(picture.mode, []).append(picture)
        return found

    @property
    def nearest_is_right(self) -> bool:
        """Choosing the nearest candidate would have been right."""
        return self.nearest_iou > IOU_THRESHOLD


def row_outcome(prediction: Prediction, sampled: bool, seen: SeenPictures | None) -> RowOutcome:
    """Return what the page shows of a prediction.

    Args:
        prediction: The prediction.
        sampled: It is one of the misses that are shown for its row.
        seen: The sentence's prompts; None where none were kept.
    """
    nearest, overlap = nearest_candidate(prediction)
    scores = np.asarray(prediction.scores)  # [N]
    order = np.argsort(-scores, kind="stable")  # [N], as the choice breaks ties
    roles = {nearest: "right" if overlap > IOU_THRESHOLD else "nearest"}
    roles[prediction.pred] = "right" if prediction.correct else "chosen"
    return RowOutcome(
        label=prediction.mode,
        cause=miss_cause(prediction),
        sampled=sampled,
        pred=prediction.pred,
        iou=prediction.iou,
        score=float(scores[prediction.pred]),
        nearest=nearest,
        nearest_iou=overlap,
        nearest_score=float(scores[nearest]),
        rank=1 + int(np.flatnonzero(order == nearest)[0]),
        pictures=() if seen is None else tuple(_pictures(prediction, nearest, roles, seen)),
        bars=_bars(scores, order, roles),
    )


def _pictures(
    prediction: Prediction, nearest: int, roles: Mapping[int, str], seen: SeenPictures
) -> list[PromptPicture]:
    found = []
    by_mode = prediction.scores_by_mode or {}
    modes = prediction.mode.split("+")
    for mode in modes:
        scores = by_mode.get(mode, prediction.scores if len(modes) == 1 else None)
        for candidate in shown_candidates(prediction, nearest, mode):
            text = seen.jpegs.get((mode, candidate))
            if text is not None:
                score = None if scores is None else scores[candidate]
                role = roles[candidate]
                found.append(PromptPicture(mode, candidate, role, jpeg_uri(text), score))
    return found


def _bars(
    scores: NDArray[np.float64], order: NDArray[np.intp], roles: Mapping[int, str]
) -> tuple[Bar, ...]:
    shown = np.nan_to_num(scores, nan=0.0)  # [N]
    low, high = float(shown.min()), float(shown.max())
    span = high - low or 1.0
    return tuple(
        Bar(int(k), float(scores[k]), (float(shown[k]) - low) / span, roles.get(int(k), "other"))
        for k in order[:_MOST_BARS]
    )
