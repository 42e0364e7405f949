"""Runs that several processes share, as ``torchrun`` starts them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from child_processes import die, finish_all, results, start_all

from fgvp_eval.errors import UsageError
from fgvp_eval.machine.processes import Processes, processes_from_environment
from fgvp_eval.runs import run_folder
from fgvp_eval.tasks import sentence_work

IMAGES = 7
GROUP = 2  # images whose three candidates each fill a batch
WORDS = ("--split", "refcoco+_testA", "--sam", "demo", "--clip", "demo")
MORE = ("--modes", "crop,D4,none", "--compare-modes", "--batch-size", "6")


@pytest.fixture
def words(root: Any, random_models: None) -> tuple[object, ...]:
    root.add_images(IMAGES - 3).save(root.detections())
    return (*WORDS, *MORE, "--data-root", root.path)


def test_one_two_and_three_processes_give_the_same(words: Any, tmp_path: Path) -> None:
    tables = []
    for world in (1, 2, 3):
        folder = tmp_path / f"run{world}"
        ends = finish_all((*words, "--out", folder), tmp_path / f"log{world}", world)
        assert all(out == "" for _, out, _ in ends[1:])
        tables.append(ends[0][1])
        if world > 1:
            names = {f"journal.{rank}-of-{world}.jsonl" for rank in range(world)}
            assert {path.name for path in folder.glob("journal*")} == names
            lines = [len((folder / name).read_text().splitlines()) - 1 for name in sorted(names)]
            assert sum(lines) == IMAGES
            assert max(lines) - min(lines) <= GROUP
    again = start_all((*words, "--out", tmp_path / "run2"), tmp_path / "log", 3)
    (code, table, err), *others = (child.wait() for child in again)
    assert (code, table) == (0, tables[0])
    assert "holds this run, finished" in err
    assert others == [(0, "", "")] * 2
    assert len(set(tables)) == 1
    samples = [(tmp_path / f"run{world}" / "samples.jsonl").read_bytes() for world in (1, 2, 3)]
    assert samples[0] == samples[1] == samples[2]
    assert results(tmp_path / "run1") == results(tmp_path / "run2") == results(tmp_path / "run3")


def test_broken_image_of_another_process_is_in_the_result(
    words: Any, root: Any, tmp_path: Path
) -> None:
    root.image_path(7).write_bytes(b"no image")  # the third image, process 1
    children = start_all((*words, "--out", tmp_path / "run"), tmp_path / "log", 2)
    (first, _, _), (second, out, err) = (child.wait() for child in children)
    assert (first, second, out) == (3, 0, "")
    assert "fgvp_eval: process 1: not scored: 4 sentences: " in err
    assert len(results(tmp_path / "run")["splits"]["refcoco+_testA"]["unscored"]) == 4


def breaking_at(image: int, action: Any) -> Any:
    """In process 1, do ``action`` when it comes to its image of this number."""

    def prepare(rank: int) -> None:
        seen: list[int] = []
        decode = sentence_work.decode_image

        def breaking(record: Any) -> Any:
            seen.append(1)
            if len(seen) == image:
                action()
            return decode(record)

        if rank == 1:
            sentence_work.decode_image = breaking

    return prepare


def fail() -> None:
    raise ZeroDivisionError("by zero")


@pytest.mark.parametrize("action", [fail, die], ids=["raises", "killed"])
def test_failing_process_costs_only_its_unfinished_images(
    run: Any, words: Any, tmp_path: Path, action: Any
) -> None:
    command = (*words, "--out", tmp_path / "run")
    children = start_all(command, tmp_path / "log", 2, breaking_at(GROUP + 1, action))
    (code, out, err), (other, _, _) = (child.wait() for child in children)
    assert (code, out) == (1, "")
    if action is fail:
        assert other == 1
        assert "failed: scoring failed in process 1: ZeroDivisionError: by zero" in err
    else:
        assert other == -9
        assert "failed: another process of this run has ended" in err
    assert "resume it with: torchrun --nproc-per-node 2 -m fgvp_eval --split" in err
    done = [path.read_text().count("\n") - 1 for path in (tmp_path / "run").glob("journal*")]
    assert sorted(done) == [GROUP, 2 * GROUP]
    # One process goes on with what two began, and the other way round.
    code, _, err = run(*command)
    assert code == 0, err
    assert f"{3 * GROUP} of {IMAGES} images are done already" in err
    assert run(*words, "--out", tmp_path / "whole")[0] == 0
    samples = [(tmp_path / name / "samples.jsonl").read_bytes() for name in ("run", "whole")]
    assert samples[0] == samples[1]


def test_three_processes_go_on_with_what_one_began(run: Any, words: Any, tmp_path: Path) -> None:
    assert run(*words, "--out", tmp_path / "whole")[0] == 0
    shutil.copytree(tmp_path / "whole", tmp_path / "run")
    path = tmp_path / "run" / "journal.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))
    (tmp_path / "run" / "samples.jsonl").unlink()
    finish_all((*words, "--out", tmp_path / "run"), tmp_path / "log", 3)
    samples = [(tmp_path / name / "samples.jsonl").read_bytes() for name in ("run", "whole")]
    assert samples[0] == samples[1]
    lines = [file.read_text().count("\n") - 1 for file in (tmp_path / "run").glob("journal.*-*")]
    assert sum(lines) == IMAGES - 2


def test_journal_of_other_options_is_refused_by_all(run: Any, words: Any, tmp_path: Path) -> None:
    assert run(*words, "--out", tmp_path / "run")[0] == 0
    command = (*words, "--out", tmp_path / "run", "--seed", "5")
    ends = [child.wait() for child in start_all(command, tmp_path / "log", 2)]
    assert [code for code, _, _ in ends] == [2, 2]
    assert all("options.seed was 0, is 5" in err for _, _, err in ends)
    finish_all((*command, "--no-resume"), tmp_path / "log", 2)
    assert not (tmp_path / "run" / "journal.jsonl").exists()


def test_folder_that_a_process_does_not_see_is_an_error(words: Any, tmp_path: Path) -> None:
    def elsewhere(rank: int) -> None:
        (tmp_path / str(rank)).mkdir()
        os.chdir(tmp_path / str(rank))
        run_folder._SECONDS_TO_APPEAR = 0.1

    ends = [
        child.wait()
        for child in start_all((*words, "--out", "run"), tmp_path / "log", 2, elsewhere)
    ]
    assert [code for code, _, _ in ends] == [1, 2]
    assert "process 1 does not see" in ends[0][2]
    assert "must be one that all machines share" in ends[1][2]


@pytest.mark.slow
def test_torchrun_starts_the_processes(run: Any, words: Any, tmp_path: Path) -> None:
    assert run(*words, "--out", tmp_path / "one")[0] == 0
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, torch\n"
        "from fgvp_eval.__main__ import main\n"
        "from fgvp_eval.demo import models\n"
        "def sam(device):\n"
        "    torch.manual_seed(0)\n"
        "    return models.build_demo_sam().to(device).eval()\n"
        "def clip(device):\n"
        "    torch.manual_seed(1)\n"
        "    model, tokenizer = models.build_demo_clip()\n"
        "    return model.to(device).eval(), tokenizer\n"
        "models.load_demo_sam, models.load_demo_clip = sam, clip\n"
        "sys.exit(main())\n"
    )
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*torchrun, "--nproc-per-node", "2", script, *words, "--out", tmp_path / "two"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 5  # one table of three rows
    samples = [(tmp_path / name / "samples.jsonl").read_bytes() for name in ("one", "two")]
    assert samples[0] == samples[1]


def test_alone_without_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert processes_from_environment() == Processes(0, 1, 0, 1)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert processes_from_environment() == Processes(2, 4, 0, 2)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"WORLD_SIZE": "two"}, "the variable WORLD_SIZE must be a number, got 'two'"),
        ({"WORLD_SIZE": "0"}, "the variable WORLD_SIZE must be at least 1, got 0"),
        ({"WORLD_SIZE": "2"}, "RANK must be 0 to 1 with WORLD_SIZE=2, got -1"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "RANK must be 0 to 1 with WORLD_SIZE=2, got 2"),
    ],
)
def test_wrong_variables(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    monkeypatch.delenv("RANK", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=message):
        processes_from_environment()


def test_processes_that_cannot_meet(refusal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    assert "the 2 processes cannot meet" in refusal("--split", "demo")


def test_every_image_has_one_owner() -> None:
    processes = [Processes(rank, 3) for rank in range(3)]
    assert all(sum(one.owns(index) for one in processes) == 1 for index in range(20))
