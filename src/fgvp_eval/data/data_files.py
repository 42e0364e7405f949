"""Reading of annotation files, with one clear line for whatever is wrong with them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fgvp_eval.data.file_values import FileValue
from fgvp_eval.errors import DataError
from fgvp_eval.machine.progress import Progress


def read_json(path: Path, source: str) -> Any:
    """Read a JSON file.

    Args:
        path: The file.
        source: Where a good copy comes from, for the message.

    Raises:
        DataError: The file is missing, unreadable, truncated or no JSON.
    """
    return _parsed(_content(path, source), str(path), source)


def read_json_lines(path: Path, source: str) -> Iterator[FileValue]:
    """Read a file of a JSON value a line; its entries are called ``line NUMBER``.

    A line ends with a line feed and nothing else: JSON may hold U+0085 and U+2028 as they are.

    Args:
        path: The file.
        source: Where a good copy comes from, for the message.

    Raises:
        DataError: As :func:`read_json`.
    """
    for number, line in enumerate(_content(path, source).split(b"\n"), start=1):
        if line.strip():
            what = f"line {number}"
            yield FileValue(path, what, _parsed(line, f"{path}: {what}", source))


def _content(path: Path, source: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} is missing; source: {source}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None


def _parsed(text: bytes, where: str, source: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is truncated or no JSON ({error}); source: {source}") from None


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
