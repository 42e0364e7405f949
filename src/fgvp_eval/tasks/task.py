"""What a kind of run is: its splits as read, the work on their images, and what comes out of it.

:mod:`runs.evaluation` does the same for every kind; a :class:`Task` says what is different.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol

import torch
from typing_extensions import TypeVar

from fgvp_eval.data.records import Prediction, RunReport, Unscored
from fgvp_eval.encoding.clip_models import ClipModel
from fgvp_eval.encoding.drawing import DrawStyle
from fgvp_eval.encoding.feature_cache import FeatureCache
from fgvp_eval.machine.stage_times import StageTimes
from fgvp_eval.masks.by_grid import GridSettings
from fgvp_eval.masks.sam_models import SamModel
from fgvp_eval.options.config import EvalConfig, SplitSettings
from fgvp_eval.options.splits import Split
from fgvp_eval.scoring.scorer import Scorer
from fgvp_kernels import RenderOptions


class Record(Protocol):
    """One result among those of an image."""

    def record(self) -> dict[str, Any]:
        """Return all of it, as JSON can hold it."""

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Any:
        """Return the result that :meth:`record` was called on."""


# The plain name ``ImageOutcome`` means ``ImageOutcome[Prediction]``, and so with the others.
Result = TypeVar("Result", bound=Record, default=Prediction)


@dataclass(frozen=True)
class ImageOutcome(Generic[Result]):
    """What came out of one image.

    Attributes:
        split: Name of the split.
        index: Number of the image in the split.
        rows: Results by label: of sentences, the predictions for each row of the result table; of
            parts, the scored objects under each condition. What could not be scored is not in it.
        unscored: The sentences or parts that could not be scored.
        seconds: Seconds spent on it by stage.
        together: How many images were encoded together, this one among them; 0 if it could not be
            scored.
    """

    split: str
    index: int
    rows: dict[str, list[Result]]
    unscored: list[Unscored]
    seconds: dict[str, float]
    together: int = 1


Outcomes = dict[tuple[str, int], ImageOutcome[Result]]


@dataclass(frozen=True)
class Deciding:
    """What decides the results of a split, besides its files and the models.

    Attributes:
        settings: The options, defaults filled in.
        grid: Settings of the mask generator, where the settings do not hold them.
        packing: How images are grouped for full batches.
    """

    settings: SplitSettings | Mapping[str, Any]
    grid: GridSettings | None = None
    packing: Mapping[str, int] = field(default_factory=dict)


class Plan(Protocol):
    """One split of a run, whose data is read and found good."""

    @property
    def name(self) -> str:
        """Name of the split."""

    @property
    def settings(self) -> SplitSettings:
        """What was asked for, defaults filled in."""

    @property
    def image_names(self) -> list[str]:
        """The name of each image, in the order of the split."""

    @property
    def counts(self) -> Any:
        """Size of the split on disk."""

    @property
    def published(self) -> Any:
        """Size that it should have; None where there is nothing to compare with."""

    @property
    def files_sha256(self) -> dict[str, str]:
        """SHA-256 of every annotation and detections file."""

    @property
    def needs_sam(self) -> bool:
        """Candidates or masks come from SAM."""

    @property
    def demo_models(self) -> list[str]:
        """Which models are the demo's although the split is not."""

    def deciding(self, at_once: int) -> Deciding:
        """Return what decides the results; ``at_once`` are the pictures of a batch."""

    def groups(self, at_once: int) -> list[range]:
        """Return the numbers of images that are encoded together; ``at_once`` as above."""

    def size(self, index: int) -> int:
        """Return how many sentences or parts are asked for on an image."""

    def styles(self, seed: int) -> dict[str, DrawStyle]:
        """Return how each mode is drawn."""


AnyPlan = TypeVar("AnyPlan", bound=Plan, default=Any)


@dataclass(frozen=True)
class Equipment:
    """What the work of a run is done with.

    Attributes:
        config: The options of the run.
        device: Where to draw and score.
        ensembles: The CLIP models by the option that names them.
        sams: The SAMs that are needed, by their option.
        cache: Where features of candidates may be looked up and kept; None for nowhere.
        times: Where the seconds of all stages are added.
        misses: Where this process keeps the prompts of what was missed.
    """

    config: EvalConfig
    device: torch.device
    ensembles: Mapping[str, tuple[ClipModel, ...]]
    sams: Mapping[str, SamModel]
    cache: FeatureCache | None
    times: StageTimes
    misses: Path

    def clips(self, plan: Plan) -> tuple[ClipModel, ...]:
        """Return the CLIP models of a split."""
        return self.ensembles[plan.settings.clip]

    def sam(self, plan: Plan) -> SamModel | None:
        """Return the SAM of a split; None if it needs none."""
        return self.sams.get(plan.settings.sam)

    def scorer(self, plan: Plan) -> Scorer:
        """Return what draws and scores the candidates of a split."""
        return Scorer(
            self.clips(plan),
            plan.settings.modes,
            device=self.device,
            options=RenderOptions(seed=self.config.seed),
            batch_size=self.config.batch_size,
            times=self.times,
            styles=plan.styles(self.config.seed),
            template=plan.settings.template,
            cache=self.cache if plan.settings.feature_cache else None,
        )


class Work(Protocol[Result]):
    """The work on the images of one split."""

    def prepare(self) -> None:
        """Encode the texts of the split.

        In one order and all at once: what a text is encoded with decides the last bits of its
        features, and they must not depend on which images this process has seen.
        """

    def outcomes(self, group: Sequence[int]) -> Iterator[ImageOutcome[Result]]:
        """Yield what comes out of images that are encoded together, in their order.

        A broken image is no error: its sentences or parts are unscored.
        """


@dataclass(frozen=True)
class Task(Generic[AnyPlan, Result]):
    """A kind of run.

    Attributes:
        unit: What is counted: ``sentence`` or ``part``.
        result_type: What journals hold of an image.
        read_plan: Reads and checks the data of a split; raises ``UsageError`` where an option does
            not fit it, ``DataError`` where data is missing or broken.
        start: Begins the work on a split, of which some images may be done already.
        split_result: Puts the outcomes of all images of a split together, in their order.
        report: What a run of this kind found out.
    """

    unit: str
    result_type: type[Result]
    read_plan: Callable[[EvalConfig, Split], AnyPlan]
    start: Callable[[AnyPlan, Equipment, Sequence[ImageOutcome[Result]]], Work[Result]]
    split_result: Callable[[AnyPlan, Sequence[ImageOutcome[Result]]], Any]
    report: type[RunReport[Any]]


def count_check(plan: Plan) -> dict[str, Any]:
    """Return the counts on disk beside the published ones, for ``results.json``."""
    counts, published = plan.counts, plan.published
    return {
        "ok": None if published is None else counts == published,
        "found": asdict(counts),
        "published": None if published is None else asdict(published),
    }


def split_data_root(config: EvalConfig, split: Split) -> Path:
    """Return the data root of a split; that of the demo is generated unless one is given."""
    if not split.is_demo:
        return config.folder_of_data()
    if config.data_root is not None and (config.data_root / split.dataset).is_dir():
        return config.data_root
    if split.has_parts:
        from fgvp_eval.demo.parts_dataset import parts_data_root

        return parts_data_root()
    from fgvp_eval.demo.dataset import demo_data_root

    return demo_data_root()
