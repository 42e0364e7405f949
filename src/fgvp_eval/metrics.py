"""Accuracy of referring-expression comprehension, with its interval and what chance would score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from fgvp_eval.boxes import iou_matrix
from fgvp_eval.records import Box, Prediction

IOU_THRESHOLD = 0.5  # a box is right strictly above it, as in the code of ReCLIP and FGVP


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
    """

    n: int
    correct: int
    accuracy: float | None
    interval_95: tuple[float, float] | None
    chance: float | None
    ceiling: float | None


def measure(predictions: Sequence[Prediction]) -> Metrics:
    """Count predictions."""
    n = len(predictions)
    correct = sum(prediction.correct for prediction in predictions)
    if n == 0:
        return Metrics(0, 0, None, None, None, None)
    interval = binomtest(correct, n).proportion_ci(confidence_level=0.95, method="wilson")
    shares = [prediction.share_correct for prediction in predictions]
    return Metrics(
        n=n,
        correct=correct,
        accuracy=correct / n,
        interval_95=(float(interval.low), float(interval.high)),
        chance=sum(shares) / n,
        ceiling=sum(share > 0 for share in shares) / n,
    )


@dataclass(frozen=True)
class Choice:
    """A chosen candidate held against the annotation; fields as in :class:`Prediction`."""

    pred: int
    gold_xyxy: Box
    iou: float
    correct: bool
    share_correct: float


def judge(
    scores: Sequence[float], candidates_xyxy: Sequence[Box], golds_xyxy: Sequence[Box]
) -> Choice:
    """Choose the candidate of the highest score, the first of those that tie, and judge it.

    Args:
        scores: N finite scores, N >= 1.
        candidates_xyxy: N boxes.
        golds_xyxy: The annotated boxes, any of which counts, at least one.
    """
    overlaps = iou_matrix(candidates_xyxy, golds_xyxy)  # [N, G]
    pred = int(np.argmax(scores))
    gold = int(np.argmax(overlaps[pred]))
    right = np.any(overlaps > IOU_THRESHOLD, axis=1)  # [N]
    return Choice(
        pred=pred,
        gold_xyxy=golds_xyxy[gold],
        iou=float(overlaps[pred, gold]),
        correct=bool(right[pred]),
        share_correct=float(right.mean()),
    )
