"""Part-detection runs that end early or are shared by several processes."""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from child_processes import (
    SYNCS_BEFORE_IMAGES,
    dying_at_sync,
    finish_all,
    results,
    start,
    start_all,
)
from decoded_images import interrupted_after, record_decoded
from parts_root import PartsRoot

from fgvp_eval.tasks.parts import part_work

IMAGES = 5
WORDS = ("--split", "paco_val", "--sam", "demo", "--clip", "demo", "--modes", "crop,D4,none")


@pytest.fixture
def root(tmp_path: Path) -> PartsRoot:
    return PartsRoot(tmp_path / "data").add_images(IMAGES - 2).save()


@pytest.fixture
def words(root: PartsRoot, random_models: None, coarse_grid: None) -> tuple[object, ...]:
    return (*WORDS, "--compare-modes", "--data-root", root.path)


@pytest.fixture
def whole(run: Any, words: Any, tmp_path: Path) -> bytes:
    """The samples of a run that nothing disturbed."""
    code, _, err = run(*words, "--out", "whole")
    assert code == 0, err
    return samples(tmp_path / "whole")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the images that were worked on."""
    return record_decoded(monkeypatch, part_work)


def samples(folder: Path) -> bytes:
    return (folder / "samples.jsonl").read_bytes()


def journaled(folder: Path) -> list[int]:
    """How many images each journal holds."""
    paths = sorted(folder.glob("journal*.jsonl"))
    return [path.read_bytes().count(b"\n") - 1 for path in paths]


def test_one_two_and_three_processes_give_the_same(words: Any, tmp_path: Path) -> None:
    tables = []
    for world in (1, 2, 3):
        folder = tmp_path / f"run{world}"
        ends = finish_all((*words, "--out", folder), tmp_path / f"log{world}", world)
        assert all(out == "" for _, out, _ in ends[1:])
        assert "but the published split has" in ends[0][2]
        assert all(err == "" for _, _, err in ends[1:])
        tables.append(ends[0][1])
        assert sum(journaled(folder)) == IMAGES
        assert len(journaled(folder)) == world
    assert len(set(tables)) == 1
    folders = [tmp_path / f"run{world}" for world in (1, 2, 3)]
    assert samples(folders[0]) == samples(folders[1]) == samples(folders[2])
    assert results(folders[0]) == results(folders[1]) == results(folders[2])


@pytest.mark.parametrize("images", [0, 2, IMAGES])
def test_killed_run_is_finished_by_the_same_command(
    run: Any, words: Any, whole: bytes, decoded: list[str], tmp_path: Path, images: int
) -> None:
    folder = tmp_path / "killed"
    child = start(
        (*words, "--out", folder),
        tmp_path / "log",
        prepare=dying_at_sync(SYNCS_BEFORE_IMAGES + images),
    )
    assert child.wait()[0] == -9
    assert [path.name for path in folder.iterdir()] == ["journal.jsonl"]
    content = (folder / "journal.jsonl").read_bytes()
    assert content.count(b"\n") == 1 + images
    # Cut at the end of its last line and in the midst of it.
    for name, end, done in (("same", None, images), ("torn", -10, max(images - 1, 0))):
        shutil.copytree(folder, tmp_path / name)
        (tmp_path / name / "journal.jsonl").write_bytes(content[:end])
        decoded.clear()
        code, out, err = run(*words, "--out", name)
        assert (code, len(decoded)) == (0, IMAGES - done)
        assert (f"paco_val: {done} of {IMAGES} images are done already" in err) == (done > 0)
        assert "named %" in out
        assert samples(tmp_path / name) == whole
        assert results(tmp_path / name) == results(tmp_path / "whole")
    # Three processes go on with what one began.
    shutil.copytree(folder, tmp_path / "three")
    finish_all((*words, "--out", tmp_path / "three"), tmp_path / "log", 3)
    assert samples(tmp_path / "three") == whole
    assert sum(journaled(tmp_path / "three")) == IMAGES


def test_killed_process_costs_only_its_unfinished_image(
    run: Any, words: Any, whole: bytes, tmp_path: Path
) -> None:
    command = (*words, "--out", tmp_path / "run")
    prepare = (lambda: None, dying_at_sync(SYNCS_BEFORE_IMAGES + 1))
    children = start_all(command, tmp_path / "log", 2, lambda rank: prepare[rank]())
    (code, out, err), (other, _, _) = (child.wait() for child in children)
    assert (code, out, other) == (1, "", -9)
    assert "failed: another process of this run has ended" in err
    assert "resume it with: torchrun --nproc-per-node 2 -m fgvp_eval --split paco_val" in err
    assert journaled(tmp_path / "run") == [3, 1]
    code, _, err = run(*command)
    assert code == 0
    assert f"4 of {IMAGES} images are done already" in err
    assert samples(tmp_path / "run") == whole


def test_interrupt_prints_the_command_that_resumes(
    run: Any, words: Any, whole: bytes, decoded: list[str], tmp_path: Path
) -> None:
    with interrupted_after(3, decoded, part_work):
        code, out, err = run(*words)
    assert (code, out) == (130, "")
    command = shlex.split(err.partition("resume it with: ")[2])
    assert command[:3] == ["python", "-m", "fgvp_eval"]
    decoded.clear()
    assert run(*command[3:])[0] == 0
    assert len(decoded) == IMAGES - 3
    (folder,) = (tmp_path / "runs").iterdir()
    assert samples(folder) == whole


def test_finished_run(
    run: Any,
    refusal: Any,
    words: Any,
    whole: bytes,
    root: PartsRoot,
    decoded: list[str],
    tmp_path: Path,
) -> None:
    first = json.loads((tmp_path / "whole" / "results.json").read_text())
    decoded.clear()
    code, out, _ = run(*words, "--out", "whole")
    assert (code, decoded) == (0, [])
    assert "named %" in out
    again = json.loads((tmp_path / "whole" / "results.json").read_text())
    assert again["seconds"]["sam"] == first["seconds"]["sam"]
    for change, named in (
        (("--seed", "1"), "options.seed was 0, is 1"),
        (
            ("--part-input", "image"),
            "settings.paco_val.inputs was ['object', 'image'], is ['image']",
        ),
        (("--proposals", "gt"), "settings.paco_val.protocols was ['naming', 'detection'], is ["),
    ):
        line = refusal(*words, *change, "--out", "whole")
        assert "whole/journal.jsonl is of another run: " in line
        assert named in line
    assert decoded == []
    assert run(*words, "--part-input", "both", "--out", "whole")[0] == 0  # the same run
    assert decoded == []
    assert run(*words, "--no-resume", "--out", "whole")[0] == 0
    assert len(decoded) == IMAGES
    assert samples(tmp_path / "whole") == whole
    root.annotations.pop()
    root.save()
    line = refusal(*words, "--out", "whole")
    assert "files.paco_val.paco/paco_lvis_v1_val.json was " in line


@pytest.mark.parametrize("content", [b"no image", None], ids=["broken", "missing"])
def test_mended_image_is_scored_by_the_same_command(
    words: Any,
    run: Any,
    whole: bytes,
    root: PartsRoot,
    decoded: list[str],
    tmp_path: Path,
    content: bytes | None,
) -> None:
    path = root.path / "images/val2017/000000000009.jpg"  # the second image, process 1
    good = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    children = start_all((*words, "--out", tmp_path / "run"), tmp_path / "log", 2)
    (first, out, _), (second, nothing, err) = (child.wait() for child in children)
    assert (first, second, nothing) == (3, 0, "")
    assert "named %" in out
    assert "fgvp_eval: process 1: not scored: 2 parts: " in err
    unscored = results(tmp_path / "run")["splits"]["paco_val"]["unscored"]
    assert [part["sample_id"] for part in unscored] == ["paco_val:910:911", "paco_val:910:912"]
    path.write_bytes(good)
    decoded.clear()
    assert run(*words, "--out", "run")[0] == 0
    assert decoded == ["images/val2017/000000000009.jpg"]
    assert samples(tmp_path / "run") == whole
