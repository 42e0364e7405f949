"""Pickles of plain data: anything that would import or call code is refused, unexecuted."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from fgvp_eval.errors import DataError


class _HoldsCode(Exception):
    """The pickle names something outside plain data."""


class _RepeatsItself(Exception):
    """The pickle names its own parts so often that it would never end."""


def _bytes_from_text(text: str, encoding: str) -> bytes:
    """Stand-in for ``_codecs.encode``, by which protocols 0 to 2 write ``bytes``."""
    if not isinstance(text, str) or encoding != "latin1":
        raise _HoldsCode("_codecs.encode")
    return text.encode("latin1")


# What the pickle module itself writes for data that has no opcode of its own.
_PLAIN: dict[tuple[str, str], Any] = {
    ("__builtin__", "set"): set,
    ("builtins", "set"): set,
    ("__builtin__", "frozenset"): frozenset,
    ("builtins", "frozenset"): frozenset,
    ("_codecs", "encode"): _bytes_from_text,
}


_SCALARS = frozenset({type(None), bool, int, float, str, bytes})
_CONTAINERS = frozenset({list, tuple, dict, set, frozenset})
_MOST_IN_TUPLE = 10_000  # values of a tuple with all tuples in it, written out
_LEAST_BOUND = 100_000  # values that a file may hold, however small it is


# Slower than the unpickler in C, which allocates gigabytes for a memo index of four bytes.
class _PlainUnpickler(pickle._Unpickler):
    """An unpickler that resolves no name but those of plain containers."""

    stack: list[Any]  # of the base class

    def __init__(self, stream: bytes) -> None:
        super().__init__(io.BytesIO(stream), encoding="latin1")
        self._tuple_sizes: dict[int, int] = {}

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _PLAIN[module, name]
        except KeyError:
            raise _HoldsCode(f"{module}.{name}") from None

    def persistent_load(self, pid: Any) -> NoReturn:
        raise _HoldsCode("a persistent id")

    def measure_tuple(self) -> None:
        """Refuse tuples that name others again and again, whose hash as a key would never end."""
        made = self.stack[-1]
        inner = (self._tuple_sizes.get(id(entry), 1) for entry in made if type(entry) is tuple)
        size = len(made) + sum(inner)
        if size > max(_MOST_IN_TUPLE, len(made)):
            raise _RepeatsItself
        self._tuple_sizes[id(made)] = size


def _opcodes() -> dict[int, Callable[[Any], None]]:
    """Return how each opcode is read, without those that plain data have no use for."""
    readers = dict(pickle._Unpickler.dispatch)
    # One changes objects, the other makes room for whatever length it is told.
    for code in (pickle.BUILD, pickle.BYTEARRAY8):
        del readers[code[0]]
    for code in (pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3):
        readers[code[0]] = _measured(readers[code[0]])
    return readers


def _measured(load: Callable[[Any], None]) -> Callable[[Any], None]:
    def load_and_measure(unpickler: _PlainUnpickler) -> None:
        load(unpickler)
        unpickler.measure_tuple()

    return load_and_measure


_PlainUnpickler.dispatch = _opcodes()


def load_plain_pickle(path: Path, source: str) -> Any:
    """Read a pickle that may hold only None, bool, numbers, text, bytes, list, tuple, dict, set.

    Text of Python 2 is read as Latin-1, which never fails. Time and memory go with the size of
    the file: what holds itself is refused, and so is what names its own parts again and again
    until it has more values, written out in full, than the file has bytes.

    Args:
        path: The file.
        source: Where a good copy comes from, for the message.

    Raises:
        DataError: The file is missing, truncated, no pickle, repeats itself or holds code; nothing
            of it is run.
    """
    try:
        stream = path.read_bytes()
        content = _PlainUnpickler(stream).load()
        _check_plain(content, max(len(stream), _LEAST_BOUND))
        return content
    except FileNotFoundError:
        raise DataError(f"{path} is missing; source: {source}") from None
    except _HoldsCode as error:
        raise DataError(
            f"{path} holds code ({error}), which a data file has no use for; refused, nothing was "
            f"run; source of a plain copy: {source}"
        ) from None
    except _RepeatsItself:
        raise DataError(
            f"{path} repeats or holds itself: written out, it has more values than a file of its "
            f"size; source: {source}"
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except Exception as error:  # a damaged stream can make the unpickler raise almost anything
        raise DataError(
            f"{path} is truncated or no pickle ({type(error).__name__}: {error!s:.80}); "
            f"source: {source}"
        ) from None


def _check_plain(content: Any, most_values: int) -> None:
    """Check that there are plain data only, and how many values they are, written out in full.

    Raises:
        _HoldsCode: There is something else.
        _RepeatsItself: There are more than ``most_values``, or there is no end of them.
    """
    sizes: dict[int, int] = {}  # values in a container, 0 while they are being counted
    left: list[Any] = [[content]]
    while left:
        container = left[-1]
        if sizes.get(id(container)):
            left.pop()
            continue
        entries = [*container, *container.values()] if type(container) is dict else container
        inner = [entry for entry in entries if type(entry) in _CONTAINERS]
        if id(container) not in sizes:
            for entry in entries:
                if type(entry) not in _SCALARS and type(entry) not in _CONTAINERS:
                    raise _HoldsCode(type(entry).__name__)
            sizes[id(container)] = 0
            uncounted = [entry for entry in inner if id(entry) not in sizes]
            if uncounted:
                left += uncounted
                continue
        sizes_within = [sizes[id(entry)] for entry in inner]
        size = 1 + len(entries) + sum(sizes_within)
        if not all(sizes_within) or size > most_values:
            raise _RepeatsItself
        sizes[id(container)] = size
        left.pop()
