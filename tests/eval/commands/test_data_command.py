"""``python -m fgvp_eval.data``: what it lists, what it asks a server for, and its exit codes."""

from __future__ import annotations

import io
import json
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from data_server import DataServer, serving

from fgvp_eval.commands.data import main
from fgvp_eval.data.fetching import downloads
from fgvp_eval.data.fetching.mirrors import rebase, reference_pieces, weights_piece
from fgvp_eval.data.fetching.opening import whats_wrong
from fgvp_eval.data.refcoco import read_refcoco
from fgvp_eval.machine import progress
from fgvp_eval.options.splits import SPLITS, Counts

TEST_A = "refcoco+_testA"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[DataServer]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(downloads, "_wait", lambda *_: None)
    with serving() as state:
        yield state


@pytest.fixture
def served(server: DataServer, root: Any) -> DataServer:
    """A server of a data root, with images of other splits beside those that testA needs."""
    root.save(root.detections())
    for path in root.path.rglob("*"):
        if path.is_file():
            server.files[f"/{path.relative_to(root.path).as_posix()}"] = path.read_bytes()
    server.files["/images/train2014/COCO_train2014_000000000001.jpg"] = b"\xff\xd8\xffother"
    return server


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return tmp_path / "new"


@pytest.fixture
def own_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the counts of the test data the published ones."""
    split = SPLITS[TEST_A]
    counts = type(split)(split.name, split.dataset, split.subset, "unc", Counts(6, 3, 12))
    monkeypatch.setitem(SPLITS, TEST_A, counts)


def files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def get(server: DataServer, root: Path, *words: str) -> int:
    return main(["get", TEST_A, "--data-root", str(root), "--base-url", server.url, *words])


IMAGES = [f"images/train2014/COCO_train2014_{image_id:012d}.jpg" for image_id in (7, 42, 391895)]
ANNOTATIONS = ["refcoco+/instances.json", "refcoco+/refs(unc).p"]
DETECTIONS = "detections/refcoco+_dets_dict.json"


def test_get_brings_what_the_split_needs_and_no_more(served: DataServer, new: Path) -> None:
    assert get(served, new) == 0
    assert files(new) == sorted([DETECTIONS, *IMAGES, *ANNOTATIONS])
    raw = [path for path, _ in served.requests]
    assert "/refcoco%2B/refs%28unc%29.p" in raw
    assert len(raw) == len(set(raw)) == 6
    assert len(read_refcoco(new, SPLITS[TEST_A]).images) == 3


def test_get_again_asks_for_nothing(served: DataServer, new: Path) -> None:
    get(served, new)
    served.requests.clear()
    assert get(served, new) == 0
    assert served.requests == []


def test_dropped_images_are_completed(served: DataServer, new: Path) -> None:
    served.drops = {f"/{name}": 2 for name in IMAGES}
    assert get(served, new) == 0
    for name in IMAGES:
        assert (new / name).read_bytes() == served.files[f"/{name}"]


def test_missing_image_is_incomplete_and_can_be_had_later(
    served: DataServer, new: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = served.files.pop(f"/{IMAGES[1]}")
    assert get(served, new) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"not had: {IMAGES[1]}: {served.url}/{IMAGES[1]}: HTTP 404" in captured.err
    assert files(new) == sorted([DETECTIONS, IMAGES[0], IMAGES[2], *ANNOTATIONS])
    served.files[f"/train2014/{Path(IMAGES[1]).name}"] = content  # as COCO's own server has it
    assert get(served, new) == 0


PAGE = b"<html>please log in</html>"


@pytest.mark.parametrize("half", [False, True], ids=["page", "half of it"])
@pytest.mark.parametrize("name", [IMAGES[0], *ANNOTATIONS, DETECTIONS])
def test_nothing_is_there_before_it_was_opened(
    served: DataServer, new: Path, capsys: pytest.CaptureFixture[str], name: str, half: bool
) -> None:
    whole = served.files[f"/{name}"]
    served.files[f"/{name}"] = whole[: len(whole) // 2] if half else PAGE
    assert get(served, new) == (0 if name == DETECTIONS else 3)
    assert f"{name}: {served.url}/" in capsys.readouterr().err
    assert not (new / name).exists()
    served.files[f"/{name}"] = whole
    assert get(served, new) == 0
    assert (new / name).read_bytes() == whole


@pytest.mark.parametrize("length", [None, "100"], ids=["no length", "too short a length"])
def test_lengths_are_not_believed(served: DataServer, new: Path, length: str | None) -> None:
    served.length = length
    if length is None:
        served.drops = {f"/{name}": 1 for name in ANNOTATIONS}
    assert get(served, new) == 3
    assert files(new) == []


def test_page_in_an_archive(served: DataServer, new: Path) -> None:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as file:
        for name in ANNOTATIONS:
            del served.files[f"/{name}"]
            file.writestr(name, PAGE)
    served.files["/refcoco+.zip"] = whole.getvalue()
    assert get(served, new) == 3
    assert files(new) == []


def test_without_a_network_it_ends_at_once(
    new: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def no_host(host: str, *_: object, **__: object) -> None:
        asked.append(host)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(socket, "getaddrinfo", no_host)
    assert main(["get", TEST_A, "--data-root", str(new)]) == 3
    assert len(asked) == len(set(asked))  # each host once
    lines = capsys.readouterr().err.splitlines()
    assert any(
        "not had: refcoco+/refs(unc).p: https://web.archive.org/" in line
        and "there is no web.archive.org, or no network" in line
        for line in lines
    )
    assert "--base-url URL" in lines[-1]
    assert not any("again in" in line for line in lines)


def test_server_that_is_down_is_given_up(
    served: DataServer, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fgvp_eval.data.fetching.acquire._FAILURES_IN_A_ROW", 1)
    for name in IMAGES:
        served.errors[f"/{name}"] = [404]
    assert get(served, new, "--jobs", "1") == 3


def test_annotations_from_archives(served: DataServer, new: Path) -> None:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as file:
        for name in ANNOTATIONS:
            file.writestr(name, served.files.pop(f"/{name}"))
        file.writestr("refcoco+/refs(google).p", b"not wanted")
    served.files["/refcoco+.zip"] = whole.getvalue()
    whole = io.BytesIO()
    content = served.files.pop(f"/{DETECTIONS}")
    with tarfile.open(fileobj=whole, mode="w:gz") as tar:
        for name in ("refcoco+_dets_dict.json", "refcoco_dets_dict.json"):
            info = tarfile.TarInfo(f"reclip_data/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    served.files["/reclip_data.tar.gz"] = whole.getvalue()
    assert get(served, new) == 0
    other = "detections/refcoco_dets_dict.json"  # came along, and saves getting it again
    assert files(new) == sorted([DETECTIONS, other, *IMAGES, *ANNOTATIONS])
    assert ("/refcoco%2B.zip", None) in served.requests


def test_archives_are_kept_on_request(served: DataServer, new: Path) -> None:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as file:
        for name in ANNOTATIONS:
            file.writestr(name, served.files.pop(f"/{name}"))
    served.files["/refcoco+.zip"] = whole.getvalue()
    assert get(served, new, "--keep-archives", "--no-images") == 0
    assert files(new) == sorted([".downloads/refcoco+.zip", DETECTIONS, *ANNOTATIONS])


def test_broken_archive_is_told_and_not_kept(
    served: DataServer, new: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ANNOTATIONS:
        del served.files[f"/{name}"]
    served.files["/refcoco+.zip"] = b"PK\x03\x04 cut off"
    assert get(served, new) == 3
    assert "refcoco+.zip is truncated or no archive" in capsys.readouterr().err
    assert files(new) == []


def test_detections_that_cannot_be_had_are_a_warning(
    served: DataServer, new: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del served.files[f"/{DETECTIONS}"]
    assert get(served, new) == 0
    assert "runs with --proposals detections need it" in capsys.readouterr().err


def test_weights_are_checked(
    server: DataServer, new: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files["/weights/sam_vit_b_01ec64.pth"] = b"not those"
    words = ["sam_vit_b", "--data-root", str(new), "--base-url", server.url]
    assert main(["get", *words]) == 3
    assert "expected ec2df62732614e57411cdcf32a23ffdf" in capsys.readouterr().err
    assert main(["get", *words, "--skip-checksums"]) == 0
    assert main(["verify", "sam_vit_b", "--data-root", str(new)]) == 2
    assert "broken   weights/sam_vit_b_01ec64.pth: its sha256 is" in capsys.readouterr().out


def test_killed_get_goes_on_from_there(server: DataServer, new: Path) -> None:
    content = bytes(range(256)) * 8192  # 2 MB
    server.files["/weights/sam_vit_b_01ec64.pth"] = content
    server.held = threading.Event()
    words = ["get", "sam_vit_b", "--data-root", str(new), "--base-url", server.url]
    command = [sys.executable, "-m", "fgvp_eval.data", *words, "--skip-checksums"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    partial = new / "weights" / "sam_vit_b_01ec64.pth.partial"
    deadline = time.monotonic() + 30
    while not (partial.is_file() and partial.stat().st_size > 500_000):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    kept = partial.stat().st_size
    server.held.set()
    assert files(new) == sorted(f"weights/{partial.name}{suffix}" for suffix in ("", ".json"))
    assert main([*words, "--skip-checksums"]) == 0
    assert (new / "weights" / "sam_vit_b_01ec64.pth").read_bytes() == content
    assert [asked for _, asked in server.requests] == [None, f"bytes={kept}-"]


def test_long_downloads_tell_size_rate_and_time_left(
    served: DataServer,
    new: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)
    served.files["/weights/sam_vit_b_01ec64.pth"] = bytes(2_000_000)
    words = ["sam_vit_b", TEST_A, "--data-root", str(new), "--base-url", served.url]
    assert main(["get", *words, "--skip-checksums"]) == 0
    lines = capsys.readouterr().err
    number = r"\d+\.\d"
    assert re.search(rf"sam_vit_b_01ec64.pth: {number} of 2.0 MB, {number} MB/s, \d s left", lines)
    assert re.search(rf"sam_vit_b_01ec64.pth: 2.0 MB in \d s, {number} MB/s", lines)
    assert re.search(rf"{re.escape(TEST_A)}: 3 images in \d s, {number}/s, {number} MB/s", lines)


def test_verify_lists_what_is_missing_and_whence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", TEST_A, "--data-root", str(tmp_path)]) == 3
    out = capsys.readouterr().out
    assert "  missing  refcoco+/refs(unc).p: from https://web.archive.org/web/2022" in out
    assert "refcoco%2B.zip" in out
    assert "  optional detections/refcoco+_dets_dict.json: from https://huggingface.co/" in out


@pytest.mark.usefixtures("own_counts")
def test_verify_of_complete_data(root: Any, capsys: pytest.CaptureFixture[str]) -> None:
    root.save(root.detections())
    assert main(["verify", TEST_A, "--data-root", str(root.path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        TEST_A,
        "  ok       refcoco+/refs(unc).p",
        "  ok       refcoco+/instances.json",
        "  ok       detections/refcoco+_dets_dict.json",
        "  ok       images: 3 of 3",
        "  ok       counts: 6 refs, 3 images, 12 sentences, as published",
    ]


def test_verify_of_other_counts(root: Any, capsys: pytest.CaptureFixture[str]) -> None:
    root.save(root.detections())
    assert main(["verify", TEST_A, "--data-root", str(root.path)]) == 0
    assert (
        "  differs  counts: 6 refs, 3 images, 12 sentences: published: 1975 refs, 750 images, "
        "5726 sentences" in capsys.readouterr().out
    )


@pytest.mark.usefixtures("own_counts")
def test_verify_counts_missing_images(root: Any, capsys: pytest.CaptureFixture[str]) -> None:
    root.save(root.detections())
    root.image_path(42).unlink()
    assert main(["verify", TEST_A, "--data-root", str(root.path)]) == 3
    assert (
        f"  missing  images: 2 of 3: the first of 1 is {IMAGES[1]}, from "
        "http://images.cocodataset.org/train2014/COCO_train2014_000000000042.jpg"
        in capsys.readouterr().out
    )


def test_verify_of_broken_references(root: Any, capsys: pytest.CaptureFixture[str]) -> None:
    root.save()
    root.refs_path.write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    assert main(["verify", TEST_A, "--data-root", str(root.path)]) == 2
    assert "  broken   annotations: " in capsys.readouterr().out


def test_paco_gets_its_own_images(server: DataServer, new: Path, tmp_path: Path) -> None:
    from fgvp_eval.demo.parts_dataset import write_parts_data

    write_parts_data(tmp_path / "parts", images=5)
    shutil.move(tmp_path / "parts" / "demo_parts", tmp_path / "parts" / "paco")
    for name in files(tmp_path / "parts"):
        server.files[f"/{name}"] = (tmp_path / "parts" / name).read_bytes()
    words = ["--data-root", str(new), "--base-url", server.url]
    assert main(["get", "paco_val", *words]) == 0
    assert files(new) == files(tmp_path / "parts")


def test_paco_image_outside_the_root_is_refused(
    server: DataServer, new: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = {"id": 1, "file_name": "../../x.jpg", "height": 1, "width": 1}
    content = {"images": [image], "annotations": [], "categories": []}
    server.files["/paco/paco_lvis_v1_val.json"] = json.dumps(content).encode()
    words = ["--data-root", str(new), "--base-url", server.url]
    assert main(["get", "paco_val", *words]) == 2
    assert "file_name of image 0 must be FOLDER/FILE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["get", "demo", "--jobs", "9" * 30], "--jobs: must be a number of 64 bits"),
        (["get", "demo", "--data-root", ""], "--data-root: a path must not be empty"),
        (["get", "refcoco_tset"], "unknown split 'refcoco_tset' .did you mean refcocog_test"),
        (["get", TEST_A, "--base-url", "file:///etc"], "--base-url must be http://HOST/"),
        (["get", TEST_A, "--base-url", "http://"], "--base-url must be http://HOST/"),
        (["get", TEST_A, "--base-url", "http://[::1"], "--base-url .* Invalid IPv6"),
        (["get", TEST_A, "--base-url", "http://x:port"], "--base-url 'http://x:port'"),
        (["get", TEST_A, "--base-url", "http://bücher.example/"], "percent-encoded; got"),
        (["get", TEST_A, "--base-url", "http://x/a b"], "percent-encoded; got"),
        (["get", ""], "NAME must not be empty"),
        (["verify", ","], "NAME must not be empty"),
        (["get", TEST_A, "--jobs", "0"], "--jobs must be at least 1, got 0"),
        (["get"], "the following arguments are required: NAME"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_wrong_usage(words: list[str], match: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert re.search(match, lines[0])


def test_interrupt_tells_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fgvp_eval.commands.data.Acquirer.split", interrupted)
    assert main(["get", TEST_A]) == 130
    assert f"go on with: python -m fgvp_eval.data get {TEST_A}" in capsys.readouterr().err


def test_root_that_cannot_be_written(
    served: DataServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert get(served, tmp_path / "file") == 1
    lines = capsys.readouterr().err.splitlines()
    assert f"failed: {tmp_path / 'file'}" in lines[-1]
    assert f"go on with: python -m fgvp_eval.data get {TEST_A}" in lines[-1]


def test_demo_needs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "demo,demo_parts", "--data-root", str(tmp_path)]) == 0
    assert main(["get", "demo", "--data-root", str(tmp_path)]) == 0
    assert "the demo is made on first use" in capsys.readouterr().out


def test_known_checksum_follows_a_file_but_not_its_archive() -> None:
    weights = rebase(weights_piece("sam_vit_h"), "http://x/y/")
    assert weights.sources[0].url == "http://x/y/weights/sam_vit_h_4b8939.pth"
    assert weights.sources[0].checksum.md5 == "4b8939a88964f0f4ff5f5b2642c598a6"
    refs = rebase(reference_pieces("refcoco+")[0], "http://x")
    assert [source.url for source in refs.sources] == [
        "http://x/refcoco%2B/refs%28unc%29.p",
        "http://x/refcoco%2B.zip",
    ]


def test_lines_of_json_are_read_to_their_end(tmp_path: Path) -> None:
    path = tmp_path / "x.partial"
    path.write_bytes(b'{"a": 1}\n{"a": 2}\n')
    assert whats_wrong(path, "refcoco_val.jsonl") is None
    path.write_bytes(b'{"a": 1}\n{"a": ')
    assert "no JSON lines, or not all" in (whats_wrong(path, "refcoco_val.jsonl") or "")
