"""What a grounding found: candidates, their scores, and which of them each text gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fgvp_eval.data.records import Box


@dataclass(frozen=True, eq=False)
class ScoredCandidate:
    """A candidate, as it was scored against one text.

    Attributes:
        box_xyxy: In pixels of the image, the right and lower edge beyond the last pixel.
        mask: ``[H, W]`` bool on the CPU; empty if no mode looks at masks and none was given.
        score: Logit summed over modes and CLIPs, or what the post-processing made of it.
        probability: Softmax of the scores over the candidates, in 0 to 1.
    """

    box_xyxy: Box
    mask: torch.Tensor
    score: float
    probability: float


@dataclass(frozen=True, eq=False)
class GroundedText:
    """The candidate that a text got, and the others.

    The candidate's own attributes are None where others took all that there were.

    Attributes:
        text: As it was given.
        chosen: Number of its candidate; None where none was left.
        candidates: All of the image, in the order of their finding.
    """

    text: str
    chosen: int | None
    candidates: tuple[ScoredCandidate, ...]

    @property
    def _own(self) -> ScoredCandidate | None:
        return None if self.chosen is None else self.candidates[self.chosen]

    @property
    def box_xyxy(self) -> Box | None:
        """As of :class:`ScoredCandidate`."""
        return None if self._own is None else self._own.box_xyxy

    @property
    def mask(self) -> torch.Tensor | None:
        """As of :class:`ScoredCandidate`."""
        return None if self._own is None else self._own.mask

    @property
    def score(self) -> float | None:
        """As of :class:`ScoredCandidate`."""
        return None if self._own is None else self._own.score

    @property
    def probability(self) -> float | None:
        """As of :class:`ScoredCandidate`."""
        return None if self._own is None else self._own.probability


@dataclass(frozen=True, eq=False)
class Grounding:
    """What was found for T texts among N candidates under K modes.

    Attributes:
        boxes_xyxy: The N candidates in pixels of the scored picture.
        masks: ``[N, h, w]`` bool on the CPU; all empty if no mode looks at them.
        by_mode: ``[T, K, N]`` float32 logits, summed over the CLIPs, before post-processing.
        scores: ``[T, N]``: the logits' sum over modes, or what the post-processing made of it.
        probabilities: ``[T, N]``: softmax of the scores over the candidates; relations give
            shares instead of logits, which are brought to a sum of 1.
        assigned: The candidate of each text, each given once; None where none is left.
        best: The candidate of each text by itself, the first of those that tie.
        colors: The colour of each text's prompts where CLIP chose it, else None.
    """

    boxes_xyxy: tuple[Box, ...]
    masks: torch.Tensor
    by_mode: NDArray[np.float32]
    scores: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    assigned: tuple[int | None, ...]
    best: tuple[int, ...]
    colors: tuple[str | None, ...]

    def margin(self, text: int) -> float | None:
        """Return the score of a text's candidate less the best of the others; None without."""
        chosen, scores = self.assigned[text], self.scores[text]
        if chosen is None or len(scores) < 2:
            return None
        return float(scores[chosen] - np.delete(scores, chosen).max())

    def ranked(self, text: int) -> list[int]:
        """Return the candidates of a text from the highest score to the lowest."""
        order: list[int] = np.argsort(-self.scores[text], kind="stable").tolist()
        return order

    def of_texts(self, texts: Sequence[str]) -> list[GroundedText]:
        """Return what each of the T ``texts`` got."""
        return [
            GroundedText(
                text,
                chosen,
                tuple(map(ScoredCandidate, self.boxes_xyxy, self.masks, scores, probabilities)),
            )
            for text, chosen, scores, probabilities in zip(
                texts,
                self.assigned,
                self.scores.tolist(),
                self.probabilities.tolist(),
                strict=True,
            )
        ]
