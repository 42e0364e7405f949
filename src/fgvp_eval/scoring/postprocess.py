"""From the logits of a sentence under each visual prompt to one score for each candidate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fgvp_eval.data.records import Box, Prediction
from fgvp_eval.options.config import Aggregate
from fgvp_eval.options.presets import Post
from fgvp_eval.scoring.relations import relate, softmax

Logits = NDArray[np.float32]


@dataclass(frozen=True)
class SentenceLogits:
    """What CLIP says of a sentence: sums over the models, before any post-processing.

    Attributes:
        sentence: ``[K, N]`` of K modes and N candidates.
        negatives: ``[K, N]``, the mean over the sentences that are subtracted; None without.
        phrases: ``[K, N]`` of each phrase that the relations ask for; None without.
    """

    sentence: Logits
    negatives: Logits | None = None
    phrases: Mapping[str, Logits] | None = None

    def of_modes(self, members: Sequence[int]) -> SentenceLogits:
        """Return the logits of some of the modes."""
        rows, phrases = list(members), self.phrases
        return SentenceLogits(
            sentence=self.sentence[rows],
            negatives=None if self.negatives is None else self.negatives[rows],
            phrases=None if phrases is None else {text: phrases[text][rows] for text in phrases},
        )

    def stored_in(
        self,
        prediction: Prediction,
        modes: Sequence[str],
        *,
        pred_before_post: int,
        kept: NDArray[np.bool_] | None,
    ) -> Prediction:
        """Return ``prediction`` with all that is needed to repeat its post-processing.

        Args:
            prediction: A prediction of N candidates.
            modes: Names of the K modes.
            pred_before_post: What would have been chosen without post-processing.
            kept: ``[N]``, the candidates that the size prior kept.
        """

        def by_mode(of_modes: Logits) -> dict[str, tuple[float, ...]]:
            rows = (tuple(float(value) for value in row) for row in of_modes)
            return dict(zip(modes, rows, strict=True))

        return replace(
            prediction,
            pred_before_post=pred_before_post,
            kept=None if kept is None else tuple(bool(value) for value in kept),
            scores_by_mode=by_mode(self.sentence),
            negatives_by_mode=None if self.negatives is None else by_mode(self.negatives),
            phrases_by_mode=None
            if self.phrases is None
            else {text: by_mode(rows) for text, rows in self.phrases.items()},
        )

    @classmethod
    def stored(cls, prediction: Prediction) -> SentenceLogits | None:
        """Return the logits that :meth:`stored_in` put into a prediction; None if it did not."""

        def as_array(by_mode: Mapping[str, Sequence[float]]) -> Logits:
            return np.array(list(by_mode.values()), dtype=np.float32)  # [K, N]

        if prediction.scores_by_mode is None:
            return None
        negatives, phrases = prediction.negatives_by_mode, prediction.phrases_by_mode
        return cls(
            sentence=as_array(prediction.scores_by_mode),
            negatives=None if negatives is None else as_array(negatives),
            phrases=None
            if phrases is None
            else {text: as_array(rows) for text, rows in phrases.items()},
        )

    def arrays(self) -> list[Logits]:
        """Return all that there are."""
        negatives = [] if self.negatives is None else [self.negatives]
        return [self.sentence, *negatives, *(self.phrases or {}).values()]


def aggregate_modes(logits: Logits, how: Aggregate) -> Logits:
    """Return one logit for each candidate, ``[N]``, of those under K modes, ``[K, N]``."""
    combined: Logits = logits.sum(axis=0) if how == "sum" else logits.max(axis=0)
    return combined


def large_enough(
    boxes_xyxy: Sequence[Box], image_size: tuple[int, int], size_prior: float
) -> NDArray[np.bool_] | None:
    """Return which candidates the size prior keeps, ``[N]``, at least one; None without a prior.

    Args:
        boxes_xyxy: N boxes.
        image_size: Height and width of the image.
        size_prior: Share of the image's area that a candidate must exceed; 0 asks nothing of it.
            Where no candidate does, all are kept.
    """
    if size_prior <= 0:
        return None
    boxes = np.asarray(boxes_xyxy, dtype=np.float64).reshape(-1, 4)  # [N, 4]
    shares = np.prod(boxes[:, 2:] - boxes[:, :2], axis=-1) / (image_size[0] * image_size[1])
    kept: NDArray[np.bool_] = shares > size_prior
    return kept if kept.any() else np.ones_like(kept)


def final_scores(
    caption: str,
    logits: SentenceLogits,
    boxes_xyxy: Sequence[Box],
    *,
    post: Post = "none",
    aggregate: Aggregate = "sum",
    kept: NDArray[np.bool_] | None = None,
    as_released: bool = False,
) -> NDArray[np.float64]:
    """Return the scores that choose a candidate.

    In this order: the negatives are subtracted from each mode's logits (S), the modes are
    aggregated, candidates are left out by the size prior, relations are applied (R).

    Args:
        caption: The sentence, lower-cased, without template.
        logits: Its logits and, as far as ``post`` needs them, those of negatives and phrases.
        boxes_xyxy: N candidates.
        post: What is done.
        aggregate: How the modes become one.
        kept: ``[N]``, the candidates that the size prior keeps; None without one.
        as_released: Relations are computed as the released code does; see :func:`relate`.

    Returns:
        ``[N]``: logits; with R or a size prior shares in 0 to 1, where candidates that are left
        out have 0. With R as released they may all be NaN: then the first candidate is chosen.

    Raises:
        ValueError: Logits that ``post`` needs are not there.
        UsageError: R is asked for and spaCy or its model is not installed.
    """
    negatives = logits.negatives if "S" in post else None
    if "S" in post and negatives is None:
        raise ValueError(f"post-processing {post} needs the logits of negatives")

    def one_score_each(of_modes: Logits) -> NDArray[np.float64]:
        subtracted = of_modes if negatives is None else of_modes - negatives  # [K, N]
        return aggregate_modes(subtracted, aggregate).astype(np.float64)  # [N]

    if "R" not in post:
        scores = one_score_each(logits.sentence)
        return scores if kept is None else softmax(scores, kept)

    def score_text(text: str) -> NDArray[np.float64]:
        if text == caption:
            return one_score_each(logits.sentence)
        if logits.phrases is None or text not in logits.phrases:
            raise ValueError(f"post-processing {post} needs the logits of the phrase {text!r}")
        return one_score_each(logits.phrases[text])

    boxes = np.asarray(boxes_xyxy, dtype=np.float64).reshape(-1, 4)  # [N, 4]
    boxes_xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    return relate(caption, boxes_xywh, score_text, kept=kept, as_released=as_released)
