"""A name for what this package draws, for those who keep its pictures or what came of them."""

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
    folder = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()
