"""Which images of a split are left to do, and all of them together once they are done."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from fgvp_eval.errors import ProcessError
from fgvp_eval.machine.processes import Processes
from fgvp_eval.machine.stage_times import StageTimes
from fgvp_eval.tasks.task import ImageOutcome, Outcomes, Plan, Result

_LOG = logging.getLogger(__name__)


def outcomes_of(plan: Plan, outcomes: Outcomes[Result]) -> list[ImageOutcome[Result]]:
    """Return those outcomes that are of one split."""
    return [outcome for (name, _), outcome in outcomes.items() if name == plan.name]


def groups_left(plan: Plan, at_once: int, done: Outcomes[Any], processes: Processes) -> list[range]:
    """Return the groups of images of a split that this process has to do.

    What could not be scored is tried again, since its image may have been mended; and with it its
    group, whose batches lacked it.

    Args:
        plan: The split.
        at_once: Pictures of a batch.
        done: What the journals hold.
        processes: This process among those of the run.
    """
    groups = [(group, _is_finished(group, plan.name, done)) for group in plan.groups(at_once)]
    finished = sum(len(group) for group, is_finished in groups if is_finished)
    if finished and processes.is_first:
        total = len(plan.image_names)
        _LOG.info("%s: %d of %d images are done already", plan.name, finished, total)
    return [
        group
        for number, (group, is_finished) in enumerate(groups)
        if processes.owns(number) and not is_finished
    ]


def outcomes_in_order(plan: Plan, finished: Outcomes[Result]) -> list[ImageOutcome[Result]]:
    """Return what came out of each image of a split, in the order of the split.

    Raises:
        ProcessError: An image is in no journal.
    """
    ordered = []
    for index, name in enumerate(plan.image_names):
        outcome = finished.get((plan.name, index))
        if outcome is None:
            raise ProcessError(
                f"{plan.name}: {name} is in no journal; the run folder must be one that all "
                "processes share"
            )
        ordered.append(outcome)
    return ordered


def seconds_of_run(times: StageTimes, finished: Outcomes[Any]) -> dict[str, float]:
    """Return the seconds of each stage, for the images those of all starts and processes."""
    total = {stage: times.seconds.get(stage, 0.0) for stage in ("load", "texts")}
    for outcome in finished.values():
        for stage, spent in outcome.seconds.items():
            total[stage] = total.get(stage, 0.0) + spent
    return total


def _is_finished(group: Sequence[int], split: str, done: Outcomes[Any]) -> bool:
    """Say whether the images of a group were all scored, and encoded together."""
    known = [done.get((split, index)) for index in group]
    return all(
        outcome is not None and not outcome.unscored and outcome.together == len(group)
        for outcome in known
    )
