"""The user's cache folder, and data that are made there once."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs

CACHE_VARIABLE = "FGVP_CACHE_DIR"

_LOG = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Return ``$FGVP_CACHE_DIR``, else the platform's folder for caches; it need not exist yet."""
    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("fgvp-kernels"))


def made_once(name: str, write: Callable[[Path], None], temporary: Callable[[], Path]) -> Path:
    """Return a folder of the cache, made if it is not there.

    It appears in one step, so that several processes may ask at once.

    Args:
        name: Its name, which must change whenever ``write`` would write something else.
        write: Fills an empty folder.
        temporary: Makes the folder to return where the cache cannot be written.
    """
    base = cache_folder()
    final = base / name
    if final.is_dir():
        return final
    try:
        base.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=base))
    except OSError as error:
        _LOG.warning("cannot write %s (%s); the demo data go to a temporary folder", base, error)
        return temporary()
    try:
        write(partial)
        try:
            partial.rename(final)
        except OSError:
            # Another process was first; its data are the same.
            if not final.is_dir():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return final
