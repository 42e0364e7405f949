"""Downloads from a server that drops connections, lies about ranges, and changes its files."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from data_server import DataServer, serving

from fgvp_eval.data.fetching.downloads import DownloadError, Patience, UnknownHostError, download
from fgvp_eval.data.fetching.mirrors import Checksum

BODY = bytes(range(256)) * 1200  # 300 kB: several blocks
NAME = "/refcoco+/refs(unc).p"
QUOTED = "/refcoco%2B/refs%28unc%29.p"
QUICK = Patience(attempts=3, first_wait=0.01, longest_wait=0.02, timeout=5)
RIGHT = Checksum(hashlib.sha256(BODY).hexdigest(), hashlib.md5(BODY).hexdigest())


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[DataServer]:
    monkeypatch.setenv("no_proxy", "*")
    with serving() as state:
        state.files[NAME] = BODY
        yield state


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "refcoco+" / "refs(unc).p"


def leave_partial(server: DataServer, target: Path, kept: int) -> Path:
    """Leave what a killed download leaves: the first bytes, and a note of whose they are."""
    partial = target.with_name(f"{target.name}.partial")
    partial.parent.mkdir(parents=True)
    partial.write_bytes(BODY[:kept])
    tag = f'"{hashlib.md5(BODY).hexdigest()}"'
    notes = {"url": server.url + QUOTED, "validator": tag}
    partial.with_name(f"{partial.name}.json").write_text(json.dumps(notes))
    return partial


def only_the_file(target: Path) -> None:
    assert target.read_bytes() == BODY
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_file_appears_whole(server: DataServer, target: Path) -> None:
    counted: list[int] = []
    download(server.url + QUOTED, target, checksum=RIGHT, patience=QUICK, on_bytes=counted.append)
    only_the_file(target)
    assert sum(counted) == len(BODY)


def test_dropped_connections_go_on_where_they_ended(server: DataServer, target: Path) -> None:
    server.drops[NAME] = 6  # more than the attempts, each of which brings something new
    download(server.url + QUOTED, target, checksum=RIGHT, patience=QUICK)
    only_the_file(target)
    starts = [asked for _, asked in server.requests]
    assert starts[:3] == [None, f"bytes={len(BODY) // 2}-", f"bytes={len(BODY) // 4 * 3}-"]


def test_killed_download_is_resumed(server: DataServer, target: Path) -> None:
    leave_partial(server, target, 1000)
    download(server.url + QUOTED, target, checksum=RIGHT, patience=QUICK)
    only_the_file(target)
    assert server.requests == [(QUOTED, "bytes=1000-")]


def test_file_that_changed_meanwhile_is_not_mixed(server: DataServer, target: Path) -> None:
    leave_partial(server, target, 1000)
    server.files[NAME] = BODY[::-1]
    download(server.url + QUOTED, target, patience=QUICK)
    assert target.read_bytes() == BODY[::-1]


def test_bytes_of_another_address_are_not_gone_on_from(server: DataServer, target: Path) -> None:
    partial = leave_partial(server, target, 1000)
    partial.with_name(f"{partial.name}.json").write_text('{"url": "http://x", "validator": null}')
    download(server.url + QUOTED, target, patience=QUICK)
    only_the_file(target)
    assert server.requests == [(QUOTED, None)]


def test_resets_go_on_from_what_had_come(server: DataServer, target: Path) -> None:
    server.files[NAME] = BODY[:90_000]  # a third of it is less than a block
    server.resets[NAME] = 4
    download(server.url + QUOTED, target, patience=QUICK)
    assert target.read_bytes() == BODY[:90_000]
    starts = [asked for _, asked in server.requests]
    assert starts[:3] == [None, "bytes=30000-", "bytes=50000-"]


@pytest.mark.parametrize(("moved", "named"), [(7, True), (0, False)])
def test_wrong_ranges_have_an_end(
    server: DataServer, target: Path, moved: int, named: bool
) -> None:
    server.moved, server.named_ranges = moved, named
    server.drops[NAME] = 100  # each whole answer ends after its half, each range is a wrong one
    with pytest.raises(DownloadError, match=r"another range|the connection ended"):
        download(server.url + QUOTED, target, patience=QUICK)
    assert len(server.requests) < 10


def test_halves_of_two_versions_are_not_joined(server: DataServer, target: Path) -> None:
    server.tags = False  # and no Last-Modified: nothing would show that the file has changed
    server.drops[NAME] = 1
    versions = iter([BODY[::-1]])

    def change(count: int) -> None:
        server.files[NAME] = next(versions, server.files[NAME])

    download(server.url + QUOTED, target, patience=QUICK, on_bytes=change)
    assert target.read_bytes() == BODY[::-1]


@pytest.mark.parametrize("length", ["abc", "", "1e3", "-5", "²", None])
def test_lengths_that_are_none(server: DataServer, target: Path, length: str | None) -> None:
    server.length = length
    server.ranges = False
    download(server.url + QUOTED, target, checksum=RIGHT, patience=QUICK)
    only_the_file(target)


@pytest.mark.parametrize("address", ["http://[::1", "http://127.0.0.1:port/x", "http://a b/c"])
def test_sent_on_to_no_address(server: DataServer, target: Path, address: str) -> None:
    server.moved_to[NAME] = address
    with pytest.raises(DownloadError, match=r"refs%28unc%29\.p: "):
        download(server.url + QUOTED, target, patience=QUICK)


def test_unknown_hosts_are_asked_once(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    asked: list[str] = []

    def no_host(host: str, *_: object, **__: object) -> None:
        asked.append(host)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_host)
    with pytest.raises(
        UnknownHostError, match=r"^http://host\.example/x: there is no host\.example"
    ):
        download("http://host.example/x", target)
    assert asked == ["host.example"]


def test_server_without_ranges(server: DataServer, target: Path) -> None:
    leave_partial(server, target, 1000)
    server.ranges = False
    download(server.url + QUOTED, target, checksum=RIGHT, patience=QUICK)
    only_the_file(target)


def test_complete_partial_needs_no_more_bytes(server: DataServer, target: Path) -> None:
    leave_partial(server, target, len(BODY))
    download(server.url + QUOTED, target, checksum=RIGHT, patience=QUICK)
    only_the_file(target)


def test_damaged_partial_is_started_over(server: DataServer, target: Path) -> None:
    partial = leave_partial(server, target, 1000)
    partial.write_bytes(b"x" * 1000)
    download(server.url + QUOTED, target, checksum=RIGHT, patience=QUICK)
    only_the_file(target)
    assert [asked for _, asked in server.requests] == ["bytes=1000-", None]


def test_wrong_range_is_not_taken(server: DataServer, target: Path) -> None:
    leave_partial(server, target, 1000)
    server.moved = 7
    download(server.url + QUOTED, target, checksum=RIGHT, patience=QUICK)
    only_the_file(target)


@pytest.mark.parametrize(
    "wrong", [Checksum(sha256="02ac4edb22c2"), Checksum(md5="0" * 32)], ids=["sha256", "md5"]
)
def test_wrong_checksum_leaves_nothing(server: DataServer, target: Path, wrong: Checksum) -> None:
    with pytest.raises(DownloadError, match=r"refs%28unc%29\.p: its (sha256|md5) is .* expected"):
        download(server.url + QUOTED, target, checksum=wrong, patience=QUICK)
    assert list(target.parent.iterdir()) == []


def test_checksum_known_by_its_beginning(server: DataServer, target: Path) -> None:
    download(server.url + QUOTED, target, checksum=Checksum(RIGHT.sha256[:12]), patience=QUICK)
    only_the_file(target)


def test_server_errors_are_tried_again(server: DataServer, target: Path) -> None:
    server.errors[NAME] = [503, 429]
    download(server.url + QUOTED, target, patience=QUICK)
    only_the_file(target)
    assert len(server.requests) == 3


def test_errors_without_end_are_given_up(server: DataServer, target: Path) -> None:
    server.errors[NAME] = [500] * 9
    with pytest.raises(DownloadError, match=r"refs%28unc%29\.p: HTTP 500"):
        download(server.url + QUOTED, target, patience=QUICK)
    assert len(server.requests) == 3


def test_missing_file_is_not_tried_again(server: DataServer, target: Path) -> None:
    with pytest.raises(DownloadError, match="/nothing: HTTP 404"):
        download(f"{server.url}/nothing", target, patience=QUICK)
    assert len(server.requests) == 1


def test_server_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:9/x: ConnectionRefusedError"):
        download("http://127.0.0.1:9/x", tmp_path / "x", patience=QUICK)


def test_stop_ends_a_long_wait(server: DataServer, target: Path) -> None:
    server.errors[NAME] = [503]
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    patience = Patience(attempts=3, first_wait=600, longest_wait=600)
    start = time.monotonic()
    with pytest.raises(DownloadError, match="stopped"):
        download(server.url + QUOTED, target, patience=patience, stop=stop)
    assert time.monotonic() - start < 10


def test_content_that_is_refused(server: DataServer, target: Path) -> None:
    with pytest.raises(DownloadError, match="no good"):
        download(server.url + QUOTED, target, patience=QUICK, check=lambda path: "no good")
    assert not target.exists()


def test_parallel_downloads(server: DataServer, tmp_path: Path) -> None:
    threads = [
        threading.Thread(
            target=download,
            args=(server.url + QUOTED, tmp_path / str(k)),
            kwargs={"checksum": RIGHT},
        )
        for k in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {path.read_bytes() == BODY for path in tmp_path.iterdir()} == {True}
    assert len(list(tmp_path.iterdir())) == 8
