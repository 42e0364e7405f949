"""The evaluation for programs: what the command does, without its console."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fgvp_eval.data.records import RunReport
from fgvp_eval.machine.processes import ALONE
from fgvp_eval.options.command_line import PROGRAM, command_words, parse_config
from fgvp_eval.report.page import report_of_run
from fgvp_eval.runs import evaluation
from fgvp_eval.runs.finished_run import mark_finished
from fgvp_eval.runs.run_folder import choose_folder, write_run


def evaluate(split: str | Sequence[str], **options: Any) -> RunReport:
    """Evaluate splits as ``python -m fgvp_eval`` does, and write the same run folder.

    Nothing is printed; what the command says goes to the logger ``fgvp_eval``. The work is done by
    this process alone: for several GPUs start the command with ``torchrun``.

    Args:
        split: Splits or collections, a list of them or comma separated.
        **options: The options of the command, with ``_`` for ``-``: ``data_root``, ``modes`` (a
            list, or comma separated), ``limit``, ``out``, ``report=False`` and so on. None is the
            default.

    Returns:
        The results, also of a run that was finished before: ``report.accuracy`` in 0 to 1, a dict
        if there are several rows, and ``report.table()``.

    Raises:
        UsageError: An option does not exist, or does not fit; or the run folder holds another run.
        DataError: Data or weights are missing or broken. A single broken image is no reason: then
            ``report.complete`` is false.
        StorageError: The disk of the run folder is full, read-only or broken.

    Example::

        report = evaluate("demo", modes="crop", limit=20, out="runs/crop")
        print(report.accuracy)
    """
    words = command_words(split, options)
    config = parse_config(words)
    task = evaluation.choose_task(config)
    folder = choose_folder(config, task.result_type)
    report = evaluation.evaluate(task, config, folder, ALONE, read_again=True)
    if not isinstance(report, RunReport):
        raise RuntimeError("the only process of a run has no results")
    write_run(folder.path, report, [*PROGRAM.split(), *words])
    finish_run(folder.path, report)
    return report


def finish_run(folder: Path, report: RunReport) -> float:
    """Write ``report.html`` of a run whose other files are written, and note that it is finished.

    Returns:
        The seconds that the page took.
    """
    config, seconds = report.config, 0.0
    if config.report:
        seconds = report_of_run(folder, config.report_misses)
    if report.complete:
        mark_finished(folder, config, report.table())
    return seconds
