"""The journal of a run: finished images, appended to files that survive a kill at any moment.

Each process has a file of its own in the run folder, ``journal.jsonl`` or
``journal.RANK-of-WORLD.jsonl``. The first line says which run it belongs to; each further line
holds one finished image. Each ends with the SHA-256 of what stands before it. A line counts once
its newline is on the disk, so a torn last line is an image that was not finished; and a line that
has changed since is left out, so that its image is done again. A run reads the files of every
earlier start, whatever the number of processes was.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from fgvp_eval.data.records import Unscored
from fgvp_eval.errors import DataError, EvalError, UsageError
from fgvp_eval.machine.whole_files import storing, utf8
from fgvp_eval.runs.run_identity import differences
from fgvp_eval.tasks.task import ImageOutcome, Outcomes, Result

_LOG = logging.getLogger(__name__)

_FORMAT = 2  # 1 had no checksums
_SEAL = b', "sha256": '


class Journal:
    """The file that this process appends to. Use it in a ``with`` block.

    Args:
        path: The file; see :func:`journal_path`.
        identity: Tells this run from others; see :func:`run_identity.run_identity`.

    Raises:
        UsageError: Another run is writing the same file.
        StorageError: The disk is full, read-only or broken; so do all that write.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self._path = path
        with storing(path):
            # Without a buffer, whose rest would be written again when a full disk ends the run.
            self._file = path.open("a+b", buffering=0)
        try:
            _lock(self._file, path)
            if not _is_at(path, self._file):
                raise UsageError(f"{path} was removed by another run; choose another --out")
            with storing(path):
                self._drop_torn_line()
                if self._file.seek(0, os.SEEK_END) == 0:
                    self._append({"journal": _FORMAT, "identity": identity})
                    _sync_folder(path.parent)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, outcome: ImageOutcome[Any]) -> None:
        """Append an image; it is on the disk when this returns."""
        record = {
            "split": outcome.split,
            "index": outcome.index,
            "rows": {
                label: [result.record() for result in results]
                for label, results in outcome.rows.items()
            },
            "unscored": [vars(unscored) for unscored in outcome.unscored],
            "seconds": outcome.seconds,
            "together": outcome.together,
        }
        with storing(self._path):
            self._append(record)

    def _append(self, record: Mapping[str, Any]) -> None:
        left = memoryview(_sealed(record))
        while left:
            left = left[self._file.write(left) :]
        os.fsync(self._file.fileno())

    def _drop_torn_line(self) -> None:
        self._file.seek(0)
        content = self._file.read()
        self._file.truncate(content.rfind(b"\n") + 1)


def journal_path(folder: Path, rank: int, world: int) -> Path:
    """Return the journal file of one of ``world`` processes."""
    return folder / ("journal.jsonl" if world == 1 else f"journal.{rank}-of-{world}.jsonl")


def journal_files(folder: Path) -> list[Path]:
    """Return the journal files of every start of a run, in a fixed order."""
    return sorted(path for path in folder.glob("journal*.jsonl") if path.is_file())


def remove_journals(folder: Path) -> None:
    """Remove the journals of every earlier start.

    Raises:
        UsageError: Another run is writing one of them; then none is removed.
        StorageError: The folder is read-only.
    """
    paths = journal_files(folder)
    with ExitStack() as open_files:
        for path in paths:
            with storing(path):
                file = open_files.enter_context(path.open("r+b"))
            _lock(file, path)
        for path in paths:
            with storing(path):
                path.unlink()


def read_journals(
    folder: Path, identity: Mapping[str, Any], result_type: type[Result]
) -> Outcomes[Result]:
    """Read all images that the journals in a run folder hold.

    An image that was scored by one start and not by another is scored. Of several scores those
    of the fullest group count: in the others an image was broken.

    Args:
        folder: The run folder.
        identity: Tells this run from others.
        result_type: What the journals hold.

    Raises:
        UsageError: A journal belongs to another run; the message names what differs.
        DataError: The first line of a journal is broken, or is of another version.
    """
    outcomes: Outcomes[Result] = {}
    for path in journal_files(folder):
        for outcome in _read(path, identity, result_type):
            key = outcome.split, outcome.index
            known = outcomes.get(key)
            if known is None or known.unscored or outcome.together > known.together:
                outcomes[key] = outcome
    return outcomes


def _read(
    path: Path, identity: Mapping[str, Any], result_type: type[Result]
) -> Iterator[ImageOutcome[Result]]:
    try:
        *lines, _torn = path.read_bytes().split(b"\n")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    if lines:
        _check_header(lines[0], identity, path)
    for number, line in enumerate(lines[1:], start=2):
        try:
            yield _outcome(_unsealed(line), result_type)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            _LOG.warning("%s: line %d is left out: %s", path, number, error)


def _sealed(record: Mapping[str, Any]) -> bytes:
    """Return a record as a line of JSON whose last value is the checksum of those before it."""
    content = utf8(json.dumps(record, ensure_ascii=False))[:-1]
    return content + _seal(content) + b"\n"


def _unsealed(line: bytes) -> dict[str, Any]:
    """Return the record of a line.

    Raises:
        ValueError: The line has changed since it was written.
    """
    content, _, _ = line.rpartition(_SEAL)
    if line != content + _seal(content):
        raise ValueError("it is damaged, since its checksum differs")
    record: dict[str, Any] = json.loads(line)
    return record


def _seal(content: bytes) -> bytes:
    return b'%b"%b"}' % (_SEAL, hashlib.sha256(content).hexdigest().encode())


def is_journal_of(path: Path, identity: Mapping[str, Any]) -> bool:
    """Return whether a journal belongs to a run.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        try:
            _check_header(file.readline().removesuffix(b"\n"), identity, path)
        except EvalError:
            return False
    return True


def _check_header(line: bytes, identity: Mapping[str, Any], path: Path) -> None:
    try:
        journal = json.loads(line)["journal"]
        if journal != _FORMAT:
            raise ValueError(f"it is of journal format {journal!r}, this version has {_FORMAT}")
        header = _unsealed(line)
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{path}: line 1 is broken ({type(error).__name__}: {error}); "
            "--no-resume starts the run anew"
        ) from None
    # As it comes back from a file, tuples being lists.
    now = json.loads(json.dumps(identity))
    found = differences(header["identity"], now)
    if found:
        raise UsageError(
            f"{path} is of another run: {'; '.join(found[:3])}"
            f"{f'; and {len(found) - 3} more' if len(found) > 3 else ''}; choose another --out, "
            "or --no-resume to start anew"
        )


def _outcome(record: Mapping[str, Any], result_type: type[Result]) -> ImageOutcome[Result]:
    return ImageOutcome(
        split=record["split"],
        index=record["index"],
        rows={
            label: [result_type.from_record(fields) for fields in results]
            for label, results in record["rows"].items()
        },
        unscored=[Unscored(**fields) for fields in record["unscored"]],
        seconds=record["seconds"],
        together=record["together"],
    )


def _lock(file: IO[bytes], path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # not a POSIX system, which has no such lock
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(f"{path} is being written by another run; choose another --out") from None
    except OSError:  # a network file system without locks
        return


def _is_at(path: Path, file: IO[bytes]) -> bool:
    """Say whether an open file is still the one of that name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    """Bring the new file's name to the disk as well."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
