"""The sentences that score subtraction compares with: all of a split, or some drawn for each."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fgvp_eval.errors import UsageError


@dataclass(frozen=True)
class CaptionMean:
    """The mean of many sentences, which is scored as if it were one.

    Logits are linear in the text feature, so that the logits of the mean feature are the mean of
    the logits.

    Attributes:
        name: Tells it from other means of a run.
        captions: The sentences; one that occurs twice counts twice.
        reused: It will be asked for again.
    """

    name: str
    captions: tuple[str, ...] = field(compare=False, repr=False)
    reused: bool = field(default=True, compare=False)


class CaptionBank:
    """The sentences of one split, without the template.

    Args:
        split: Name of the split.
        captions: Every sentence of the split.
        drawn: How many are drawn, without repetition, for each sentence; None takes all.
        seed: Seed of the draws; >= 0.

    Raises:
        UsageError: More are to be drawn than there are.
    """

    def __init__(self, split: str, captions: Sequence[str], drawn: int | None, seed: int) -> None:
        if drawn is not None and drawn > len(captions):
            raise UsageError(
                f"--negatives {drawn}: {split} has only {len(captions)} sentences to draw from"
            )
        self._drawn, self._seed = drawn, seed
        self.captions = tuple(captions)
        self._all = CaptionMean(f"{split}: all sentences", self.captions)

    def negatives_of(self, sample_id: str) -> CaptionMean:
        """Return what a sentence's scores are compared with.

        A draw depends on the seed and the sentence only, whatever was scored before it.
        """
        if self._drawn is None:
            return self._all
        rng = np.random.default_rng([self._seed, zlib.crc32(sample_id.encode())])
        chosen = rng.choice(len(self.captions), self._drawn, replace=False)
        captions = tuple(self.captions[index] for index in sorted(chosen))
        return CaptionMean(sample_id, captions, reused=False)
