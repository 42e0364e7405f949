"""Data of the cache that are made once, and made anew where a file of them was damaged."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from fgvp_eval.machine.cache_folder import cache_folder, made_once

_DIGESTS = "sha256.json"  # of all other files of a folder, by their path in it

_LOG = logging.getLogger(__name__)


def made_whole(name: str, write: Callable[[Path], None], temporary: Callable[[], Path]) -> Path:
    """Return a folder of the cache as :func:`cache_folder.made_once`, each file as it was made.

    A file that is missing or has other content would change results unsaid; then all files are
    made anew, each put into its place in one step, so that other processes may go on reading.

    Args:
        name: Its name, which must change whenever ``write`` would write something else.
        write: Fills an empty folder, each time with the same bytes.
        temporary: Makes the folder to return where the cache cannot be written.
    """

    def write_with_digests(folder: Path) -> None:
        write(folder)
        (folder / _DIGESTS).write_text(json.dumps(_digests(folder)), encoding="utf-8")

    folder = made_once(name, write_with_digests, temporary)
    if folder != cache_folder() / name:
        return folder
    damaged = _first_damaged(folder)
    if damaged is None:
        return folder
    _LOG.warning("%s is damaged (%s); its files are made anew", folder, damaged)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder.parent) as fresh:
            write_with_digests(Path(fresh))
            for file in _files(Path(fresh)):
                place = folder / file.relative_to(fresh)
                place.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, place)
    except OSError as error:
        _LOG.warning("cannot mend %s (%s); the data go to a temporary folder", folder, error)
        return temporary()
    return folder


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a folder but that of the digests themselves."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in _files(folder)
        if path.name != _DIGESTS
    }


def _first_damaged(folder: Path) -> str | None:
    """Return the first file that is not as it was made; None if there is none."""
    try:
        noted = json.loads((folder / _DIGESTS).read_bytes())
        present = _digests(folder)
        return next((name for name, sha256 in noted.items() if present.get(name) != sha256), None)
    except (OSError, ValueError, AttributeError, RecursionError):
        return _DIGESTS
