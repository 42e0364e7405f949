"""Intervals that do not take the sentences of one image for independent of each other."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
_AT_ONCE = 5_000_000  # numbers drawn in one go


def clustered_interval(
    values: Sequence[float],
    clusters: Sequence[Hashable],
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the percentile-bootstrap interval of a mean; whole clusters are drawn anew.

    Args:
        values: n numbers, n >= 1.
        clusters: The cluster, an image, that each of them belongs to.
        level: Share of the resampled means between the two ends.
        resamples: How many times all clusters are drawn with replacement.
        seed: Seed of the draws.
    """
    number_of = {name: index for index, name in enumerate(dict.fromkeys(clusters))}
    members = np.array([number_of[name] for name in clusters])  # [n]
    sums = np.bincount(members, weights=np.asarray(values, dtype=np.float64))  # [C]
    sizes = np.bincount(members)  # [C]
    count = len(sizes)
    rng = np.random.default_rng(seed)
    means: list[NDArray[np.float64]] = []
    step = max(1, _AT_ONCE // count)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=rows)  # [rows, C]
        means.append((drawn @ sums) / (drawn @ sizes))
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
