"""Values of data files, each with its place, read as the type that is expected of them.

Nothing that a file holds reaches a computation or a native library before it went through here:
what is of another type, not finite or beyond all reason ends the run with one line that says
which file, where in it, what was expected and what came.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgvp_eval.data.records import Box
from fgvp_eval.errors import DataError

# No picture is so wide; beyond, products of coordinates lose their meaning.
LARGEST_COORDINATE = 1_000_000
# Pillow opens no larger picture, and masks of the size that a file says are drawn.
MOST_PIXELS = 178_956_970
_LARGEST_NUMBER = 1e15
_INTEGER = re.compile(r"-?\d{1,19}", re.ASCII)

_BRIEF = reprlib.Repr()
_BRIEF.maxlevel, _BRIEF.maxstring, _BRIEF.maxother = 2, 80, 80


def brief(value: Any) -> str:
    """Return a value as Python writes it, cut to what fits into a message."""
    try:
        return _BRIEF.repr(value)
    except ValueError:  # Python writes no integer of more than some thousand digits
        return "a number of thousands of digits"


@dataclass(frozen=True, slots=True)
class FileValue:
    """A value of a data file.

    Attributes:
        path: The file.
        what: Its place in the file, such as ``bbox of annotation 7``.
        value: What stands there.
    """

    path: Path
    what: str
    value: Any

    def wrong(self, expected: str) -> DataError:
        """Return the error that something else was expected here."""
        return DataError(f"{self.path}: {self.what} must be {expected}, got {brief(self.value)}")

    def named(self, what: str) -> FileValue:
        """Return the same value under a name that says more."""
        return FileValue(self.path, what, self.value)

    def names(self) -> Mapping[str, Any]:
        """Return a dict by the names of its fields, whose values are not checked."""
        if not isinstance(self.value, dict):
            raise self.wrong("a dict")
        return self.value

    def items(self) -> Iterator[tuple[str, FileValue]]:
        """Yield the keys and fields of a dict."""
        return ((key, self.field(key)) for key in self.names())

    def field(self, key: str) -> FileValue:
        """Return a field of a dict, which must be there."""
        if key not in self.names():
            raise DataError(f"{self.path}: {self.what} has no {key!r}")
        return FileValue(self.path, f"{key} of {self.what}", self.value[key])

    def optional(self, key: str) -> FileValue | None:
        """Return a field of a dict; None if it is not there, or null."""
        return self.field(key) if self.names().get(key) is not None else None

    def each(self, noun: str, of: str = "") -> Iterator[FileValue]:
        """Yield the entries of a list, called ``NOUN INDEX``, or ``NOUN INDEX of OF``."""
        if not isinstance(self.value, (list, tuple)):
            raise self.wrong("a list")
        for index, entry in enumerate(self.value):
            yield FileValue(self.path, f"{noun} {index}{of and f' of {of}'}", entry)

    def integer(self) -> int:
        """Return an integer of 64 bits, also one that is written as text or as 7.0."""
        number = self.value
        if (isinstance(number, str) and _INTEGER.fullmatch(number)) or (
            isinstance(number, float) and number.is_integer()
        ):
            number = int(number)
        if type(number) is not int:
            raise self.wrong("an integer")
        if not -(2**63) <= number < 2**63:
            raise self.wrong("an integer of 64 bits")
        return number

    def number(self) -> float:
        """Return a finite number."""
        if type(self.value) not in (int, float) or not abs(self.value) <= _LARGEST_NUMBER:
            raise self.wrong(f"a number of at most {_LARGEST_NUMBER:g}")
        return float(self.value)

    def text(self) -> str:
        """Return text that can be written to a file, which lone surrogates cannot."""
        if not isinstance(self.value, str):
            raise self.wrong("text")
        try:
            self.value.encode()
        except UnicodeEncodeError:
            raise self.wrong("text without lone surrogates") from None
        return self.value

    def name(self) -> str:
        """Return what something is called: text, or an integer as text."""
        if isinstance(self.value, (int, float)):
            return str(self.integer())
        if isinstance(self.value, str):
            return self.text()
        raise self.wrong("text or an integer")

    def box(self, largest: int = LARGEST_COORDINATE) -> Box:
        """Return four numbers of at most ``largest``; whether they span an area is not checked."""
        numbers = self.value
        if (
            not isinstance(numbers, (list, tuple))
            or len(numbers) != 4
            or any(type(number) not in (int, float) for number in numbers)
        ):
            raise self.wrong("four numbers")
        if not all(abs(number) <= largest for number in numbers):
            raise self.wrong(f"four finite numbers of at most {largest:,} pixels")
        a, b, c, d = numbers
        return float(a), float(b), float(c), float(d)

    def size(self) -> tuple[int, int]:
        """Return the ``height`` and ``width`` of a dict that describes an image."""
        height, width = self._side("height"), self._side("width")
        if height * width > MOST_PIXELS:
            raise DataError(
                f"{self.path}: {self.what} is {width}x{height}, which is more than "
                f"{MOST_PIXELS:,} pixels"
            )
        return height, width

    def _side(self, key: str) -> int:
        side = self.field(key)
        if side.integer() < 1:
            raise side.wrong("at least 1")
        return side.integer()
