"""Sentences that refer to objects: an image's sentences choose among its candidates.

The candidates of a group of images are encoded together.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from fgvp_eval.data.images import decode_image
from fgvp_eval.data.records import ImageRecord, Prediction, Unscored
from fgvp_eval.errors import DataError
from fgvp_eval.masks.masked_image import MaskedImage
from fgvp_eval.results.miss_pictures import MissPictures
from fgvp_eval.scoring.sentence_scores import SentenceScorer
from fgvp_eval.tasks.sentence_results import SentencesReport, SentencesSplitResult
from fgvp_eval.tasks.split_plan import SplitPlan, read_plan
from fgvp_eval.tasks.task import Equipment, ImageOutcome, Task

_LOG = logging.getLogger(__name__)


class SentenceWork:
    """The work on the images of one split.

    Args:
        plan: The split.
        equipment: What it is done with.
        done: Images that were done before.
    """

    def __init__(self, plan: SplitPlan, equipment: Equipment, done: Sequence[ImageOutcome]) -> None:
        config, times = equipment.config, equipment.times
        self._plan, self._times = plan, times
        self._source = plan.mask_source(equipment.sam(plan))
        self._sentences = SentenceScorer(
            equipment.scorer(plan), plan.settings, plan.bank(config.seed), times
        )
        self._misses = MissPictures(
            equipment.misses,
            equipment.clips(plan)[0],
            plan.styles(config.seed),
            per_row=config.report_misses if config.report else 0,
            seed=config.seed,
            color_of=self._sentences.color_of,
            device=equipment.device,
            times=times,
        )
        for outcome in done:
            self._misses.count(outcome.rows)
        if plan.settings.proposals.kind == "detections":
            _LOG.info("%s: the detector's boxes are read as xywh", plan.name)

    def prepare(self) -> None:
        """Encode the sentences of the split, as :class:`task.Work` says."""
        with self._times.measure("texts"):
            images = self._plan.dataset.images
            self._sentences.prepare(sample for image in images for sample in image.samples)

    def outcomes(self, group: Sequence[int]) -> Iterator[ImageOutcome]:
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


def _split_result(plan: SplitPlan, outcomes: Sequence[ImageOutcome]) -> SentencesSplitResult:
    """Put the images of a split together."""
    rows: dict[str, list[Prediction]] = {"+".join(group): [] for group in plan.settings.mode_groups}
    unscored: list[Unscored] = []
    for outcome in outcomes:
        unscored += outcome.unscored
        for label, predictions in outcome.rows.items():
            rows[label] += predictions
    return SentencesSplitResult(plan, rows, unscored)


def _one_line(error: DataError) -> str:
    return " ".join(str(error).split())


def _add(seconds: dict[str, float], more: dict[str, float], share: float = 1.0) -> None:
    for stage, spent in more.items():
        seconds[stage] = seconds.get(stage, 0.0) + share * spent


SENTENCES = Task("sentence", Prediction, read_plan, SentenceWork, _split_result, SentencesReport)
