"""A name for what the code of a package does, for those who keep what came of it."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def algorithm_version() -> str:
    """Return 64 hexadecimal digits that change whenever the code of this package does.

    Two versions of the code may draw the same, but one never draws two things: what is kept under
    this name is never stale.
    """
    return source_digest(Path(__file__).parent)


def source_digest(folder: Path) -> str:
    """Return the SHA-256 of the names and contents of all Python files below ``folder``."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()
