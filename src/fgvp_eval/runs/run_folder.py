"""The run folder: the journals of a run, and its results, each file of which is written whole."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

from fgvp_eval.data.records import RunReport
from fgvp_eval.errors import UsageError
from fgvp_eval.machine.processes import Processes
from fgvp_eval.machine.versions import versions_of_run
from fgvp_eval.machine.whole_files import make_folder, storing, write_whole
from fgvp_eval.options.config import EvalConfig
from fgvp_eval.results.seen_pictures import misses_files
from fgvp_eval.runs.finished_run import FinishedRun, read_finished
from fgvp_eval.runs.journal import (
    Journal,
    journal_files,
    journal_path,
    read_journals,
    remove_journals,
)
from fgvp_eval.tasks.task import Outcomes, Result

_SECONDS_TO_APPEAR = 20.0  # network file systems remember for a while that a file is not there


@dataclass(frozen=True)
class RunFolder(Generic[Result]):
    """Where a run is written.

    Attributes:
        path: The folder.
        result_type: What its journals hold.
    """

    path: Path
    result_type: type[Result]

    def create(self) -> None:
        """Make the folder.

        Raises:
            UsageError: No folder can be at that path.
            StorageError: The disk is full, read-only or broken.
        """
        make_folder(self.path)

    def find_finished(
        self, config: EvalConfig, identity: Mapping[str, Any], processes: Processes
    ) -> FinishedRun | None:
        """Return the run that the folder holds, if it is this one and finished.

        Args:
            config: The options.
            identity: Tells the run from others.
            processes: This process among those of the run, all of which must call this.
        """
        found = None
        if config.resume and processes.is_first:
            found = read_finished(self.path, config, identity)
        return processes.gather(found)[0]

    @contextmanager
    def open_journal(
        self, identity: Mapping[str, Any], resume: bool, processes: Processes
    ) -> Iterator[tuple[Journal, Outcomes[Result]]]:
        """Open this process's journal; the folder is made if need be.

        Args:
            identity: Tells the run from others.
            resume: Keep what earlier starts have finished; else it is removed.
            processes: This process among those of the run, all of which must call this.

        Yields:
            The journal, and what is done already.

        Raises:
            UsageError: The folder cannot be made, or holds or is taken by another run.
            DataError: A journal is broken.
            StorageError: The disk is full, read-only or broken.
            ProcessError: Another process failed.
        """
        failure: Exception | None = None
        done: Outcomes[Result] = {}
        try:
            if processes.is_first:
                self.create()
                if not resume:
                    remove_journals(self.path)
                if not journal_files(self.path):
                    for path in misses_files(self.path):  # of a run that is not this one
                        with storing(path):
                            path.unlink(missing_ok=True)
        except Exception as error:
            failure = error
        processes.check(failure, "starting")
        try:
            self._await_folder(processes)
            done = self.read_journals(identity)
        except Exception as error:
            failure = error
        # Nobody writes before everybody has read.
        processes.check(failure, "reading the journals")
        with Journal(journal_path(self.path, processes.rank, processes.world), identity) as journal:
            yield journal, done

    def read_journals(self, identity: Mapping[str, Any]) -> Outcomes[Result]:
        """Return all that the journals of the folder hold; see :func:`journal.read_journals`."""
        return read_journals(self.path, identity, self.result_type)

    def _await_folder(self, processes: Processes) -> None:
        """Wait until a folder that another machine has made is seen here as well."""
        end = time.monotonic() + _SECONDS_TO_APPEAR
        while not self.path.is_dir():
            if time.monotonic() > end:
                raise UsageError(
                    f"process {processes.rank} does not see {self.path.resolve()}; the run folder "
                    "must be one that all machines share"
                )
            time.sleep(0.2)


def choose_folder(config: EvalConfig, result_type: type[Result]) -> RunFolder[Result]:
    """Return the folder that was asked for, else a new one, ``runs/SPLIT-TIME``."""
    if config.out is not None:
        return RunFolder(config.out, result_type)
    names = [split.name for split in config.splits]
    what = "_and_".join(names) if len(names) <= 3 else f"{names[0]}_and_{len(names) - 1}_more"
    stem = f"{what}-{time.strftime('%Y%m%d-%H%M%S')}"
    path, count = Path("runs") / stem, 1
    while path.exists():
        count += 1
        path = Path("runs") / f"{stem}-{count}"
    return RunFolder(path, result_type)


def write_run(folder: Path, report: RunReport[Any], command: Sequence[str]) -> None:
    """Write ``samples.jsonl``, ``summary.md`` and ``results.json``, in this order.

    Each replaces its predecessor in one step.

    Args:
        folder: An existing folder.
        report: The results.
        command: The words that started the run.
    """
    words = shlex.join(command)
    lines = (json.dumps(sample, ensure_ascii=False) + "\n" for sample in report.samples())
    write_whole(folder / "samples.jsonl", lines)
    write_whole(folder / "summary.md", (report.summary(words),))
    results = json.dumps(_results(report, words), indent=2, ensure_ascii=False)
    write_whole(folder / "results.json", (results, "\n"))


def _results(report: RunReport[Any], command: str) -> dict[str, Any]:
    return {
        **report.kind_facts(),
        "complete": report.complete,
        "metrics": report.metrics(),
        "splits": {result.name: result.facts() for result in report.splits},
        "blur": report.blur,
        "models": report.models,
        "config": _config_facts(report),
        "command": command,
        "versions": versions_of_run(),
        "device": report.device,
        "seconds": {stage: round(spent, 3) for stage, spent in report.seconds.items()},
    }


def _config_facts(report: RunReport[Any]) -> dict[str, Any]:
    """Return every option as it was resolved; ``settings`` has those with defaults per split."""
    config = report.config
    return {
        "splits": [split.name for split in config.splits],
        "settings": {result.name: result.settings_facts() for result in report.splits},
        "limit": config.limit,
        "seed": config.seed,
        "device": config.device,
        "precision": report.precision,
        "batch_size": config.batch_size,
        **report.option_facts(),
        "out": None if config.out is None else str(config.out),
    }
