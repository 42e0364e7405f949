"""Which commit of this package runs, where it is run from a checkout."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path

_SECONDS = 10.0  # that a program may take to answer


def commit() -> str | None:
    """Return the commit, with ``-dirty`` if files differ from it; None outside of a checkout."""
    spec = importlib.util.find_spec("fgvp_kernels")  # found, not imported
    if spec is None or spec.origin is None:
        return None
    package = Path(spec.origin).resolve().parent
    root = output_of("git", "-C", str(package), "rev-parse", "--show-toplevel")
    # Not a repository that merely holds the environment in which this is installed.
    if not root or Path(root).resolve() / "src" != package.parent:
        return None
    return output_of("git", "-C", root, "describe", "--always", "--dirty", "--abbrev=12") or None


def output_of(*command: str) -> str:
    """Return what a program prints; nothing if it is not there, fails or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return ""
    return os.fsdecode(done.stdout).strip()  # it may be a path, whatever its bytes are
