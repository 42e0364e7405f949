"""Pickles of plain data: anything that would import or call code is refused, unexecuted."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, NoReturn

from fgvp_eval.errors import DataError


class _HoldsCode(Exception):
    """The pickle names something outside plain data."""


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


class _PlainUnpickler(pickle.Unpickler):
    """An unpickler that resolves no name but those of plain containers."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _PLAIN[module, name]
        except KeyError:
            raise _HoldsCode(f"{module}.{name}") from None

    def persistent_load(self, pid: Any) -> NoReturn:
        raise _HoldsCode("a persistent id")


def load_plain_pickle(path: Path, source: str) -> Any:
    """Read a pickle that may hold only None, bool, numbers, text, bytes, list, tuple, dict, set.

    Text of Python 2 is read as Latin-1, which never fails.

    Args:
        path: The file.
        source: Where a good copy comes from, for the message.

    Raises:
        DataError: The file is missing, truncated, no pickle, or holds code; nothing of it is run.
    """
    try:
        with path.open("rb") as file:
            return _PlainUnpickler(file, encoding="latin1").load()
    except FileNotFoundError:
        raise DataError(f"{path} is missing; source: {source}") from None
    except _HoldsCode as error:
        raise DataError(
            f"{path} holds code ({error}), which a data file has no use for; refused, nothing was "
            f"run; source of a plain copy: {source}"
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except Exception as error:  # a damaged stream can make the unpickler raise almost anything
        raise DataError(
            f"{path} is truncated or no pickle ({type(error).__name__}: {error}); source: {source}"
        ) from None
