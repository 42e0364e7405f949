"""The user's cache folder, and data that are made there once."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import platformdirs

from fgvp_eval.machine.whole_files import storing

CACHE_VARIABLE = "FGVP_CACHE_DIR"

_LOG = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Return ``$FGVP_CACHE_DIR``, else the platform's folder for caches; it need not exist yet."""
    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("fgvp-kernels"))


def made_once(name: str, write: Callable[[Path], None], temporary: Callable[[], Path]) -> Path:
    """Return a folder of the cache, made if it is not there.

    It appears in one step, so that several processes may ask at once. What a process that was
    killed has left half made is removed.

    Args:
        name: Its name, which must change whenever ``write`` would write something else.
        write: Fills an empty folder.
        temporary: Makes the folder to return where the cache cannot be written, or its disk is
            full.

    Raises:
        StorageError: There is no room for a temporary folder either.
    """
    base = cache_folder()
    final = base / name
    try:
        if not final.is_dir():
            base.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(base, name)
            _make(final, write)
        return final
    except OSError as error:
        _LOG.warning("cannot write %s (%s); the demo data go to a temporary folder", base, error)
    with storing("a temporary folder for the demo data"):
        return temporary()


def temporary_folder(prefix: str) -> Path:
    """Return a new folder that is removed when this process ends."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _make(final: Path, write: Callable[[Path], None]) -> None:
    partial = Path(tempfile.mkdtemp(prefix=f".{final.name}-", dir=final.parent))
    try:
        with _claimed(partial):
            write(partial)
            try:
                partial.rename(final)
            except OSError:
                # Another process was first; its data are the same.
                if not final.is_dir():
                    raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _remove_abandoned(base: Path, name: str) -> None:
    """Remove folders that were begun under this name, and that no process is filling."""
    for partial in base.glob(f".{name}-*"):
        with _claimed(partial) as alone:
            if alone:
                shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _claimed(folder: Path) -> Iterator[bool]:
    """Hold a folder while working on it; gives whether it is known that no other process does."""
    with ExitStack() as stack:
        try:
            import fcntl

            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (ImportError, OSError):  # held; or a system or file system without such locks
            alone = False
        else:
            alone = True
        yield alone
