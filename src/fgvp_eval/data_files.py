"""Reading of annotation files, with one clear line for whatever is wrong with them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fgvp_eval.errors import DataError
from fgvp_eval.progress import Progress


def read_json(path: Path, source: str) -> Any:
    """Read a JSON file.

    Args:
        path: The file.
        source: Where a good copy comes from, for the message.

    Raises:
        DataError: The file is missing, unreadable, truncated or no JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{path} is missing; source: {source}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is truncated or no JSON ({error}); source: {source}") from None


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    return file_digest(path, "sha256")


def file_digest(path: Path, algorithm: str) -> str:
    """Return a digest of a file in hexadecimal; ``algorithm`` is a name that hashlib knows."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    size = path.stat().st_size
    with path.open("rb") as file, Progress(f"checking {path.name}", size, "byte") as progress:
        while block := file.read(1 << 20):
            digest.update(block)
            progress.add(len(block))
    return digest.hexdigest()


def require(record: Any, keys: Iterable[str], what: str, path: Path) -> None:
    """Check that ``record`` is a dict with ``keys``.

    Raises:
        DataError: It is not; the message names the file, the record and what it lacks.
    """
    if not isinstance(record, dict):
        raise DataError(f"{path}: {what} must be a dict, got {type(record).__name__}")
    for key in keys:
        if key not in record:
            raise DataError(f"{path}: {what} has no {key!r}")


def read_integer(value: Any, what: str, path: Path) -> int:
    """Return an integer, also one that is written as text.

    Raises:
        DataError: ``value`` is none.
    """
    try:
        return int(value)
    except (TypeError, ValueError):
        raise DataError(f"{path}: {what} must be an integer, got {value!r:.80}") from None


def read_box(value: Any, what: str, path: Path) -> tuple[float, float, float, float]:
    """Return four finite numbers as floats; whether they span an area is the caller's matter.

    Raises:
        DataError: ``value`` is no list of four finite numbers.
    """
    try:
        a, b, c, d = (float(number) for number in value)
    except (TypeError, ValueError):
        raise DataError(f"{path}: {what} must be four numbers, got {value!r:.80}") from None
    if not all(abs(number) < float("inf") for number in (a, b, c, d)):
        raise DataError(f"{path}: {what} must be four finite numbers, got {value!r:.80}")
    return a, b, c, d
