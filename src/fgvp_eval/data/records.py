"""The records that pass between the steps of an evaluation.

Boxes are pixels of the original image, 0-based; a name ends in ``_xywh`` (left, top, width,
height) or ``_xyxy`` (left, top, right, bottom).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol

from typing_extensions import TypeVar

from fgvp_eval.options.config import EvalConfig
from fgvp_eval.options.splits import Counts, Split

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Annotation:
    """One annotated object.

    Attributes:
        ann_id: Its id in ``instances.json``.
        box_xywh: Its box; width and height are positive.
        segmentation: Polygons or an RLE dict as the file has it; None if it has none.
    """

    ann_id: int
    box_xywh: Box
    segmentation: Any


@dataclass(frozen=True)
class Sample:
    """One sentence that refers to an object: the unit that is scored and counted.

    Attributes:
        sample_id: Stable name, ``SPLIT:REF_ID:SENT_ID``.
        text: The sentence as typed, lower-cased.
        gold_ann_ids: The annotations that count as right, at least one.
    """

    sample_id: str
    text: str
    gold_ann_ids: tuple[int, ...]


@dataclass(frozen=True)
class ImageRecord:
    """One image with everything known about it.

    Attributes:
        image_id: COCO id.
        path: The file to open.
        name: The file relative to the data root, with ``/``.
        size: Height and width according to the annotations; None if they do not say.
        annotations: All annotated objects, referred to or not, in file order.
        samples: The sentences to score, in the order of the references.
    """

    image_id: int
    path: Path
    name: str
    size: tuple[int, int] | None
    annotations: tuple[Annotation, ...]
    samples: tuple[Sample, ...]


@dataclass(frozen=True)
class Dataset:
    """A split as read from disk.

    Attributes:
        split: Which one.
        root: The data root.
        images: Images in the order in which the references first name them.
        counts: Size of the whole split, before any limit.
        files_sha256: SHA-256 of each annotation file, by its path under the data root.
        captions: Every sentence of the whole split, lower-cased, before any limit.
    """

    split: Split
    root: Path
    images: tuple[ImageRecord, ...]
    counts: Counts
    files_sha256: dict[str, str]
    captions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prediction:
    """The result of one sentence under one mode, or one ensemble of modes.

    Attributes:
        sample_id, image, text: As in :class:`Sample` and :class:`ImageRecord` (its ``name``).
        mode: Label of the row: mode names joined by ``+``.
        candidates_xyxy: The N candidate boxes.
        scores: Their N scores: logits, summed over modes and CLIP models, or what the
            post-processing made of them; all NaN where the released arithmetic of relations
            divides 0 by 0, and then the first candidate is chosen.
        pred: Index of the chosen candidate, the first of those that tie.
        gold_xyxy: The annotated box; of several, the one that overlaps the chosen box most.
        iou: Overlap of the two boxes, 0 to 1.
        correct: The overlap is above one half.
        share_correct: Share of the candidates that would have been correct: what chance scores.
        golds_xyxy: All annotated boxes that count, if there are several.
        pred_before_post: What would have been chosen without post-processing; this and the
            following are None where there was none.
        kept: Which candidates the size prior kept.
        scores_by_mode: The sentence's N logits before post-processing, by mode.
        negatives_by_mode: The mean logits of the sentences that were subtracted.
        phrases_by_mode: The logits of each phrase that relations asked for, by phrase and mode.
    """

    sample_id: str
    image: str
    text: str
    mode: str
    candidates_xyxy: tuple[Box, ...]
    scores: tuple[float, ...]
    pred: int
    gold_xyxy: Box
    iou: float
    correct: bool
    share_correct: float
    golds_xyxy: tuple[Box, ...] | None = None
    pred_before_post: int | None = None
    kept: tuple[bool, ...] | None = None
    scores_by_mode: dict[str, tuple[float, ...]] | None = None
    negatives_by_mode: dict[str, tuple[float, ...]] | None = None
    phrases_by_mode: dict[str, dict[str, tuple[float, ...]]] | None = None

    def record(self) -> dict[str, Any]:
        """Return what is written to ``samples.jsonl``: all that is not None.

        JSON has no NaN: such scores are null.
        """
        scores = tuple(None if math.isnan(score) else score for score in self.scores)
        return {
            name: value
            for name, value in dict(vars(self), scores=scores).items()
            if value is not None
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Prediction:
        """Return the prediction that :meth:`record` was called on."""
        scores = tuple(math.nan if score is None else score for score in record["scores"])
        return cls(**_with_tuples(dict(record, scores=scores)))


def _with_tuples(value: Any) -> Any:
    """Return a value of a JSON file with tuples for lists, as records have them."""
    if isinstance(value, Mapping):
        return {name: _with_tuples(item) for name, item in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


@dataclass(frozen=True)
class Unscored:
    """A sentence that could not be scored, and why."""

    sample_id: str
    image: str
    reason: str


class SplitResult(Protocol):
    """Everything measured on one split."""

    @property
    def name(self) -> str:
        """Name of the split."""

    @property
    def unscored(self) -> Sequence[Unscored]:
        """The sentences or parts that could not be scored."""

    def facts(self) -> dict[str, Any]:
        """Return what ``results.json`` says of the split: its candidates, counts and files."""

    def settings_facts(self) -> dict[str, Any]:
        """Return every option of the split as it was resolved."""


AnySplitResult = TypeVar("AnySplitResult", bound=SplitResult, default=Any)


@dataclass(frozen=True)
class RunReport(ABC, Generic[AnySplitResult]):
    """Everything a run found out, before it is written down.

    Attributes:
        config: The options as given.
        splits: One result per split.
        models: What identifies each model: its option, hash and preprocessing.
        blur: The kind of blur that was drawn, and its sigma.
        device: Name of the device.
        precision: Of the CLIP towers.
        seconds: Seconds by stage.
    """

    config: EvalConfig
    splits: tuple[AnySplitResult, ...]
    models: list[dict[str, Any]]
    blur: dict[str, Any]
    device: str
    precision: str
    seconds: dict[str, float]

    @property
    def complete(self) -> bool:
        """Everything was scored."""
        return not any(result.unscored for result in self.splits)

    @property
    def accuracy(self) -> float | dict[str, Any] | None:
        """The share that is right, in 0 to 1, None if nothing was scored.

        Of several rows a dict, with the keys that ``metrics`` has in ``results.json``: of sentences
        the split, then the modes; of parts also protocol, input and way of assignment.
        """
        found: Any = self._accuracies()
        only = found
        while isinstance(only, dict):
            if len(only) != 1:
                return dict(found)
            (only,) = only.values()
        return None if only is None else float(only)

    @abstractmethod
    def table(self) -> str:
        """Return the table of results, in Markdown."""

    @abstractmethod
    def summary(self, command: str) -> str:
        """Return the page that tells a reader what was run and what came out, in Markdown.

        Args:
            command: The command line that was run.
        """

    @abstractmethod
    def samples(self) -> Iterator[dict[str, Any]]:
        """Yield the records of ``samples.jsonl``."""

    @abstractmethod
    def kind_facts(self) -> dict[str, Any]:
        """Return what ``results.json`` begins with: the version of its form, and its protocol."""

    @abstractmethod
    def metrics(self) -> dict[str, Any]:
        """Return the metrics of each row, by split and then by what tells rows apart."""

    @abstractmethod
    def option_facts(self) -> dict[str, Any]:
        """Return the options of the whole run that only this kind of run has."""

    @abstractmethod
    def _accuracies(self) -> dict[str, Any]:
        """Return the share that is right of each row, by the keys of :meth:`metrics`."""
