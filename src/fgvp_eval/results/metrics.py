"""Accuracy of referring-expression comprehension, its intervals, its bounds and its misses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from fgvp_eval.data.boxes import iou_matrix
from fgvp_eval.data.records import Prediction
from fgvp_eval.results.bootstrap import clustered_interval
from fgvp_eval.scoring.choice import IOU_THRESHOLD

RECALL_RANKS = (1, 2, 3, 5)

# Why a sentence was missed: no candidate was right; a right one was chosen before post-processing,
# but not after; or a wrong one had the higher score from the start.
Cause = Literal["no_candidate", "post_flipped", "ranked_wrong"]


@dataclass(frozen=True)
class Metrics:
    """What is counted over sentences; shares are in 0 to 1, and None if nothing was scored.

    Attributes:
        n: Sentences scored.
        correct: Sentences whose chosen box is right.
        accuracy: Their share.
        interval_95: Wilson's 95 % interval of the accuracy, sentences taken as independent.
        chance: Expected accuracy of a choice made at random.
        ceiling: Share of sentences with at least one right candidate.
        interval_95_clustered: Bootstrap interval of the accuracy, images drawn anew.
        recall_at: Share of sentences with a right candidate among the k of highest score, by k.
        misses: Sentences missed for each cause.
    """

    n: int
    correct: int
    accuracy: float | None
    interval_95: tuple[float, float] | None
    chance: float | None
    ceiling: float | None
    interval_95_clustered: tuple[float, float] | None = None
    recall_at: dict[int, float] = field(default_factory=dict)
    misses: dict[Cause, int] = field(default_factory=dict)


def measure(predictions: Sequence[Prediction]) -> Metrics:
    """Count predictions."""
    n = len(predictions)
    correct = sum(prediction.correct for prediction in predictions)
    if n == 0:
        return Metrics(0, 0, None, None, None, None)
    interval = binomtest(correct, n).proportion_ci(confidence_level=0.95, method="wilson")
    shares = [prediction.share_correct for prediction in predictions]
    right = [right_candidates(prediction) for prediction in predictions]
    ranks = [_rank(prediction, of_it) for prediction, of_it in zip(predictions, right, strict=True)]
    causes = [
        _cause(prediction, of_it) for prediction, of_it in zip(predictions, right, strict=True)
    ]
    return Metrics(
        n=n,
        correct=correct,
        accuracy=correct / n,
        interval_95=(float(interval.low), float(interval.high)),
        chance=sum(shares) / n,
        ceiling=sum(share > 0 for share in shares) / n,
        interval_95_clustered=clustered_interval(
            [float(prediction.correct) for prediction in predictions],
            [prediction.image for prediction in predictions],
        ),
        recall_at={k: sum(rank < k for rank in ranks) / n for k in RECALL_RANKS},
        misses={cause: causes.count(cause) for cause in get_args(Cause)},
    )


def right_candidates(prediction: Prediction) -> NDArray[np.bool_]:
    """Return which of the N candidates would have been right, ``[N]``."""
    golds_xyxy = prediction.golds_xyxy or (prediction.gold_xyxy,)
    right: NDArray[np.bool_] = np.any(
        iou_matrix(prediction.candidates_xyxy, golds_xyxy) > IOU_THRESHOLD, axis=1
    )
    return right


def miss_cause(prediction: Prediction) -> Cause | None:
    """Return why a sentence was missed; None if it was not."""
    return _cause(prediction, right_candidates(prediction))


def _rank(prediction: Prediction, right: NDArray[np.bool_]) -> float:
    """Return how many candidates come before the first right one; infinity if none is right."""
    order = np.argsort(-np.asarray(prediction.scores), kind="stable")  # [N]
    return float(np.argmax(right[order])) if right.any() else float("inf")


def _cause(prediction: Prediction, right: NDArray[np.bool_]) -> Cause | None:
    """Return why a sentence was missed; None if it was not."""
    if prediction.correct:
        return None
    if not right.any():
        return "no_candidate"
    before = prediction.pred_before_post
    return "post_flipped" if before is not None and right[before] else "ranked_wrong"
