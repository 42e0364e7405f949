"""Downloading of one file over HTTP: resumed, retried, checked, and complete or not there."""

from __future__ import annotations

import json
import logging
import os
import random
import re
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from fgvp_eval.data.data_files import file_digest
from fgvp_eval.data.fetching.mirrors import Checksum

_LOG = logging.getLogger(__name__)
_BLOCK = 1 << 16
_NUMBER = re.compile("[0-9]{1,18}")
_WORTH_ANOTHER_TRY = (408, 425, 429, 500, 502, 503, 504)


class DownloadError(Exception):
    """An address does not give the file; the message is one line that begins with the address."""


class UnknownHostError(DownloadError):
    """The host of an address has none itself, which another attempt would not change."""


@dataclass(frozen=True)
class Patience:
    """How long to keep trying.

    Attributes:
        attempts: Attempts in a row that may bring nothing new before an address is given up, >= 1.
        first_wait: Seconds before the second attempt; doubled for each one after it.
        longest_wait: Bound of a wait, also of one that the server asks for.
        timeout: Seconds without a byte after which a connection counts as dead.
    """

    attempts: int = 5
    first_wait: float = 1.0
    longest_wait: float = 60.0
    timeout: float = 30.0


_NOTHING_KNOWN = Checksum()
_DEFAULT_PATIENCE = Patience()


class _Dropped(Exception):
    """An attempt failed in a way that another one may not."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


def download(
    url: str,
    target: Path,
    *,
    checksum: Checksum = _NOTHING_KNOWN,
    patience: Patience = _DEFAULT_PATIENCE,
    check: Callable[[Path], str | None] | None = None,
    on_size: Callable[[int | None, int], None] = lambda total, done: None,
    on_bytes: Callable[[int], None] = lambda count: None,
    stop: threading.Event | None = None,
) -> None:
    """Download a file; ``target`` appears in one step, once the file is complete and right.

    Until then its bytes are in ``TARGET.partial``, from where the next call goes on if the server
    still has the same version of the file.

    Args:
        url: Address, http or https, percent-encoded.
        target: File to write; its folder is made.
        checksum: What is known of the file.
        patience: How long to keep trying.
        check: Looks at the finished file and returns what is wrong with it, or None. Without it
            and without a checksum, a file counts as complete when the server says so.
        on_size: Told, whenever the server begins to send, the bytes of the whole file (None if it
            does not say) and how many of them are there already.
        on_bytes: Told the number of bytes of each block that arrives.
        stop: Once it is set, no further attempt is made, and a wait for one ends.

    Raises:
        DownloadError: The address does not give the file, or gives another one.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.partial")
    failures = most = 0
    stop = stop or threading.Event()
    while True:
        if stop.is_set():
            raise DownloadError(f"{url}: stopped")
        most = max(most, _size(partial))
        try:
            resumed = _fetch(url, partial, checksum, patience.timeout, on_size, on_bytes)
        except _Dropped as dropped:
            # Whoever gets further than ever before may go on: a bad line needs many attempts for a
            # large file. Getting again what was thrown away is no progress.
            failures = 0 if _size(partial) > most else failures + 1
            if failures >= patience.attempts:
                raise DownloadError(f"{url}: {dropped}") from None
            _wait(url, dropped, failures, patience, stop)
            continue
        wrong = mismatch(partial, checksum) or (check(partial) if check else None)
        if wrong is None:
            partial.replace(target)
            _notes(partial).unlink(missing_ok=True)
            return
        _discard(partial)
        if not resumed:
            raise DownloadError(f"{url}: {wrong}")
        _LOG.warning("%s: %s; starting from its beginning", url, wrong)


def mismatch(path: Path, checksum: Checksum) -> str | None:
    """Return how a file differs from what is known of it, or None if it does not."""
    for name, expected in (("sha256", checksum.sha256), ("md5", checksum.md5)):
        if expected:
            digest = file_digest(path, name)
            if not digest.startswith(expected):
                return f"its {name} is {digest}, expected {expected}"
    return None


def _fetch(
    url: str,
    partial: Path,
    checksum: Checksum,
    timeout: float,
    on_size: Callable[[int | None, int], None],
    on_bytes: Callable[[int], None],
) -> bool:
    """Make one attempt and return whether it went on from bytes of an earlier one."""
    start, validator = _resume_point(url, partial)
    if not validator and not (checksum.sha256 or checksum.md5):
        start = 0  # nothing would show that the rest is of another version
    headers = {"User-Agent": "fgvp-eval", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if validator:
            headers["If-Range"] = validator
    try:
        with urlopen(Request(url, headers=headers), timeout=timeout) as response:
            if response.status == 200 or _range_start(response) != start:
                start = 0  # the server sends all of it: it has no ranges, or another version
            if response.status == 206 and start == 0:
                _discard(partial)
                raise _Dropped("the server sent another range than the one asked for")
            length = response.headers.get("Content-Length", "")
            end = start + int(length) if _NUMBER.fullmatch(length) else None
            _note(url, partial, response)
            on_size(end, start)
            _receive(response, partial, start, on_bytes)
    except HTTPError as error:
        _give_up_or_retry(url, partial, start, error)
        return True
    except (URLError, HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, socket.gaierror):
            host = urlsplit(url).hostname
            raise UnknownHostError(f"{url}: there is no {host}, or no network") from None
        raise _Dropped(f"{type(reason).__name__}: {reason}") from None
    except ValueError as error:  # an address that is none, also one that a server sent us to
        raise DownloadError(f"{url}: {error}") from None
    if end is not None and _size(partial) < end:
        raise _Dropped(f"the connection ended after {_size(partial)} of {end} bytes")
    return start > 0


def _receive(
    response: HTTPResponse, partial: Path, start: int, on_bytes: Callable[[int], None]
) -> None:
    with partial.open("r+b" if start else "wb") as file:
        file.seek(start)
        file.truncate()
        while block := response.read1(_BLOCK):  # what has come, so that a reset loses nothing
            file.write(block)
            on_bytes(len(block))
        file.flush()
        os.fsync(file.fileno())


def _give_up_or_retry(url: str, partial: Path, start: int, error: HTTPError) -> None:
    """Return if the file turns out to be complete already; else raise what the answer calls for."""
    if error.code == 416:
        if start and error.headers.get("Content-Range") == f"bytes */{start}":
            return
        _discard(partial)
        raise _Dropped("the server has fewer bytes than were kept")
    if error.code in _WORTH_ANOTHER_TRY:
        asked = error.headers.get("Retry-After", "")
        raise _Dropped(f"HTTP {error.code}", float(asked) if asked.isdigit() else None)
    raise DownloadError(f"{url}: HTTP {error.code} {error.reason}")


def _range_start(response: HTTPResponse) -> int | None:
    """Return where a partial answer starts, ``bytes 100-199/200``."""
    unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
    first = rest.partition("-")[0]
    return int(first) if unit == "bytes" and first.isdigit() else None


def _wait(
    url: str, dropped: _Dropped, failures: int, patience: Patience, stop: threading.Event
) -> None:
    # Jitter keeps parallel downloads from coming back in step.
    doubled = patience.first_wait * 2 ** max(failures - 1, 0) * random.uniform(0.75, 1.25)
    seconds = min(dropped.wait if dropped.wait is not None else doubled, patience.longest_wait)
    _LOG.warning("%s: %s; again in %.1f s", url, dropped, seconds)
    stop.wait(seconds)


def _notes(partial: Path) -> Path:
    """Return the file that says whose first bytes ``partial`` holds."""
    return partial.with_name(f"{partial.name}.json")


def _note(url: str, partial: Path, response: HTTPResponse) -> None:
    tag = response.headers.get("ETag", "")
    # A weak tag does not promise equal bytes, so If-Range must not carry it.
    validator = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")
    _notes(partial).write_text(json.dumps({"url": url, "validator": validator}))


def _resume_point(url: str, partial: Path) -> tuple[int, str | None]:
    try:
        notes: Any = json.loads(_notes(partial).read_text())
        if notes["url"] == url:
            return _size(partial), notes["validator"]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # bytes of unknown origin are not gone on from
    return 0, None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _discard(partial: Path) -> None:
    partial.unlink(missing_ok=True)
    _notes(partial).unlink(missing_ok=True)
