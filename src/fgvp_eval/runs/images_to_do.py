"""Which images of a split are left to do, and all of them together once they are done."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from fgvp_eval.errors import ProcessError
from fgvp_eval.runs.journal import ImageOutcome, Outcomes, Result
from fgvp_eval.machine.processes import Processes
from fgvp_eval.machine.stage_times import StageTimes

_LOG = logging.getLogger(__name__)


def images_left(split: str, count: int, done: Outcomes[Any], processes: Processes) -> list[int]:
    """Return the numbers of the images of a split that this process has to do.

    What could not be scored is tried again: its image may have been mended.

    Args:
        split: Name of the split.
        count: How many images it has.
        done: What the journals hold.
        processes: This process among those of the run.
    """
    scored = {
        index for (name, index), outcome in done.items() if name == split and not outcome.unscored
    }
    if scored and processes.is_first:
        _LOG.info("%s: %d of %d images are done already", split, len(scored), count)
    return [index for index in range(count) if processes.owns(index) and index not in scored]


def outcomes_in_order(
    split: str, names: Sequence[str], finished: Outcomes[Result]
) -> Iterator[ImageOutcome[Result]]:
    """Yield what came out of each image of a split, in the order of the split.

    Args:
        split: Name of the split.
        names: The names of its images.
        finished: What the journals hold.

    Raises:
        ProcessError: An image is in no journal.
    """
    for index, name in enumerate(names):
        outcome = finished.get((split, index))
        if outcome is None:
            raise ProcessError(
                f"{split}: {name} is in no journal; the run folder must be one that all "
                "processes share"
            )
        yield outcome


def seconds_of_run(times: StageTimes, finished: Outcomes[Any]) -> dict[str, float]:
    """Return the seconds of each stage, for the images those of all starts and processes."""
    total = {stage: times.seconds.get(stage, 0.0) for stage in ("load", "texts")}
    for outcome in finished.values():
        for stage, spent in outcome.seconds.items():
            total[stage] = total.get(stage, 0.0) + spent
    return total
