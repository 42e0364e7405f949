"""Files that appear whole or not at all, and what is said where a disk does not take them."""

from __future__ import annotations

import errno
import io
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fgvp_eval.errors import StorageError, UsageError

if TYPE_CHECKING:
    from PIL import Image

# What makes a path one at which nothing can be, whatever the disk.
_NO_PLACE = {
    *(errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EISDIR),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL),
}


@contextmanager
def storing(path: Path | str) -> Iterator[None]:
    """Turn the ``OSError`` of a disk that is full, read-only or broken into one line.

    Args:
        path: What is being written, for the message.

    Raises:
        StorageError: In the place of the ``OSError``.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {_reason(error)}") from None


def write_whole(path: Path, chunks: Iterable[str | bytes]) -> None:
    """Write a file that replaces its predecessor in one step, once all of it is on the disk.

    Args:
        path: The file; its folder exists.
        chunks: Bytes, or text that is written as UTF-8. A lone surrogate, which stands for a byte
            of a file name that is no text, becomes ``\\udcXX``: in JSON that is its escape.

    Raises:
        StorageError: The disk is full, read-only or broken; the predecessor is as it was.
    """
    partial = path.with_name(f".{path.name[:200]}.{uuid.uuid4().hex[:12]}")
    with storing(path):
        try:
            with partial.open("wb") as file:
                for chunk in chunks:
                    file.write(chunk if isinstance(chunk, bytes) else utf8(chunk))
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            with suppress(OSError):
                partial.unlink()
            raise


def encoded(picture: Image.Image, picture_format: str) -> bytes:
    """Return a picture as the bytes of its file.

    Args:
        picture: The picture.
        picture_format: As Pillow names it.
    """
    content = io.BytesIO()
    picture.save(content, picture_format)
    return content.getvalue()


def make_folder(path: Path, option: str = "--out") -> None:
    """Make the folder that an option names, unless it is there.

    Raises:
        UsageError: No folder can be at that path.
        StorageError: The disk is full, read-only or broken.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        kind = UsageError if error.errno in _NO_PLACE else StorageError
        raise kind(f"{option} {path} cannot be made: {_reason(error)}") from None


def utf8(text: str) -> bytes:
    """Return text as UTF-8, lone surrogates escaped as JSON does it."""
    return text.encode("utf-8", "backslashreplace")


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
