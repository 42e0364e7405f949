"""The two kinds of runs: of sentences that refer to objects, and of objects with parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgvp_eval.runs import pipeline
from fgvp_eval.options.config import EvalConfig
from fgvp_eval.errors import UsageError
from fgvp_eval.runs.journal import Record
from fgvp_eval.runs import parts_pipeline
from fgvp_eval.runs.parts_run_folder import write_parts_run
from fgvp_eval.tasks.parts.scored_objects import ScoredObject
from fgvp_eval.tasks.parts.tables import parts_tables
from fgvp_eval.machine.processes import Processes
from fgvp_eval.data.records import Prediction
from fgvp_eval.runs.run_folder import RunFolder, write_run
from fgvp_eval.results.tables import result_table


@dataclass(frozen=True)
class Task:
    """A kind of run.

    Attributes:
        result_type: What its journals hold of an image.
        evaluate: Does the work; gives the report in the first process, None in the others.
        write: Writes the files of the run folder; takes the words that started the run.
        table: Gives what is printed.
    """

    result_type: type[Record]
    evaluate: Callable[[EvalConfig, RunFolder[Any], Processes], Any]
    write: Callable[[Path, Any, Sequence[str]], None]
    table: Callable[[Any], str]


def choose_task(config: EvalConfig) -> Task:
    """Return the kind of run that the splits are for.

    Raises:
        UsageError: They are for both.
    """
    sentences = [split.name for split in config.splits if not split.has_parts]
    if len(sentences) == len(config.splits):
        return Task(Prediction, pipeline.evaluate, write_run, result_table)
    if sentences:
        raise UsageError(
            f"{sentences[0]} is a split of sentences, and is evaluated in a run of its own: its "
            "numbers do not compare with those of parts"
        )
    return Task(ScoredObject, parts_pipeline.evaluate_parts, write_parts_run, parts_tables)
