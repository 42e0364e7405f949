"""Command lines run in processes of their own, with the models that the test has put in place."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import torch

from fgvp_eval.commands.evaluate import run_command
from fgvp_eval.runs import journal

_PATIENCE = 120.0
# The first line of a journal and the name of the file are brought to the disk before any image.
SYNCS_BEFORE_IMAGES = 2


@dataclass(frozen=True)
class Child:
    """A started process; its streams are files."""

    process: ForkProcess
    log: Path

    def wait(self) -> tuple[int, str, str]:
        """Return exit code (the negative signal if it was killed), stdout and stderr."""
        self.process.join(_PATIENCE)
        if self.process.exitcode is None:
            self.process.kill()
            raise TimeoutError(f"{self.log}: {self.log.with_suffix('.err').read_text()}")
        out, err = (self.log.with_suffix(suffix).read_text() for suffix in (".out", ".err"))
        return self.process.exitcode, out, err


def start(
    words: Sequence[object],
    log: Path,
    *,
    rank: int = 0,
    world: int = 1,
    port: int = 0,
    prepare: Callable[[], None] | None = None,
) -> Child:
    """Start a command line in a copy of this process.

    Args:
        words: The arguments.
        log: Where its streams go, without the suffix.
        rank: Its number among ``world`` processes.
        world: How many there are.
        port: Where they meet.
        prepare: Called in the new process before anything else.
    """
    context = multiprocessing.get_context("fork")
    place = {
        "RANK": rank,
        "WORLD_SIZE": world,
        "LOCAL_RANK": rank,
        "LOCAL_WORLD_SIZE": world,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }

    def body() -> None:
        for stream, suffix in ((1, ".out"), (2, ".err")):
            descriptor = os.open(log.with_suffix(suffix), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(descriptor, stream)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
        torch.set_num_threads(1)
        os.environ.update({name: str(value) for name, value in place.items()})
        if prepare is not None:
            prepare()
        code = run_command([str(word) for word in words])
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    process = context.Process(target=body)
    process.start()
    return Child(process, log)


def start_all(
    words: Sequence[object],
    log: Path,
    world: int,
    prepare: Callable[[int], None] | None = None,
) -> list[Child]:
    """Start the same command line in ``world`` processes that form one run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [
        start(
            words,
            log.with_name(f"{log.name}-{rank}"),
            rank=rank,
            world=world,
            port=port,
            prepare=None if prepare is None else lambda rank=rank: prepare(rank),
        )
        for rank in range(world)
    ]


def finish_all(words: Sequence[object], log: Path, world: int) -> list[tuple[int, str, str]]:
    """Run a command line in ``world`` processes that must all end well.

    Returns:
        Exit code, stdout and stderr of each.
    """
    ends = [child.wait() for child in start_all(words, log, world)]
    assert [code for code, _, _ in ends] == [0] * world, ends
    return ends


def die() -> None:
    """End this process as ``kill -9`` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def dying_at_sync(number: int) -> Callable[[], None]:
    """Kill the process when it brings its line of this number to the disk."""

    def prepare() -> None:
        calls: list[int] = []
        sync = os.fsync

        def fsync(descriptor: int) -> None:
            calls.append(descriptor)
            if len(calls) == number:
                die()
            sync(descriptor)

        journal.os.fsync = fsync

    return prepare


def results(folder: Path) -> dict[str, Any]:
    """What was found out, without what depends on how it was started."""
    content: dict[str, Any] = json.loads((folder / "results.json").read_text())
    for name in ("seconds", "command"):
        del content[name]
    del content["config"]["out"]
    return content
