"""Opening what was downloaded: a file counts as there once it was read to its end.

The length that a server names, or a status of 200, promises nothing: servers send pages that ask to
log in, lengths that are too short, and halves of files.
"""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from fgvp_eval.data.safe_pickle import load_plain_pickle
from fgvp_eval.errors import DataError

_BROKEN = (OSError, ValueError, SyntaxError, RecursionError, Image.DecompressionBombError)


def whats_wrong(path: Path, name: str) -> str | None:
    """Return why a file is not what its name says, or None if it is.

    Args:
        path: Where it is, under any name.
        name: What it will be called: ``.json`` and ``.jsonl`` are parsed, pickles (``.p``) read as
            plain data, pictures decoded. Archives are tested by unpacking them, weights by their
            checksum.
    """
    suffix = Path(name).suffix.lower()
    kind = {".json": "JSON", ".jsonl": "JSON lines", ".p": "pickle of plain data"}.get(suffix)
    try:
        if suffix == ".json":
            json.loads(path.read_bytes())
        elif suffix == ".jsonl":
            with path.open("rb") as lines:
                for line in lines:
                    json.loads(line)
        elif suffix == ".p":
            load_plain_pickle(path, source="")
        elif suffix in (".jpg", ".png"):
            kind = "picture"
            with Image.open(path) as picture:
                picture.load()
    except (*_BROKEN, DataError):
        return f"what it gives is no {kind}, or not all of one"
    return None
