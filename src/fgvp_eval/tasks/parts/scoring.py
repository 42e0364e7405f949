"""Scores of one object's candidates against its parts' texts, and what is chosen by them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fgvp_eval.data.boxes import xyxy_from_xywh
from fgvp_eval.data.parts_records import PartedObject, PartResult, PartsImage
from fgvp_eval.encoding.image_groups import group_images
from fgvp_eval.encoding.picture_batches import ImageFeatures
from fgvp_eval.errors import DataError
from fgvp_eval.masks.masked_image import MaskedImage
from fgvp_eval.scoring.assignment import ASSIGNMENTS, assign, subtract_negatives
from fgvp_eval.scoring.scorer import Scorer
from fgvp_eval.tasks.parts.scored_objects import Condition, ScoredObject


@dataclass(frozen=True)
class PartScorer:
    """Scores and chooses.

    Attributes:
        scorer: Draws and encodes.
        modes: The K modes that it draws.
        groups: The modes of each row of the result table.
        logit_scale: Sum of the scales of its CLIP models, by which a sum of their logits is a
            mean cosine.
        phrases: All part texts of the data set, whose mean score is taken from each score; None
            for no subtraction.
        at_once: Pictures of a batch.
    """

    scorer: Scorer
    modes: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    logit_scale: float
    phrases: tuple[str, ...] | None
    at_once: int

    def encode(self, pictures: Sequence[MaskedImage]) -> list[ImageFeatures]:
        """Return what :meth:`cosines` needs of each picture; candidates of several fill a batch."""
        groups = group_images([len(picture) for picture in pictures], self.at_once)
        return [
            features
            for group in groups
            for features in self.scorer.encode([pictures[index] for index in group])
        ]

    def cosines(
        self, features: ImageFeatures | None, texts: Sequence[str]
    ) -> dict[str, NDArray[np.float64]]:
        """Return the similarities ``[T, N]`` under each ensemble, by its label.

        They are cosines, the mean over CLIP models and modes, less the mean of the other phrases
        where those are subtracted.

        Args:
            features: Of the N candidates on a picture; None if there are none.
            texts: T texts.

        Raises:
            DataError: CLIP gave scores that are not finite.
        """
        bank = self.phrases or ()
        count = 0 if features is None else features.count
        logits = np.zeros((len(self.modes), len(texts) + len(bank), count))  # [K, T+B, N]
        if features is not None:
            logits += self.scorer.logits(features, [*texts, *bank])
        if not np.isfinite(logits).all():
            raise DataError("CLIP gave scores that are not finite; try --precision fp32")
        similar: dict[str, NDArray[np.float64]] = {}
        for group in self.groups:
            members = [self.modes.index(mode) for mode in group]
            mean = logits[members].mean(axis=0) / self.logit_scale  # [T+B, N]
            of_texts = mean[: len(texts)]
            if bank:
                own = np.array([bank.index(text) for text in texts], dtype=np.intp)
                of_texts = subtract_negatives(of_texts, mean[len(texts) :], own)
            similar["+".join(group)] = of_texts
        return similar


def choose_parts(
    scored: ScoredObject, thing: PartedObject, image: PartsImage, condition: Condition, split: str
) -> Iterator[PartResult]:
    """Assign the candidates of an object to its parts in every way.

    Args:
        scored: The N candidates and their scores.
        thing: The object, of T parts.
        image: The image that it is on.
        condition: How its parts were asked for.
        split: Name of the split.
    """
    right = scored.right  # [N, T]
    sample_ids = thing.sample_ids(split)
    for modes, scores in scored.scores.items():
        for how in ASSIGNMENTS:
            chosen = assign(scores, how)
            for index, (part, pred) in enumerate(zip(thing.parts, chosen, strict=True)):
                box_iou, overlap = scored.box_iou[:, index], scored.mask_iou[:, index]  # [N]
                yield PartResult(
                    sample_id=sample_ids[index],
                    image=image.name,
                    object_id=thing.object_id,
                    text=part.text,
                    protocol=condition.protocol,
                    input=condition.input,
                    mode=modes,
                    assignment=how,
                    parts=len(thing.parts),
                    candidates_xyxy=scored.candidates_xyxy,
                    scores=scores[index],
                    pred=pred,
                    gold_xyxy=xyxy_from_xywh(part.annotation.box_xywh),
                    box_iou=0.0 if pred is None else float(box_iou[pred]),
                    mask_iou=0.0 if pred is None else float(overlap[pred]),
                    correct=pred is not None and bool(right[pred, index]),
                    share_correct=float(right[:, index].mean()) if len(right) else 0.0,
                    best_box_iou=float(box_iou.max(initial=0.0)),
                    best_mask_iou=float(overlap.max(initial=0.0)),
                )
