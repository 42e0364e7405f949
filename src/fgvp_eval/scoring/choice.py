"""Which candidate is chosen by its score, and whether it is a right one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fgvp_eval.data.boxes import iou_matrix
from fgvp_eval.data.records import Box

IOU_THRESHOLD = 0.5  # a box is right strictly above it, as in the code of ReCLIP and FGVP


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
        scores: N scores, N >= 1, all finite or all NaN.
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
