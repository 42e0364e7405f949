"""Taking single files out of zip and tar archives, to places that the archive has no say in."""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from fgvp_eval.errors import DataError

# Annotation files are far below a gigabyte; a member that claims more is none. The sizes of an
# archive's index are also the most that is unpacked.
_LARGEST_MEMBER = 1 << 30
_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
)
_Check = Callable[[Path, str], str | None]


def extract(
    archive: Path,
    targets: Mapping[str, Path],
    check: _Check = lambda path, name: None,
) -> set[str]:
    """Take files out of an archive; each target appears in one step.

    Args:
        archive: A zip archive, or a tar archive of any compression.
        targets: Where each wanted file goes, by its name in the archive. Folders in the archive
            do not count, and its paths are never used as paths. Of files of equal name the one
            that lies highest is taken.
        check: Looks at a file that was taken out, and returns what is wrong with it, or None; its
            second argument is the name that the file will have.

    Returns:
        The names that were found.

    Raises:
        DataError: The archive is damaged, or is none, or holds a file that is wrong.
    """
    try:
        if zipfile.is_zipfile(archive):
            return _from_zip(archive, targets, check)
        return _from_tar(archive, targets, check)
    except _BROKEN as error:
        kind = type(error).__name__
        raise DataError(f"{archive} is truncated or no archive ({kind}: {error})") from None


def _from_zip(archive: Path, targets: Mapping[str, Path], check: _Check) -> set[str]:
    with zipfile.ZipFile(archive) as file:
        chosen: dict[str, zipfile.ZipInfo] = {}
        for info in file.infolist():
            name = _wanted_name(info.filename, targets)
            plain = not info.is_dir() and not stat.S_ISLNK(info.external_attr >> 16)
            if name is not None and plain and _is_higher(info, chosen.get(name)):
                chosen[name] = info
        for name, info in chosen.items():
            place = _appearing(targets[name], info.file_size, check)
            with file.open(info) as stream, place as target:
                shutil.copyfileobj(stream, target, 1 << 20)
    return set(chosen)


def _from_tar(archive: Path, targets: Mapping[str, Path], check: _Check) -> set[str]:
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
            with stream, _appearing(targets[name], member.size, check) as target:
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
def _appearing(target: Path, size: int, check: _Check) -> Iterator[IO[bytes]]:
    """Open a file beside ``target`` that takes its place if the block ends well and it is right."""
    if size > _LARGEST_MEMBER:
        raise DataError(f"{target.name} would unpack to {size} bytes; refused")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.unpacking")
    try:
        with partial.open("wb") as file:
            yield file
        wrong = check(partial, target.name)
        if wrong is not None:
            raise DataError(f"{target.name} of the archive: {wrong}")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
