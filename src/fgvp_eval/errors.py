"""Errors that end a run with one line instead of a traceback, and the exit codes they map to."""

from __future__ import annotations

EXIT_DONE = 0
EXIT_FAILURE = 1
EXIT_REFUSED = 2  # wrong usage, or data that is missing or broken
EXIT_INCOMPLETE = 3  # finished, but some samples could not be scored
EXIT_INTERRUPTED = 130  # what shells report for Ctrl-C


class EvalError(Exception):
    """The run cannot go on, for a reason that the user can mend; the message is one line."""


class ProcessError(Exception):
    """Another process of the run failed or ended; what is finished is kept. One line."""


class StorageError(Exception):
    """A file cannot be written: a full or read-only disk; what is finished is kept. One line."""


class UsageError(EvalError):
    """An option has a value that does not exist, does not fit another one, or is out of range."""


class DataError(EvalError):
    """A file is missing or broken; the message says which, where it was expected and its source."""
