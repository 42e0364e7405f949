"""PACO's category names as text."""

from __future__ import annotations

import re

_BRACKETS = re.compile(r"_?\([^()]*\)$")


def part_text(category: str) -> str:
    """Return the phrase of a part category, to be put after ``a photo of``.

    ``car_(automobile):steering_wheel`` becomes ``a steering wheel of a car``: the name is split
    at the colon, a sense in brackets is dropped from the object, and ``_`` stands for a blank.

    Args:
        category: ``OBJECT:PART``.

    Raises:
        ValueError: The name is not of this form.
    """
    thing, colon, part = category.partition(":")
    thing, part = _words(_BRACKETS.sub("", thing)), _words(part)
    if not (colon and thing and part):
        raise ValueError(f"the name of a part must be OBJECT:PART, got {category!r}")
    return f"a {part} of a {thing}"


def _words(name: str) -> str:
    return " ".join(name.replace("_", " ").lower().split())
