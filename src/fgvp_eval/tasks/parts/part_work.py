"""Parts of objects: objects, crops, candidates, renderer, CLIP, assignment.

The protocol is this project's own, since none was published with the method: see
``docs/part-detection.md``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence

from fgvp_eval.data.images import decode_image
from fgvp_eval.data.parts_records import PartedObject, PartResult, PartsImage
from fgvp_eval.data.records import ImageRecord, Unscored
from fgvp_eval.encoding.picture_batches import pictures_at_once
from fgvp_eval.errors import DataError
from fgvp_eval.tasks.parts.object_scoring import ObjectScorer
from fgvp_eval.tasks.parts.part_results import PartsReport, PartsSplitResult
from fgvp_eval.tasks.parts.plan import PartsPlan, read_parts_plan
from fgvp_eval.tasks.parts.scored_objects import ScoredObject
from fgvp_eval.tasks.parts.scoring import PartScorer, choose_parts
from fgvp_eval.tasks.task import Equipment, ImageOutcome, Task

_LOG = logging.getLogger(__name__)


class PartsWork:
    """The work on the images of one split, each a group of its own.

    Args:
        plan: The split.
        equipment: What it is done with.
    """

    def __init__(
        self, plan: PartsPlan, equipment: Equipment, _: Sequence[ImageOutcome[ScoredObject]]
    ) -> None:
        self._plan, self._times = plan, equipment.times
        part_scorer = PartScorer(
            equipment.scorer(plan),
            plan.settings.modes,
            plan.settings.mode_groups,
            sum(clip.logit_scale for clip in equipment.clips(plan)),
            plan.bank,
            pictures_at_once(equipment.config.batch_size, equipment.device),
        )
        grid = plan.candidates(equipment.sam(plan), equipment.times)
        self._objects = ObjectScorer(
            plan.conditions, part_scorer, grid, equipment.config.seed, equipment.times
        )

    def prepare(self) -> None:
        """Encode the phrases of the split, as :class:`task.Work` says."""
        self._objects.prepare(self._plan.dataset.phrases)

    def outcomes(self, group: Sequence[int]) -> Iterator[ImageOutcome[ScoredObject]]:
        """Yield what comes out of each image."""
        for index in group:
            before = dict(self._times.seconds)
            rows, unscored = self._evaluate(self._plan.dataset.images[index])
            seconds = self._times.since(before)
            yield ImageOutcome(self._plan.name, index, rows, unscored, seconds)

    def _evaluate(self, image: PartsImage) -> tuple[dict[str, list[ScoredObject]], list[Unscored]]:
        """Return the scored objects of an image under each condition, and the unscored parts."""
        labels = [condition.label for condition in self._plan.conditions]
        rows: dict[str, list[ScoredObject]] = {label: [] for label in labels}
        unscored: list[Unscored] = []
        try:
            with self._times.measure("decode"):
                record = ImageRecord(image.image_id, image.path, image.name, image.size, (), ())
                pixels = decode_image(record)  # [H, W, 3]
        except DataError as error:
            return rows, self._unscored(image.objects, image, error)
        for thing, found in self._objects.score(image, pixels):
            if isinstance(found, DataError):
                unscored += self._unscored((thing,), image, found)
            else:
                for label, scored in zip(rows, found, strict=True):
                    rows[label].append(scored)
        return rows, unscored

    def _unscored(
        self, objects: Iterable[PartedObject], image: PartsImage, error: DataError
    ) -> list[Unscored]:
        """Return the parts of objects as unscored, and say so."""
        reason = " ".join(str(error).split())
        split = self._plan.name
        sample_ids = [sample_id for thing in objects for sample_id in thing.sample_ids(split)]
        _LOG.warning("not scored: %d parts: %s", len(sample_ids), reason)
        return [Unscored(sample_id, image.name, reason) for sample_id in sample_ids]


def _split_result(
    plan: PartsPlan, outcomes: Sequence[ImageOutcome[ScoredObject]]
) -> PartsSplitResult:
    """Choose the parts of all objects of a split."""
    results: list[PartResult] = []
    unscored: list[Unscored] = []
    for image, outcome in zip(plan.dataset.images, outcomes, strict=True):
        things = {thing.object_id: thing for thing in image.objects}
        for condition in plan.conditions:
            for scored in outcome.rows[condition.label]:
                thing = things[scored.object_id]
                results += choose_parts(scored, thing, image, condition, plan.name)
        unscored += outcome.unscored
    return PartsSplitResult(plan, tuple(results), tuple(unscored))


PARTS = Task("part", ScoredObject, read_parts_plan, PartsWork, _split_result, PartsReport)
