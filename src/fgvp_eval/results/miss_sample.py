"""Which misses of a row are looked at, where there are too many for one page."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable

import numpy as np

from fgvp_eval.data.boxes import iou_matrix
from fgvp_eval.data.records import Prediction


class MissSample:
    """The misses of one row that come first in an order drawn by a seed.

    A sentence's place in the order depends on nothing but its id and the seed. So whoever sees
    only a part of the misses, as one of several processes or before the run is over, holds all of
    the final sample that lies in this part; and rows draw the same sentences where they can.

    Args:
        size: How many misses are kept at most, >= 0.
        seed: Draws the order.

    Attributes:
        sample_ids: Ids of the misses in the sample for now.
    """

    def __init__(self, size: int, seed: int) -> None:
        self._size, self._seed = size, seed
        self._places: list[tuple[int, str]] = []  # a heap, negated: the last one comes first
        self.sample_ids: set[str] = set()

    def add(self, sample_id: str) -> bool:
        """Add a miss, which may be known; returns whether it is in the sample for now."""
        if self._size == 0 or sample_id in self.sample_ids:
            return self._size > 0
        digest = hashlib.blake2b(f"{self._seed}:{sample_id}".encode(), digest_size=8).digest()
        entry = (-int.from_bytes(digest, "big"), sample_id)
        self.sample_ids.add(sample_id)
        if len(self._places) < self._size:
            heapq.heappush(self._places, entry)
            return True
        _, last = heapq.heappushpop(self._places, entry)
        self.sample_ids.remove(last)
        return last != sample_id


def sampled_misses(predictions: Iterable[Prediction], size: int, seed: int) -> set[str]:
    """Return the ids of the misses of one row that are shown, ``size`` at most."""
    sample = MissSample(size, seed)
    for prediction in predictions:
        if not prediction.correct:
            sample.add(prediction.sample_id)
    return sample.sample_ids


def nearest_candidate(prediction: Prediction) -> tuple[int, float]:
    """Return the candidate that overlaps an annotated box most, and the IoU, 0 to 1."""
    golds_xyxy = prediction.golds_xyxy or (prediction.gold_xyxy,)
    overlaps = iou_matrix(prediction.candidates_xyxy, golds_xyxy).max(axis=1)  # [N]
    nearest = int(np.argmax(overlaps))
    return nearest, float(overlaps[nearest])
