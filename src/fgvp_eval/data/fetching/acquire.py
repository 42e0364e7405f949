"""Getting the files of a split: annotations first, then only the images that those name."""

from __future__ import annotations

import functools
import logging
import shutil
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from fgvp_eval.data.fetching.archives import extract
from fgvp_eval.data.fetching.downloads import DownloadError, Patience, UnknownHostError, download
from fgvp_eval.data.fetching.inventory import (
    annotation_ways,
    is_there,
    optional_pieces,
    read_contents,
)
from fgvp_eval.data.fetching.mirrors import (
    Checksum,
    Piece,
    Source,
    image_piece,
    rebase,
    weights_piece,
)
from fgvp_eval.data.fetching.opening import whats_wrong
from fgvp_eval.errors import DataError
from fgvp_eval.machine.progress import Progress
from fgvp_eval.options.splits import Split

_LOG = logging.getLogger(__name__)
_ARCHIVES = ".downloads"  # under the data root, for archives until they are unpacked
# So many images in a row that cannot be had mean a server that is down, not images that are gone.
_FAILURES_IN_A_ROW = 8


@dataclass(frozen=True)
class Acquirer:
    """Gets files into a data root.

    Attributes:
        root: The data root.
        base_url: A server to ask instead of those of the table.
        jobs: Images downloaded at the same time, >= 1.
        patience: How long to keep trying.
        check: Hold files against the known checksums.
        keep_archives: Leave archives in place once they are unpacked.
    """

    root: Path
    base_url: str | None = None
    jobs: int = 8
    patience: Patience = field(default_factory=Patience)
    check: bool = True
    keep_archives: bool = False
    _unknown_hosts: set[str | None] = field(default_factory=set, repr=False)

    def split(self, split: Split, *, images: bool = True) -> list[str]:
        """Get a split.

        Args:
            split: Which one.
            images: Get its images, too.

        Returns:
            What could not be had, a line each; empty if all of it is there.

        Raises:
            DataError: The annotations on disk are broken.
        """
        if split.is_demo:
            _LOG.info("%s: nothing to get, the demo is made on first use", split.name)
            return []
        failures = self._annotations(split)
        if failures:
            return failures
        for piece in optional_pieces(split):
            for failure in self._missing([piece]):
                _LOG.warning(
                    "WARNING: %s cannot be had; runs with --proposals detections need it", failure
                )
        if not images:
            return []
        contents = read_contents(self.root, split)
        if contents.published is not None and contents.found != contents.published:
            _LOG.warning("WARNING: %s: counts differ from the published; see verify", split.name)
        return self._images(split.name, contents.missing)

    def weights(self, name: str) -> list[str]:
        """Get a SAM checkpoint; returns what could not be had."""
        return self._missing([weights_piece(name)])

    def _annotations(self, split: Split) -> list[str]:
        ways = annotation_ways(split)
        if any(all(is_there(self.root, piece) for piece in way) for way in ways):
            return []
        failures: list[str] = []
        for way in ways:
            failed = self._missing(way)
            if not failed:
                return []
            failures += failed
        return failures

    def _missing(self, pieces: Iterable[Piece]) -> list[str]:
        """Get those of ``pieces`` that are not there; returns what could not be had."""
        failures = []
        for piece in pieces:
            if not is_there(self.root, piece):
                try:
                    self._obtain(piece)
                except DownloadError as error:
                    failures.append(f"{piece.path}: {error}")
        return failures

    def _obtain(
        self,
        piece: Piece,
        images: Progress | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        """Get one file from the first of its addresses that has it.

        Raises:
            DownloadError: None has it; the message tells what each of them said.
        """
        wanted = piece if self.base_url is None else rebase(piece, self.base_url)
        said = []
        for source in wanted.sources:
            host = urlsplit(source.url).hostname
            if host in self._unknown_hosts:
                said.append(f"{source.url}: there is no {host}, or no network")
                continue
            try:
                if source.members is None:
                    self._fetch(source, self.root / piece.path, images, stop)
                    return
                if piece.path in self._unpack(source):
                    return
                said.append(f"{source.url}: the archive does not hold it")
            except (DownloadError, DataError) as error:
                said.append(str(error))
                if isinstance(error, UnknownHostError):
                    self._unknown_hosts.add(host)
        raise DownloadError("; ".join(said))

    def _fetch(
        self,
        source: Source,
        target: Path,
        images: Progress | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        """Download to ``target``; an image's bytes count towards the progress of all images."""
        get = functools.partial(
            download,
            source.url,
            target,
            checksum=source.checksum if self.check else Checksum(),
            patience=self.patience,
            check=lambda path: whats_wrong(path, target.name),
            stop=stop,
        )
        if images is not None:
            get(on_bytes=images.add_bytes)
            return
        with Progress(source.file_name, None, "byte") as progress:
            get(on_size=progress.expect, on_bytes=progress.add)

    def _unpack(self, source: Source) -> set[str]:
        """Get an archive and take out all of its files that the data root lacks.

        Returns:
            The paths that were taken out.
        """
        archive = self.root / _ARCHIVES / source.file_name
        if not archive.is_file():
            _LOG.info("getting %s", source.url)
            self._fetch(source, archive)
        lacking = {
            member: self.root / path
            for member, path in (source.members or {}).items()
            if not (self.root / path).is_file()
        }
        try:
            found = extract(archive, lacking, whats_wrong)
        except DataError:
            archive.unlink()  # or the next attempt would find it and fail the same way
            raise
        if not self.keep_archives:
            archive.unlink()
            if not any(archive.parent.iterdir()):
                shutil.rmtree(archive.parent)
        return {lacking[member].relative_to(self.root).as_posix() for member in found}

    def _images(self, name: str, names: Sequence[str]) -> list[str]:
        """Get images, several at a time; returns those that could not be had."""
        if not names:
            return []
        _LOG.info("%s: getting %d images", name, len(names))
        failures: list[str] = []
        in_a_row = 0
        give_up = threading.Event()

        def one(image: str) -> str | None:
            if give_up.is_set():
                return f"{image}: not tried"
            try:
                self._obtain(image_piece(image), progress, give_up)
            except DownloadError as error:
                return f"{image}: {error}"
            progress.add()
            return None

        pool = ThreadPoolExecutor(self.jobs)
        with Progress(name, len(names), "image") as progress:
            try:
                for failure in pool.map(one, names):
                    in_a_row = 0 if failure is None else in_a_row + 1
                    if failure is not None:
                        failures.append(failure)
                    if in_a_row == _FAILURES_IN_A_ROW and not give_up.is_set():
                        _LOG.warning("%d images in a row cannot be had; giving up", in_a_row)
                        give_up.set()
            finally:
                give_up.set()  # Ctrl-C: those not begun are not begun
                pool.shutdown(cancel_futures=True)
        return failures
