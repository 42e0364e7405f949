"""Which candidate is given to which text: each text by itself, or all of an object at once."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Assignment = Literal["argmax", "hungarian"]
ASSIGNMENTS: tuple[Assignment, ...] = get_args(Assignment)


def assign(cosines: NDArray[np.float64], how: Assignment) -> list[int | None]:
    """Choose candidates for texts.

    ``argmax`` gives each text its best candidate, the first of those that tie, so that several
    texts may share one. ``hungarian`` gives each candidate away once, so that the sum of
    exp(-cosine) is least, as in the code of FGVP.

    Args:
        cosines: ``[T, N]`` similarity of texts and candidates, finite.
        how: The way.

    Returns:
        For each text the index of its candidate; None where there is none left.
    """
    texts, candidates = cosines.shape
    if candidates == 0:
        return [None] * texts
    if how == "argmax":
        return [int(index) for index in np.argmax(cosines, axis=1)]
    chosen: list[int | None] = [None] * texts
    for row, column in zip(*linear_sum_assignment(np.exp(-cosines)), strict=True):
        chosen[int(row)] = int(column)
    return chosen


def subtract_negatives(
    cosines: NDArray[np.float64], bank: NDArray[np.float64], own: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Take from each score the mean score of all other phrases at the same candidate.

    Args:
        cosines: ``[T, N]`` scores of the texts.
        bank: ``[B, N]`` scores of all phrases of the data set, those of the texts among them.
        own: ``[T]`` row of the bank that holds each text.

    Returns:
        ``[T, N]``; the scores as they are if there is no other phrase.
    """
    others = len(bank) - 1
    if others < 1:
        return cosines
    difference: NDArray[np.float64] = cosines - (bank.sum(axis=0)[None] - bank[own]) / others
    return difference
