"""What all commands share: streams, complaints of one line, and their exit codes."""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from fgvp_eval.errors import (
    EXIT_DONE,
    EXIT_FAILURE,
    EXIT_INTERRUPTED,
    EXIT_REFUSED,
    EvalError,
    StorageError,
    UsageError,
)
from fgvp_eval.options.values import parse_integer, parse_path

_LOG = logging.getLogger("fgvp_eval")


class ToolParser(argparse.ArgumentParser):
    """A parser whose complaint is one line, raised rather than printed.

    Arguments of ``type=int`` and ``type=Path`` are numbers of 64 bits and paths that can be.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.register("type", int, parse_integer)
        self.register("type", Path, parse_path)

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


@contextmanager
def console() -> Iterator[None]:
    """Let what is logged go to stderr, and any text to stdout, whatever streams there are."""
    _open_missing_streams()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("fgvp_eval: %(message)s"))
    level, propagate = _LOG.level, _LOG.propagate
    _LOG.addHandler(handler)
    _LOG.setLevel(logging.INFO)
    _LOG.propagate = False
    out = sys.stdout
    errors = out.errors
    if isinstance(out, io.TextIOWrapper):
        # Names of files may hold what the encoding of the terminal has not.
        out.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        with suppress(OSError):
            out.flush()
        if isinstance(out, io.TextIOWrapper):
            out.reconfigure(errors=errors)
        _LOG.removeHandler(handler)
        _LOG.setLevel(level)
        _LOG.propagate = propagate


def print_result(text: str = "") -> None:
    """Print a line to stdout at once, or only what was printed before.

    A reader that has gone, ``| head`` for one, has had enough, and is no error.

    Raises:
        StorageError: stdout is a file that cannot be written.
    """
    try:
        print(text, end="\n" if text else "", flush=True)
    except BrokenPipeError:
        _forget_stdout()
    except OSError as error:
        _forget_stdout()
        raise StorageError(f"stdout cannot be written: {error.strerror}") from None


def run_tool(command: Callable[[], int]) -> int:
    """Run a command and return its exit code; messages go to stderr, an error as one line.

    Args:
        command: Returns the exit code; may raise ``EvalError`` or ``StorageError``.
    """
    with console():
        try:
            code = command()
            print_result()
            return code
        except BrokenPipeError:
            _forget_stdout()
            return EXIT_DONE
        except EvalError as error:
            _LOG.error("error: %s", " ".join(str(error).split()))
            return EXIT_REFUSED
        except StorageError as error:
            _LOG.error("failed: %s", error)
            return EXIT_FAILURE
        except SystemExit as ending:  # argparse has printed its --help
            return ending.code if isinstance(ending.code, int) else EXIT_DONE
        except KeyboardInterrupt:
            _LOG.error("interrupted")
            return EXIT_INTERRUPTED


def _open_missing_streams() -> None:
    """Let streams that the program was started without lead nowhere.

    Or the next file that is opened, a journal for one, would take the number of stderr, and
    whatever a library complains of would be written into it.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115


def _forget_stdout() -> None:
    """Drop what could not be written, or the end of the program would try again and complain."""
    with suppress(OSError):  # of a stream without a file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
