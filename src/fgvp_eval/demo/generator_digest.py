"""A name for what the generators make, which changes whenever their code does."""

import hashlib
from pathlib import Path

# Everything that decides a byte of the generated data.
_SOURCES = (
    "annotations.py",
    "dataset.py",
    "expressions.py",
    "parts_dataset.py",
    "parts_scenes.py",
    "polygons.py",
    "scenes.py",
    "shapes.py",
    "textures.py",
)


def generator_digest(*settings: int) -> str:
    """Return 12 hexadecimal digits that stand for the generators' code and their settings."""
    digest = hashlib.sha256(repr(settings).encode())
    for name in _SOURCES:
        digest.update(Path(__file__).with_name(name).read_bytes())
    return digest.hexdigest()[:12]
