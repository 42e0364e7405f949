"""Disks that are full or read-only, and streams that are closed: one line, and nothing lost."""

import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from child_processes import start

from fgvp_eval.commands.ground.__main__ import main as ground
from fgvp_eval.errors import StorageError
from fgvp_eval.machine.whole_files import write_whole

WORDS = ("--split", "refcoco+_testA", "--sam", "demo", "--clip", "demo", "--modes", "crop,D4")


@pytest.fixture
def words(root: Any) -> tuple[object, ...]:
    root.save(root.detections())
    return (*WORDS, "--data-root", root.path)


@pytest.fixture
def whole(run: Any, words: tuple[object, ...], random_models: None, tmp_path: Path) -> bytes:
    """The samples of a run that nothing disturbed."""
    assert run(*words, "--out", "whole")[0] == 0
    return (tmp_path / "whole" / "samples.jsonl").read_bytes()


@contextmanager
def broken_disk(name: str, number: int) -> Iterator[None]:
    """Let every file whose name holds a text be one that cannot be written, made or removed."""

    def guard(method: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(path: Path, *args: Any, **more: Any) -> Any:
            mode = args[0] if args else more.get("mode", "r")
            reads = method.__name__ == "open" and not set(mode) & set("wax+")
            if name in path.name and not reads:
                raise OSError(number, os.strerror(number), str(path))
            return method(path, *args, **more)

        return guarded

    with pytest.MonkeyPatch.context() as patched:
        for method in (Path.open, Path.mkdir, Path.unlink):
            patched.setattr(Path, method.__name__, guard(method))
        yield


def failure(err: str) -> str:
    """The line of a failure; the one after it tells how to go on."""
    assert "Traceback" not in err
    lines = err.splitlines()
    (number,) = (index for index, line in enumerate(lines) if "failed: " in line)
    assert lines[number + 1].startswith("fgvp_eval: resume it with: python -m fgvp_eval --split")
    return lines[number]


@pytest.mark.parametrize("name", ["run", "journal", "samples.jsonl", "summary.md", "results.json"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_file_that_cannot_be_written_is_named(
    run: Any, words: Any, whole: bytes, tmp_path: Path, name: str, number: int
) -> None:
    with broken_disk(name, number):
        code, _, err = run(*words, "--out", "run")
    assert code == 1
    line = failure(err)
    assert name in line
    assert line.endswith(os.strerror(number))
    assert run(*words, "--out", "run")[0] == 0
    assert (tmp_path / "run" / "samples.jsonl").read_bytes() == whole


@pytest.mark.parametrize("name", ["report.html", "finished.json"])
def test_run_is_done_without_what_may_be_missing(
    run: Any, words: Any, whole: bytes, tmp_path: Path, name: str
) -> None:
    with broken_disk(name, errno.ENOSPC):
        code, out, err = run(*words, "--out", "run")
    assert (code, out.count("\n"), "Traceback" in err) == (0, 3, False)
    assert name in err
    assert (tmp_path / "run" / "samples.jsonl").read_bytes() == whole


@pytest.mark.parametrize("size", [100, 2000, 4000])
def test_full_disk_while_running_loses_nothing(
    run: Any, words: Any, whole: bytes, tmp_path: Path, size: int
) -> None:
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    child = start((*words, "--out", tmp_path / "run"), tmp_path / "log", prepare=small_files)
    code, out, err = child.wait()
    assert (code, out) == (1, "")
    if size > 100:  # to which the log is cut as well
        assert "journal.jsonl cannot be written: File too large" in failure(err)
    code, _, err = run(*words, "--out", tmp_path / "run")
    assert (code, "left out" in err) == (0, False)
    assert (tmp_path / "run" / "samples.jsonl").read_bytes() == whole


def test_journals_of_a_read_only_folder_stay(
    run: Any, words: Any, whole: bytes, tmp_path: Path
) -> None:
    with broken_disk("journal", errno.EROFS):
        code, _, err = run(*words, "--out", "whole", "--no-resume")
        assert code == 1
        assert "journal.jsonl cannot be written: Read-only file system" in failure(err)
        assert (tmp_path / "whole" / "journal.jsonl").exists()
        # What is finished there can still be read.
        code, out, err = run(*words, "--out", "whole")
        assert (code, out.count("\n")) == (0, 3), err


@pytest.mark.usefixtures("random_models")
@pytest.mark.parametrize("name", ["ground.json", "annotated.png", "prompts.png", "found"])
def test_grounding_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    words = ["demo:1", "--proposals", "gt", "--masks", "given", "--out", str(tmp_path / "found")]
    with broken_disk(name, errno.ENOSPC):
        assert ground(words) == 1
    out, err = capsys.readouterr()
    assert (out, "Traceback" in err) == ("", False)
    line = err.splitlines()[-1]
    assert line.startswith("fgvp_eval: failed: ")
    assert f"{name} cannot be " in line
    assert line.endswith("No space left on device")


def test_predecessor_of_a_file_stays_as_it_was(tmp_path: Path) -> None:
    def chunks() -> Any:
        yield "new"
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "file"
    write_whole(path, ("old", b" and whole \xff", " \udcff"))
    with pytest.raises(StorageError, match="file cannot be written: No space left on device"):
        write_whole(path, chunks())
    assert path.read_bytes() == b"old and whole \xff \\udcff"
    assert list(tmp_path.iterdir()) == [path]


def program(words: Any, folder: Path, **more: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "fgvp_eval", *words]
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, **more)


def test_reader_that_has_gone_costs_no_report(words: Any, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = program((*words, "--out", "run"), tmp_path, stdout=writing)
    os.close(writing)
    err = process.communicate()[1].decode()
    assert process.returncode == 0
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    assert (tmp_path / "run" / "report.html").exists()
    assert (tmp_path / "run" / "finished.json").exists()


@pytest.mark.parametrize("utf8", ["0", "1"])
def test_names_of_files_that_are_no_text(words: Any, tmp_path: Path, utf8: str) -> None:
    name = b"r\xff\xc3\xa9"
    process = program(
        [*(os.fsencode(word) for word in words), b"--out", name],
        tmp_path,
        stdout=subprocess.PIPE,
        env=os.environ | {"LC_ALL": "C", "PYTHONUTF8": utf8, "PYTHONCOERCECLOCALE": "0"},
    )
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert out.count(b"\n") == 3
    folder = tmp_path / os.fsdecode(name)
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert os.fsencode(results["config"]["out"]) == name or utf8 == "0"
    assert "\\udcff" in (folder / "summary.md").read_text(encoding="utf-8")
    assert (folder / "report.html").exists()


def without_streams() -> None:
    """As the interpreter starts after ``2>&- >&-``."""
    os.close(1)
    os.close(2)
    sys.stdout = sys.stderr = None


@pytest.mark.usefixtures("whole")
def test_closed_streams(words: Any, whole: bytes, tmp_path: Path) -> None:
    child = start((*words, "--out", tmp_path / "run"), tmp_path / "log", prepare=without_streams)
    assert child.wait() == (0, "", "")
    assert (tmp_path / "run" / "samples.jsonl").read_bytes() == whole
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_stdout_on_a_full_disk(words: Any, whole: bytes, tmp_path: Path) -> None:
    def prepare() -> None:
        os.dup2(os.open("/dev/full", os.O_WRONLY), 1)

    child = start((*words, "--out", tmp_path / "whole"), tmp_path / "log", prepare=prepare)
    code, _, err = child.wait()
    assert code == 1
    assert failure(err).endswith("failed: stdout cannot be written: No space left on device")
