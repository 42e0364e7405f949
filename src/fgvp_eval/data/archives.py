"""Taking single files out of zip and tar archives, to places that the archive has no say in."""

from __future__ import annotations

import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from fgvp_eval.errors import DataError

# Annotation files are below a gigabyte; a member that claims far more is no annotation file.
_LARGEST_MEMBER = 8 << 30
_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
)


def extract(archive: Path, targets: Mapping[str, Path]) -> set[str]:
    """Take files out of an archive; each target appears in one step.

    Args:
        archive: A zip archive, or a tar archive of any compression.
        targets: Where each wanted file goes, by its name in the archive. Folders in the archive
            do not count, and its paths are never used as paths. Of files of equal name the one
            that lies highest is taken.

    Returns:
        The names that were found.

    Raises:
        DataError: The archive is damaged, or is none.
    """
    try:
        if zipfile.is_zipfile(archive):
            return _from_zip(archive, targets)
        return _from_tar(archive, targets)
    except _BROKEN as error:
        kind = type(error).__name__
        raise DataError(f"{archive} is truncated or no archive ({kind}: {error})") from None


def _from_zip(archive: Path, targets: Mapping[str, Path]) -> set[str]:
    with zipfile.ZipFile(archive) as file:
        chosen: dict[str, zipfile.ZipInfo] = {}
        for info in file.infolist():
            name = _wanted_name(info.filename, targets)
            if name is not None and not info.is_dir() and _is_higher(info, chosen.get(name)):
                chosen[name] = info
        for name, info in chosen.items():
            with file.open(info) as stream, _appearing(targets[name], info.file_size) as target:
                shutil.copyfileobj(stream, target, 1 << 20)
    return set(chosen)


def _from_tar(archive: Path, targets: Mapping[str, Path]) -> set[str]:
    """Take files in one pass, since going back in a compressed tar means reading it again."""
    depth: dict[str, int] = {}
    with tarfile.open(archive, "r:*") as file:
        for member in file:
            name = _wanted_name(member.name, targets)
            if name is None or not member.isreg():  # links could point anywhere
                continue
            level = member.name.count("/")
            stream = file.extractfile(member)
            if stream is None or level >= depth.get(name, level + 1):
                continue
            with stream, _appearing(targets[name], member.size) as target:
                shutil.copyfileobj(stream, target, 1 << 20)
            depth[name] = level
    return set(depth)


def _wanted_name(path: str, targets: Mapping[str, Path]) -> str | None:
    parts = PurePosixPath(path).parts
    # macOS puts a file of metadata of the same name beside each file.
    if not parts or "__MACOSX" in parts or parts[-1] not in targets:
        return None
    return parts[-1]


def _is_higher(info: zipfile.ZipInfo, rival: zipfile.ZipInfo | None) -> bool:
    return rival is None or info.filename.count("/") < rival.filename.count("/")


@contextmanager
def _appearing(target: Path, size: int) -> Iterator[IO[bytes]]:
    """Open a file beside ``target`` that takes its place if the block ends well."""
    if size > _LARGEST_MEMBER:
        raise DataError(f"{target.name} would unpack to {size} bytes; refused")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.unpacking")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
