"""That a run is finished, so that the same command need not read all of it to print its table.

``finished.json`` in the run folder holds the table, the options and versions, and the SHA-256 of
the files of the run. Where any of them has changed, or the file is not there, the journals are read
and all files are written again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgvp_eval.data.data_files import file_sha256
from fgvp_eval.errors import StorageError
from fgvp_eval.machine.versions import versions_of_run
from fgvp_eval.machine.whole_files import write_whole
from fgvp_eval.options.config import EvalConfig
from fgvp_eval.runs.journal import is_journal_of, journal_files
from fgvp_eval.runs.run_identity import plain

_LOG = logging.getLogger(__name__)

_NAME = "finished.json"
_RESULTS = ("samples.jsonl", "summary.md", "results.json")
_REPORT = "report.html"


@dataclass(frozen=True)
class FinishedRun:
    """A run that had been finished before.

    Attributes:
        table: What it printed.
    """

    table: str


def mark_finished(folder: Path, config: EvalConfig, table: str) -> None:
    """Note that a run is finished, all of its samples scored and all of its files written.

    A disk that does not take the note is a warning: a repeat only takes longer.
    """
    try:
        content = {"table": table, "asked": _asked(config), "files": _digests(folder, config)}
        write_whole(folder / _NAME, (json.dumps(content, indent=2), "\n"))
    except (OSError, StorageError) as error:
        _LOG.warning("not marked as finished: %s", error)


def read_finished(
    folder: Path, config: EvalConfig, identity: Mapping[str, Any]
) -> FinishedRun | None:
    """Return the run that a folder holds, if it is the one asked for, finished and unchanged.

    Args:
        folder: The run folder, which need not be there.
        config: The options.
        identity: Tells the run from others; see :func:`run_identity.run_identity`.
    """
    try:
        content = json.loads((folder / _NAME).read_bytes())
        unchanged = content["asked"] == _asked(config) and content["files"] == _digests(
            folder, config
        )
        if unchanged and all(is_journal_of(path, identity) for path in journal_files(folder)):
            return FinishedRun(str(content["table"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return None


def _asked(config: EvalConfig) -> dict[str, Any]:
    """Return the options and the versions, as they come back from a file."""
    options = {name: value for name, value in vars(config).items() if name != "resume"}
    asked = {"options": plain(options), "versions": versions_of_run()}
    kept: dict[str, Any] = json.loads(json.dumps(asked))
    return kept


def _digests(folder: Path, config: EvalConfig) -> dict[str, str]:
    """Return the SHA-256 of each file, by its name.

    Raises:
        OSError: A file is not there.
    """
    names = [path.name for path in journal_files(folder)] + list(_RESULTS)
    names += [_REPORT] if config.report else []
    return {name: file_sha256(folder / name) for name in names}
