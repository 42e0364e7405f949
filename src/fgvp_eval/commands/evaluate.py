"""The command: a checked config, a run, its table on stdout, an exit code."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgvp_eval.errors import (
    EXIT_DONE,
    EXIT_FAILURE,
    EXIT_INCOMPLETE,
    EXIT_INTERRUPTED,
    EXIT_REFUSED,
    EvalError,
    ProcessError,
    StorageError,
)
from fgvp_eval.machine.processes import Processes, processes_from_environment
from fgvp_eval.options.command_line import PROGRAM, parse_config
from fgvp_eval.options.config import EvalConfig
from fgvp_eval.options.tool_command import console, print_result

if TYPE_CHECKING:
    from fgvp_eval.runs.run_folder import RunFolder
    from fgvp_eval.tasks.task import Task

_LOG = logging.getLogger("fgvp_eval")


def run_command(argv: Sequence[str]) -> int:
    """Run the command line and return its exit code; never raises an ``Exception``.

    stdout gets the result table and nothing else; everything said goes to stderr.
    """
    with console():
        try:
            return _run(argv)
        except EvalError as error:
            _LOG.error("error: %s", " ".join(str(error).split()))
            return EXIT_REFUSED
        except SystemExit as ending:  # argparse has printed its --help
            return ending.code if isinstance(ending.code, int) else EXIT_DONE
        except KeyboardInterrupt:
            again = shlex.join([*PROGRAM.split(), *argv])
            _LOG.error("interrupted; repeat the run with: %s", again)
            return EXIT_INTERRUPTED
        except Exception as error:
            _LOG.exception("failed: %s: %s", type(error).__name__, error)
            return EXIT_FAILURE


def _run(argv: Sequence[str]) -> int:
    config = parse_config(argv)
    processes = processes_from_environment()
    if not processes.is_first:
        _speak_for(processes)
    # Late, so that --help and wrong usage answer without waiting for torch.
    from fgvp_eval.runs.evaluation import choose_task
    from fgvp_eval.runs.run_folder import choose_folder

    task = choose_task(config)
    processes.connect()
    # The default name holds the time, which processes read at different moments.
    folder = processes.gather(choose_folder(config, task.result_type))[0]
    try:
        return _evaluate(task, config, folder, processes, argv)
    except KeyboardInterrupt:
        _LOG.error("interrupted; resume it with: %s", resume_command(argv, folder.path, processes))
        return EXIT_INTERRUPTED
    except EvalError:
        raise
    except Exception as error:
        if isinstance(error, (ProcessError, StorageError)):
            _LOG.error("failed: %s", error)
        else:
            _LOG.exception("failed: %s: %s", type(error).__name__, error)
        _LOG.error("resume it with: %s", resume_command(argv, folder.path, processes))
        return EXIT_FAILURE


def _evaluate(
    task: Task[Any, Any],
    config: EvalConfig,
    folder: RunFolder[Any],
    processes: Processes,
    argv: Sequence[str],
) -> int:
    from fgvp_eval.machine.stage_times import split_line
    from fgvp_eval.runs.api import finish_run
    from fgvp_eval.runs.evaluation import evaluate
    from fgvp_eval.runs.finished_run import FinishedRun
    from fgvp_eval.runs.run_folder import write_run

    report = evaluate(task, config, folder, processes)
    processes.disconnect()
    if report is None or not processes.is_first:
        return EXIT_DONE
    if isinstance(report, FinishedRun):
        print_result(report.table)
        _LOG.info("%s holds this run, finished; nothing was done again", folder.path)
        return EXIT_DONE
    write_run(folder.path, report, [*program_words(processes), *argv])
    print_result(report.table())
    seconds = dict(report.seconds)
    written = finish_run(folder.path, report)
    if config.report:
        seconds["report"] = seconds.get("report", 0.0) + written
    _LOG.info("%s", split_line(seconds))
    _LOG.info("wrote %s", folder.path)
    return EXIT_DONE if report.complete else EXIT_INCOMPLETE


def program_words(processes: Processes) -> list[str]:
    """Return the words that start as many processes as there are."""
    if processes.world == 1:
        return PROGRAM.split()
    return ["torchrun", "--nproc-per-node", str(processes.local_world), *PROGRAM.split()[1:]]


def resume_command(argv: Sequence[str], folder: Path, processes: Processes) -> str:
    """Return the command line that goes on where the run in ``folder`` ended.

    Args:
        argv: The words that the run was started with, without the program's name.
        folder: Its run folder, which stands in the command even if it was chosen by default.
        processes: This process among those of the run.
    """
    kept: list[str] = []
    words = iter(argv)
    for word in words:
        if word in ("--no-resume", "--no_resume") or word.startswith("--out="):
            continue
        if word == "--out":
            next(words, None)
            continue
        kept.append(word)
    return shlex.join([*program_words(processes), *kept, "--out", str(folder)])


def _speak_for(processes: Processes) -> None:
    """Leave progress to the first process, and say whose the rest is."""
    _LOG.setLevel(logging.WARNING)
    for handler in _LOG.handlers:
        handler.setFormatter(logging.Formatter(f"fgvp_eval: process {processes.rank}: %(message)s"))
