"""The journal of a run: finished images, appended to files that survive a kill at any moment.

Each process has a file of its own in the run folder, ``journal.jsonl`` or
``journal.RANK-of-WORLD.jsonl``. The first line says which run it belongs to; each further line
holds one finished image. A line counts once its newline is on the disk, so a torn last line is an
image that was not finished. A run reads the files of every earlier start, whatever the number of
processes was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Generic, Protocol

from typing_extensions import TypeVar

from fgvp_eval.errors import DataError, UsageError
from fgvp_eval.records import Prediction, Unscored
from fgvp_eval.run_identity import differences

_FORMAT = 1


class Record(Protocol):
    """One result among those of an image."""

    def record(self) -> dict[str, Any]:
        """Return all of it, as JSON can hold it."""

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Any:
        """Return the result that :meth:`record` was called on."""


# The plain name ``ImageOutcome`` means ``ImageOutcome[Prediction]``, and so with the others.
Result = TypeVar("Result", bound=Record, default=Prediction)


@dataclass(frozen=True)
class ImageOutcome(Generic[Result]):
    """What came out of one image.

    Attributes:
        split: Name of the split.
        index: Number of the image in the split.
        rows: Results by label: of sentences, the predictions for each row of the result table; of
            parts, the scored objects under each condition. What could not be scored is not in it.
        unscored: The sentences or parts that could not be scored.
        seconds: Seconds spent on it by stage.
        together: How many images were encoded together, this one among them; 0 if it could not be
            scored.
    """

    split: str
    index: int
    rows: dict[str, list[Result]]
    unscored: list[Unscored]
    seconds: dict[str, float]
    together: int = 1


Outcomes = dict[tuple[str, int], ImageOutcome[Result]]


class Journal:
    """The file that this process appends to. Use it in a ``with`` block.

    Args:
        path: The file; see :func:`journal_path`.
        identity: Tells this run from others; see :func:`run_identity.run_identity`.

    Raises:
        UsageError: Another run is writing the same file.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self._file = path.open("a+b")
        try:
            _lock(self._file, path)
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
        self._append(record)

    def _append(self, record: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
        self._file.flush()
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
        DataError: A line other than the last is broken.
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
    *lines, _torn = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            if number == 1:
                _check_header(record, identity, path)
            else:
                yield _outcome(record, result_type)
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{path}: line {number} is broken ({type(error).__name__}: {error}); "
                "--no-resume starts the run anew"
            ) from None


def _check_header(header: Mapping[str, Any], identity: Mapping[str, Any], path: Path) -> None:
    if header["journal"] != _FORMAT:
        raise ValueError(f"journal format {header['journal']}, this version has {_FORMAT}")
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


def _sync_folder(folder: Path) -> None:
    """Bring the new file's name to the disk as well."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
