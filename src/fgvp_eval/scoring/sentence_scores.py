"""The sentences of images: what CLIP is asked about them, and the predictions it leads to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from fgvp_eval.data.boxes import xyxy_from_xywh
from fgvp_eval.data.records import Box, ImageRecord, Prediction, Sample
from fgvp_eval.encoding.picture_batches import ImageFeatures
from fgvp_eval.errors import DataError
from fgvp_eval.machine.stage_times import StageTimes
from fgvp_eval.masks.masked_image import MaskedImage
from fgvp_eval.options.config import TEXT_COLOR, SplitSettings
from fgvp_eval.scoring.caption_bank import CaptionBank
from fgvp_eval.scoring.choice import judge
from fgvp_eval.scoring.postprocess import (
    SentenceLogits,
    aggregate_modes,
    final_scores,
    large_enough,
)
from fgvp_eval.scoring.relations import phrases_of
from fgvp_eval.scoring.scorer import Query, Scorer
from fgvp_kernels.colors import PALETTE

# Names that are words.
COLOR_NAMES = tuple(name for name in PALETTE if "_" not in name)

# Features of an image's candidates for each colour that they are drawn in.
FeaturesByColor = dict[str | None, ImageFeatures]


class SentenceScorer:
    """Scores the sentences of images and chooses a candidate for each.

    Args:
        scorer: Scores texts under the K modes of ``settings``.
        settings: Says which post-processing, and which modes make a row of the result table.
        bank: The sentences that are subtracted; None if none are.
        times: Where the seconds of post-processing are added.
    """

    def __init__(
        self, scorer: Scorer, settings: SplitSettings, bank: CaptionBank | None, times: StageTimes
    ) -> None:
        self._scorer, self._settings, self._bank, self._times = scorer, settings, bank, times

    def prepare(self, samples: Iterable[Sample]) -> None:
        """Encode every text that the sentences will need, in one order.

        Raises:
            UsageError: Relations are asked for and spaCy or its model is not installed.
        """
        queries = [query for sample in samples for query in self._queries(sample)]
        texts = [query for query in queries if isinstance(query, str)]
        if self._bank is not None:
            texts += self._bank.captions
        if self._settings.color == TEXT_COLOR:
            texts += COLOR_NAMES
        self._scorer.prepare(texts)

    def encode(
        self, images: Sequence[tuple[MaskedImage, Sequence[Sample]]]
    ) -> list[FeaturesByColor]:
        """Return what :meth:`predict` needs of each image.

        Args:
            images: The images whose candidates share batches, with their sentences.
        """
        encoded: list[FeaturesByColor] = [{} for _ in images]
        members_of: dict[str | None, list[int]] = {}
        for number, (_, samples) in enumerate(images):
            for color in dict.fromkeys(map(self.color_of, samples)):
                members_of.setdefault(color, []).append(number)
        for color, members in members_of.items():
            features = self._scorer.encode([images[number][0] for number in members], color)
            for number, of_image in zip(members, features, strict=True):
                encoded[number][color] = of_image
        return encoded

    def predict(
        self, record: ImageRecord, image: MaskedImage, features: FeaturesByColor
    ) -> dict[str, list[Prediction]]:
        """Return the predictions of an image's sentences for each row, by its label.

        Args:
            record: The image and its sentences.
            image: Its pixels and candidates.
            features: What :meth:`encode` gave for it.

        Raises:
            DataError: CLIP gave scores that are not finite.
        """
        found = self.logits(record.samples, features)
        if not all(np.isfinite(part).all() for logits in found for part in logits.arrays()):
            raise DataError(
                f"{record.path}: CLIP gave scores that are not finite; try --precision fp32"
            )
        size = (image.pixels.shape[0], image.pixels.shape[1])
        candidates_xyxy = tuple(image.boxes_xyxy)
        with self._times.measure("post"):
            return {
                "+".join(group): [
                    self._prediction(record, size, sample, candidates_xyxy, logits, group)
                    for sample, logits in zip(record.samples, found, strict=True)
                ]
                for group in self._settings.mode_groups
            }

    def logits(self, samples: Sequence[Sample], features: FeaturesByColor) -> list[SentenceLogits]:
        """Return the logits of each sentence of one image and of all its post-processing needs."""
        by_color: dict[str | None, list[int]] = {}
        for index, sample in enumerate(samples):
            by_color.setdefault(self.color_of(sample), []).append(index)
        found: dict[int, SentenceLogits] = {}
        for color, members in by_color.items():
            asked = {index: self._queries(samples[index]) for index in members}
            queries = list(dict.fromkeys(query for of_one in asked.values() for query in of_one))
            scores = self._scorer.logits(features[color], queries)  # [K, Q, N]
            row_of = {query: scores[:, row] for row, query in enumerate(queries)}  # each [K, N]
            for index, (sentence, *others) in asked.items():
                negatives = None if self._bank is None else row_of[others.pop()]
                phrases = {text: row_of[text] for text in others if isinstance(text, str)}
                phrases_asked = phrases if "R" in self._settings.post else None
                found[index] = SentenceLogits(row_of[sentence], negatives, phrases_asked)
        return [found[index] for index in range(len(samples))]

    def color_of(self, sample: Sample) -> str | None:
        """Return the colour that a sentence's prompts are drawn in; None for the styles' own."""
        if self._settings.color != TEXT_COLOR:
            return None
        return self._scorer.nearest(sample.text, COLOR_NAMES)

    def _queries(self, sample: Sample) -> list[Query]:
        """Return the sentence, the phrases that relations ask for and, last, its negatives."""
        queries: list[Query] = [sample.text]
        if "R" in self._settings.post:
            queries += [text for text in phrases_of(sample.text) if text != sample.text]
        if self._bank is not None:
            queries.append(self._bank.negatives_of(sample.sample_id))
        return queries

    def _prediction(
        self,
        image: ImageRecord,
        size: tuple[int, int],
        sample: Sample,
        candidates_xyxy: tuple[Box, ...],
        logits: SentenceLogits,
        group: Sequence[str],
    ) -> Prediction:
        settings = self._settings
        chosen = logits.of_modes([settings.modes.index(mode) for mode in group])
        kept = large_enough(candidates_xyxy, size, settings.size_prior)
        scores = final_scores(
            sample.text,
            chosen,
            candidates_xyxy,
            post=settings.post,
            aggregate=settings.aggregate,
            kept=kept,
            as_released=settings.as_released,
        )
        values = tuple(float(score) for score in scores)
        boxes_xyxy = {
            annotation.ann_id: xyxy_from_xywh(annotation.box_xywh)
            for annotation in image.annotations
        }
        golds_xyxy = tuple(boxes_xyxy[ann_id] for ann_id in sample.gold_ann_ids)
        plain = Prediction(
            sample_id=sample.sample_id,
            image=image.name,
            text=sample.text,
            mode="+".join(group),
            candidates_xyxy=candidates_xyxy,
            scores=values,
            **vars(judge(values, candidates_xyxy, golds_xyxy)),
            golds_xyxy=golds_xyxy if len(golds_xyxy) > 1 else None,
        )
        if settings.post == "none" and kept is None:
            return plain
        before = aggregate_modes(chosen.sentence, settings.aggregate)  # [N]
        return chosen.stored_in(plain, group, pred_before_post=int(np.argmax(before)), kept=kept)
