"""The command that goes on with a run which ended early."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from fgvp_eval.machine.processes import Processes

_PROGRAM = ("-m", "fgvp_eval")


def program_words(processes: Processes) -> list[str]:
    """Return the words that start as many processes as there are."""
    if processes.world == 1:
        return ["python", *_PROGRAM]
    return ["torchrun", "--nproc-per-node", str(processes.local_world), *_PROGRAM]


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
