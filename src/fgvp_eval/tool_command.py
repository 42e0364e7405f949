"""What the small commands share: complaints of one line, and their exit codes."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from fgvp_eval.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_REFUSED, EvalError, UsageError

_LOG = logging.getLogger("fgvp_eval")


class ToolParser(argparse.ArgumentParser):
    """A parser whose complaint is one line, raised rather than printed."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def run_tool(command: Callable[[], int]) -> int:
    """Run a command and return its exit code; messages go to stderr, an error as one line.

    Args:
        command: Returns the exit code; may raise ``EvalError``.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("fgvp_eval: %(message)s"))
    level, propagate = _LOG.level, _LOG.propagate
    _LOG.addHandler(handler)
    _LOG.setLevel(logging.INFO)
    _LOG.propagate = False
    try:
        code = command()
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader of stdout, "| head" for one, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE
    except EvalError as error:
        _LOG.error("error: %s", " ".join(str(error).split()))
        return EXIT_REFUSED
    except SystemExit as ending:  # argparse has printed its --help
        return ending.code if isinstance(ending.code, int) else EXIT_DONE
    except KeyboardInterrupt:
        _LOG.error("interrupted")
        return EXIT_INTERRUPTED
    finally:
        _LOG.removeHandler(handler)
        _LOG.setLevel(level)
        _LOG.propagate = propagate
