"""Part detection from the command line: a run, its tables on stdout, an exit code."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from fgvp_eval.config import EvalConfig
from fgvp_eval.errors import EXIT_DONE, EXIT_INCOMPLETE, UsageError
from fgvp_eval.paco_pipeline import evaluate_parts
from fgvp_eval.paco_run_folder import write_parts_run
from fgvp_eval.paco_tables import parts_tables
from fgvp_eval.report.page import report_of_run
from fgvp_eval.run_folder import choose_folder

_LOG = logging.getLogger(__name__)


def run_parts(config: EvalConfig, command: Sequence[str], world: int) -> int:
    """Evaluate splits of parts and return the exit code.

    Args:
        config: The options.
        command: The words that started the run, for the record.
        world: Number of processes that share the run.

    Raises:
        UsageError: Splits of sentences are among them, or several processes were started.
        DataError: Data or weights are missing or broken.
    """
    others = [split.name for split in config.splits if not split.has_parts]
    if others:
        raise UsageError(
            f"{others[0]} is a split of sentences, and is evaluated in a run of its own: its "
            "numbers do not compare with those of parts"
        )
    if world > 1:
        raise UsageError("splits of parts are evaluated by one process; start it without torchrun")
    folder = choose_folder(config)
    report = evaluate_parts(config, folder)
    write_parts_run(folder.path, report, command)
    print(parts_tables(report))
    if config.report:
        report_of_run(folder.path)
    _LOG.info("wrote %s", folder.path)
    return EXIT_DONE if report.complete else EXIT_INCOMPLETE
