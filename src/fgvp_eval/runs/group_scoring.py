"""The outcomes of groups of images, whose candidates are encoded together."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from fgvp_eval.errors import DataError
from fgvp_eval.data.images import decode_image
from fgvp_eval.runs.journal import ImageOutcome
from fgvp_eval.masks.masked_image import MaskedImage
from fgvp_eval.masks.sources import MaskSource
from fgvp_eval.machine.progress import Progress
from fgvp_eval.data.records import ImageRecord, Unscored
from fgvp_eval.results.miss_pictures import MissPictures
from fgvp_eval.scoring.sentence_scores import SentenceScorer
from fgvp_eval.tasks.split_plan import SplitPlan
from fgvp_eval.machine.stage_times import StageTimes

_LOG = logging.getLogger(__name__)


class GroupScorer:
    """Evaluates groups of images of one split.

    Args:
        plan: The split.
        source: Gives images their candidates.
        sentences: Scores them.
        misses: Keeps the prompts of those that were missed.
        times: Where the seconds of all stages are added.
    """

    def __init__(
        self,
        plan: SplitPlan,
        source: MaskSource,
        sentences: SentenceScorer,
        misses: MissPictures,
        times: StageTimes,
    ) -> None:
        self._plan, self._source, self._sentences, self._times = plan, source, sentences, times
        self._misses = misses

    def outcomes(self, groups: Sequence[Sequence[int]]) -> Iterator[ImageOutcome]:
        """Yield what comes out of each image of some groups of the split.

        Args:
            groups: Numbers of images that are encoded together.
        """
        if not groups:
            return
        images = self._plan.dataset.images
        # In one order and all at once: what a text is encoded with decides the last bits of its
        # features, and they must not depend on which images this process has seen.
        with self._times.measure("texts"):
            self._sentences.prepare(sample for image in images for sample in image.samples)
        total = sum(len(images[index].samples) for group in groups for index in group)
        with Progress(self._plan.name, total) as progress:
            for group in groups:
                for outcome in self._outcomes(group):
                    yield outcome
                    progress.add(len(images[outcome.index].samples))

    def _outcomes(self, group: Sequence[int]) -> Iterator[ImageOutcome]:
        """Yield the outcomes of one group; a broken image is left out of its batches."""
        records = {index: self._plan.dataset.images[index] for index in group}
        found: dict[int, MaskedImage] = {}
        reasons: dict[int, str] = {}
        seconds: dict[int, dict[str, float]] = {}
        for index, record in records.items():
            before = dict(self._times.seconds)
            try:
                found[index] = self._find(record)
            except DataError as error:
                reasons[index] = _one_line(error)
            seconds[index] = self._times.since(before)
        before = dict(self._times.seconds)
        encoded = self._sentences.encode(
            [(found[index], records[index].samples) for index in found]
        )
        shared = self._times.since(before)
        features = dict(zip(found, encoded, strict=True))
        total = sum(len(image) for image in found.values())
        for index, record in records.items():
            rows = {}
            before = dict(self._times.seconds)
            if index in found:
                image = found.pop(index)
                _add(seconds[index], shared, len(image) / total)
                try:
                    rows = self._sentences.predict(record, image, features.pop(index))
                    self._misses.keep(record, image, rows)
                except DataError as error:
                    reasons[index] = _one_line(error)
            _add(seconds[index], self._times.since(before))
            unscored = self._unscored(record, reasons[index]) if index in reasons else []
            yield ImageOutcome(
                self._plan.name,
                index,
                rows,
                unscored,
                seconds[index],
                together=0 if unscored else len(encoded),
            )

    def _find(self, record: ImageRecord) -> MaskedImage:
        with self._times.measure("decode"):
            pixels = decode_image(record)  # [H, W, 3]
        with self._times.measure(self._source.stage):
            found = self._source.find(record, pixels)  # N boxes, masks [N, H, W]
        return MaskedImage(pixels, found.masks, found.boxes_xyxy, found.resized)

    def _unscored(self, record: ImageRecord, reason: str) -> list[Unscored]:
        _LOG.warning("not scored: %d sentences: %s", len(record.samples), reason)
        return [Unscored(sample.sample_id, record.name, reason) for sample in record.samples]


def _one_line(error: DataError) -> str:
    return " ".join(str(error).split())


def _add(seconds: dict[str, float], more: dict[str, float], share: float = 1.0) -> None:
    for stage, spent in more.items():
        seconds[stage] = seconds.get(stage, 0.0) + share * spent
