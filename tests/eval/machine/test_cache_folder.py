"""The user's cache folder: full disks, killed makers, and what is left behind."""

import errno
import fcntl
import logging
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fgvp_eval.errors import StorageError
from fgvp_eval.machine import cache_folder
from fgvp_eval.machine.cache_folder import made_once, temporary_folder


def full(_: Path) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FGVP_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_full_disk_falls_back_to_a_temporary_folder(
    cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert made_once("data", full, lambda: tmp_path / "temporary") == tmp_path / "temporary"
    assert "No space left on device" in caplog.text
    assert list(cache.iterdir()) == []


def test_no_room_anywhere_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written: No space left on device"):
        made_once("data", full, lambda: full(tmp_path))  # type: ignore[arg-type, return-value]


def test_cache_folder_whose_name_is_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FGVP_CACHE_DIR", "/" + "a" * 5000)
    assert made_once("data", full, lambda: tmp_path) == tmp_path


def die(folder: Path) -> None:
    (folder / "half").write_text("made")
    os._exit(9)


def test_what_a_killed_process_left_half_made_is_removed(cache: Path) -> None:
    maker = multiprocessing.get_context("fork").Process(
        target=made_once, args=("data", die, lambda: cache)
    )
    maker.start()
    maker.join()
    (left,) = cache.iterdir()
    assert (left / "half").exists()
    # One that another process still fills stays.
    filled = cache / ".data-filled"
    filled.mkdir()
    descriptor = os.open(filled, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    made_once("data", lambda folder: (folder / "whole").touch(), lambda: cache)
    os.close(descriptor)
    assert sorted(path.name for path in cache.iterdir()) == [".data-filled", "data"]


def test_systems_without_locks_make_their_data_all_the_same(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    (cache / ".data-filled").mkdir(parents=True)
    assert made_once("data", lambda folder: None, lambda: cache / "wrong") == cache / "data"
    assert (cache / ".data-filled").exists()


def test_temporary_folder_goes_when_the_process_ends() -> None:
    assert temporary_folder("fgvp-test-").is_dir()
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"from {cache_folder.__name__} import temporary_folder as make\n"
            "path = make('fgvp-test-')\n"
            "(path / 'data').touch()\n"
            "print(path)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    path = Path(done.stdout.strip())
    assert path.name.startswith("fgvp-test-")
    assert not path.exists()
