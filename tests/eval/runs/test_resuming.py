"""Runs that end early, and what the same command makes of them."""

import fcntl
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from child_processes import SYNCS_BEFORE_IMAGES, dying_at_sync, start
from decoded_images import interrupted_after, record_decoded

from fgvp_eval.commands.evaluate import resume_command
from fgvp_eval.errors import UsageError
from fgvp_eval.machine.processes import Processes
from fgvp_eval.runs import journal, run_folder
from fgvp_eval.runs.journal import Journal
from fgvp_eval.scoring import scorer
from fgvp_eval.tasks import sentence_work

IMAGES = 6
GROUP = 2  # images whose three candidates each fill a batch
WORDS = ("--split", "refcoco+_testA", "--sam", "demo", "--clip", "demo", "--modes", "crop,D4")
WORDS = (*WORDS, "--batch-size", "6")


@pytest.fixture
def words(root: Any, random_models: None) -> tuple[object, ...]:
    root.add_images(IMAGES - 3).save(root.detections())
    return (*WORDS, "--data-root", root.path)


@pytest.fixture
def whole(run: Any, words: tuple[object, ...], tmp_path: Path) -> bytes:
    """The samples of a run that nothing disturbed."""
    code, _, err = run(*words, "--out", "whole")
    assert code == 0, err
    return (tmp_path / "whole" / "samples.jsonl").read_bytes()


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the images that were worked on."""
    return record_decoded(monkeypatch, sentence_work)


@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize("images", [1, 3, IMAGES])
def test_killed_run_is_finished_by_the_same_command(
    run: Any, words: Any, whole: bytes, decoded: list[str], tmp_path: Path, images: int, torn: bool
) -> None:
    command = (*words, "--out", "run")
    child = start(command, tmp_path / "log", prepare=dying_at_sync(SYNCS_BEFORE_IMAGES + images))
    assert child.wait()[0] == -9
    path = tmp_path / "run" / "journal.jsonl"
    content = path.read_bytes()
    assert content.count(b"\n") == 1 + images
    assert not (tmp_path / "run" / "samples.jsonl").exists()
    if torn:
        path.write_bytes(content[:-10])
    done = (images - torn) // GROUP * GROUP
    decoded.clear()
    code, out, err = run(*command)
    assert code == 0
    assert out.count("\n") == 3
    assert len(decoded) == IMAGES - done
    assert (f"{done} of {IMAGES} images are done already" in err) == (done > 0)
    assert (tmp_path / "run" / "samples.jsonl").read_bytes() == whole


def test_killed_before_the_first_line_is_whole(
    run: Any, words: Any, whole: bytes, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "journal.jsonl").write_bytes(b'{"journal": 1, "iden')
    assert run(*words, "--out", "run")[0] == 0
    assert (tmp_path / "run" / "samples.jsonl").read_bytes() == whole


def test_finished_run_is_not_done_again(
    run: Any, words: Any, whole: bytes, decoded: list[str], tmp_path: Path
) -> None:
    decoded.clear()
    first = json.loads((tmp_path / "whole" / "results.json").read_text())
    code, out, _ = run(*words, "--out", "whole")
    assert (code, decoded) == (0, [])
    assert "refcoco+_testA" in out
    assert (tmp_path / "whole" / "samples.jsonl").read_bytes() == whole
    again = json.loads((tmp_path / "whole" / "results.json").read_text())
    assert again["metrics"] == first["metrics"]
    assert again["seconds"]["render"] == first["seconds"]["render"]


@pytest.mark.parametrize("change", ["none", "samples", "table", "report", "options", "no marker"])
def test_what_makes_a_finished_run_be_read_again(
    run: Any, words: Any, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    folder = tmp_path / "whole"
    table = run(*words, "--out", "whole")[1]
    read: list[int] = []
    known = journal.read_journals
    monkeypatch.setattr(run_folder, "read_journals", lambda *args: read.append(1) or known(*args))
    more: tuple[str, ...] = ()
    if change == "samples":
        (folder / "samples.jsonl").write_bytes(whole.replace(b"true", b"false"))
    elif change == "table":
        (folder / "finished.json").write_text('{"table": "better"}')
    elif change == "report":
        (folder / "report.html").unlink()
    elif change == "options":
        more = ("--report-misses", "1")
    elif change == "no marker":
        (folder / "finished.json").unlink()
    code, out, err = run(*words, *more, "--out", "whole")
    assert (code, out) == (0, table)
    assert bool(read) == (change != "none")
    assert ("holds this run, finished" in err) == (change == "none")
    assert "but the published split has" in err
    assert (folder / "samples.jsonl").read_bytes() == whole
    assert (folder / "report.html").exists()


def test_resume_no_resume_starts_anew(
    run: Any, words: Any, whole: bytes, decoded: list[str], tmp_path: Path
) -> None:
    decoded.clear()
    assert run(*words, "--out", "whole", "--no-resume")[0] == 0
    assert len(decoded) == IMAGES
    assert (tmp_path / "whole" / "samples.jsonl").read_bytes() == whole


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("--seed", "1"), "options.seed was 0, is 1"),
        (("--limit", "3"), "options.limit was None, is 3"),
        (
            ("--modes", "crop"),
            "settings.refcoco+_testA.modes was ['crop', 'blur_reverse_mask'], is ['crop']",
        ),
    ],
)
@pytest.mark.usefixtures("whole")
def test_journal_of_other_options_is_refused(
    run: Any, refusal: Any, words: Any, change: tuple[str, ...], named: str
) -> None:
    line = refusal(*words, *change, "--out", "whole")
    assert "whole/journal.jsonl is of another run: " in line
    assert named in line
    assert "--no-resume" in line
    assert run(*words, *change, "--out", "whole", "--no-resume")[0] == 0


@pytest.mark.usefixtures("whole")
def test_journal_of_other_data_is_refused(refusal: Any, words: Any, root: Any) -> None:
    root.refs.pop()
    root.save(root.detections())
    line = refusal(*words, "--out", "whole")
    assert "files.refcoco+_testA.refcoco+/refs(unc).p was " in line


@pytest.mark.parametrize(
    ("before", "after"),
    [(b'"scores": [', b'"scores": [9'), (b'"index": 1', b'"index": 0'), (b', "sha256"', b"")],
    ids=["score", "image", "torn in the midst"],
)
def test_image_of_a_line_that_has_changed_is_done_again(
    run: Any,
    words: Any,
    whole: bytes,
    decoded: list[str],
    tmp_path: Path,
    before: bytes,
    after: bytes,
) -> None:
    path = tmp_path / "whole" / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    changed = lines[2].replace(before, after, 1)
    assert changed != lines[2]
    path.write_bytes(b"".join([*lines[:2], changed, *lines[3:]]))
    decoded.clear()
    code, _, err = run(*words, "--out", "whole")
    assert (code, len(decoded)) == (0, GROUP)
    assert "journal.jsonl: line 3 is left out: it is damaged, since its checksum differs" in err
    assert (tmp_path / "whole" / "samples.jsonl").read_bytes() == whole


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b'{"journal": 1, "identity": {}}', "it is of journal format 1, this version has 2"),
        (b'{"journal": 2, "identity": {}}', "it is damaged, since its checksum differs"),
        (b"[]", "TypeError"),
    ],
)
def test_journal_whose_run_is_not_known_is_refused(
    refusal: Any, words: Any, tmp_path: Path, header: bytes, reason: str
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "journal.jsonl").write_bytes(header + b"\n")
    line = refusal(*words, "--out", "run")
    assert "journal.jsonl: line 1 is broken (" in line
    assert reason in line
    assert "--no-resume starts the run anew" in line


def test_run_folder_of_a_running_run_is_refused(
    run: Any, refusal: Any, words: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(*words, "--out", "run")[0] == 0
    path = tmp_path / "run" / "journal.jsonl"
    identity = json.loads(path.read_bytes().splitlines()[0])["identity"]
    content = path.read_bytes()
    monkeypatch.setattr(run_folder, "read_finished", lambda *_: None)
    with Journal(path, identity):
        for more in ((), ("--no-resume",)):
            line = refusal(*words, "--out", "run", *more)
            assert "is being written by another run" in line
            assert path.read_bytes() == content


def test_journals_of_a_running_run_of_several_processes_stay(
    run: Any, refusal: Any, words: Any
) -> None:
    run(*words, "--out", "run")
    (own,) = Path("run").glob("journal*")
    running = own.rename(own.with_name("journal.1-of-2.jsonl"))
    own.write_bytes(running.read_bytes())
    with running.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        line = refusal(*words, "--out", "run", "--no-resume")
    assert "journal.1-of-2.jsonl is being written by another run" in line
    assert own.exists()
    assert running.exists()


def test_journal_that_another_run_removes_before_it_is_locked_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.jsonl"
    monkeypatch.setattr(journal, "_lock", lambda *_: path.unlink())
    with pytest.raises(UsageError, match="was removed by another run"):
        Journal(path, {})


def test_interrupt_prints_the_command_that_resumes(
    run: Any, words: Any, whole: bytes, decoded: list[str], tmp_path: Path
) -> None:
    with interrupted_after(4, decoded, sentence_work):
        code, out, err = run(*words, "--no-resume")
    assert (code, out) == (130, "")
    (command,) = (
        line.partition("resume it with: ")[2] for line in err.splitlines() if "resume it" in line
    )
    python, dash_m, module, *arguments = shlex.split(command)
    assert (python, dash_m, module) == ("python", "-m", "fgvp_eval")
    assert "--no-resume" not in arguments
    decoded.clear()
    assert run(*arguments)[0] == 0
    assert len(decoded) == IMAGES - 4
    (folder,) = (tmp_path / "runs").iterdir()
    assert (folder / "samples.jsonl").read_bytes() == whole


def test_unexpected_error_tells_how_to_resume(
    run: Any, words: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scorer.Scorer, "encode", lambda *_: 1 / 0)
    code, out, err = run(*words, "--out", "run")
    assert (code, out) == (1, "")
    assert "failed: ZeroDivisionError: division by zero" in err
    assert "resume it with: python -m fgvp_eval --split refcoco+_testA" in err


def test_mended_image_is_scored_by_the_same_command(
    run: Any, words: Any, whole: bytes, root: Any, decoded: list[str], tmp_path: Path
) -> None:
    path = root.image_path(42)
    content = path.read_bytes()
    path.write_bytes(content[:50])
    assert run(*words, "--out", "run")[0] == 3
    path.write_bytes(content)
    decoded.clear()
    assert run(*words, "--out", "run")[0] == 0
    # With the image whose batches lacked it.
    assert [name[-10:] for name in decoded] == ["391895.jpg", "000042.jpg"]
    assert (tmp_path / "run" / "samples.jsonl").read_bytes() == whole


@pytest.mark.parametrize(
    ("argv", "kept"),
    [
        (["--split", "demo"], "--split demo"),
        (["--out", "a", "--split", "demo", "--no-resume"], "--split demo"),
        (["--split=demo", "--out=a", "--no_resume", "--resume"], "--split=demo --resume"),
    ],
)
def test_resume_command_names_the_folder(argv: list[str], kept: str) -> None:
    assert resume_command(argv, Path("a b"), Processes()) == (
        f"python -m fgvp_eval {kept} --out 'a b'"
    )
    assert resume_command(argv, Path("b"), Processes(1, 8, 1, 4)) == (
        f"torchrun --nproc-per-node 4 -m fgvp_eval {kept} --out b"
    )
