"""Comparisons of stored runs against statistics computed another way."""

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fgvp_eval.commands import compare
from fgvp_eval.results.bootstrap import clustered_interval

GOLD = [0.0, 0.0, 10.0, 10.0]
ELSEWHERE = [20.0, 20.0, 30.0, 30.0]


def write_run(
    folder: Path,
    correct: Sequence[bool],
    *,
    split: str = "demo",
    mode: str = "crop",
    **changes: Any,
) -> Path:
    """Write a run with only the fields of the contract."""
    folder.mkdir(exist_ok=True)
    (folder / "results.json").write_text(json.dumps({"schema_version": 1}))
    lines = []
    for index, right in enumerate(correct):
        record = {
            "sample_id": f"{split}:{index}:0",
            "image": f"image{index // 2}.jpg",
            "text": f"thing {index}" if index % 3 else f"left thing {index}",
            "mode": mode,
            "candidates_xyxy": [GOLD, ELSEWHERE],
            "scores": [1.0, 0.0] if right else [0.0, 1.0],
            "pred": 0 if right else 1,
            "gold_xyxy": GOLD,
            "iou": 1.0 if right else 0.0,
            "correct": bool(right),
        } | changes
        lines.append(json.dumps(record) + "\n")
    with (folder / "samples.jsonl").open("a") as file:
        file.writelines(lines)
    return folder


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    capsys.readouterr()
    assert compare.main([str(word) for word in words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


def compared(tmp_path: Path, *words: object) -> list[dict[str, Any]]:
    path = tmp_path / "out.json"
    assert compare.main([*(str(word) for word in words), "--json", str(path)]) == 0
    return json.loads(path.read_text())  # type: ignore[no-any-return]


def slow_mcnemar(only_a: int, only_b: int) -> float:
    """Two-sided exact test: all splits of the flips that are at most as likely as this one."""
    flips = only_a + only_b
    chances = [math.comb(flips, k) / 2**flips for k in range(flips + 1)]
    return min(1.0, sum(chance for chance in chances if chance <= chances[only_b] * (1 + 1e-9)))


def slow_interval(values: np.ndarray, images: list[str]) -> tuple[float, float]:
    rng = np.random.default_rng(99)
    names = sorted(set(images))
    members = {name: [k for k, image in enumerate(images) if image == name] for name in names}
    means = []
    for _ in range(3000):
        drawn = [k for name in rng.choice(names, len(names)) for k in members[name]]
        means.append(values[drawn].mean())
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


@pytest.mark.parametrize("seed", range(3))
def test_statistics_of_two_runs(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.random(80) < 0.5, rng.random(80) < 0.7
    a, b = write_run(tmp_path / "a", first), write_run(tmp_path / "b", second)
    (found,) = compared(tmp_path, a, b)
    only_a, only_b = first & ~second, second & ~first
    assert [flip["sample_id"] for flip in found["only_a"]] == [
        f"demo:{index}:0" for index in np.flatnonzero(only_a)
    ]
    assert len(found["only_b"]) == only_b.sum()
    assert found["difference"] == pytest.approx(second.mean() - first.mean())
    assert found["p_value"] == pytest.approx(slow_mcnemar(only_a.sum(), only_b.sum()))
    images = [f"image{index // 2}.jpg" for index in range(80)]
    expected = slow_interval(second.astype(float) - first, images)
    assert found["interval_95"] == pytest.approx(expected, abs=0.02)


def test_bootstrap_is_seeded_and_knows_clusters() -> None:
    values = [1.0, 1.0, 1.0, 0.0, 0.0, 0.0] * 10
    together = [k // 3 for k in range(60)]
    assert clustered_interval(values, together) == clustered_interval(values, together)
    alone = clustered_interval(values, range(60))
    low, high = clustered_interval(values, together)
    assert high - low > 1.4 * (alone[1] - alone[0])
    assert clustered_interval([1.0], ["a"]) == (1.0, 1.0)
    rows = clustered_interval(values, together, seed=1)
    assert rows == pytest.approx((low, high), abs=0.1)


def test_equal_runs_do_not_differ(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = write_run(tmp_path / "a", [True, False, True])
    (found,) = compared(tmp_path, a, a)
    assert (found["difference"], found["p_value"], found["interval_95"]) == (0.0, 1.0, [0.0, 0.0])


def test_table_and_flips_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = write_run(tmp_path / "a", [True, True, False, True])
    b = write_run(tmp_path / "b", [True, False, True, False])
    assert compare.main([str(a), str(b), "--flips", "1"]) == 0
    out = capsys.readouterr().out
    assert "| demo    | crop | crop |   4 |  75.0 |  50.0 |" in out
    assert "Only A right (demo): 2\n- demo:1:0: 'thing 1' (A chose 0, B chose 1)\n" in out
    assert "- and 1 more (--flips 2, or --json FILE)" in out
    assert "Only B right (demo): 1\n- demo:2:0" in out


def test_subset_of_sentences_with_words_of_place(tmp_path: Path) -> None:
    a, b = write_run(tmp_path / "a", [True] * 9), write_run(tmp_path / "b", [False] * 9)
    (found,) = compared(tmp_path, a, b, "--subset", "location")
    assert [flip["text"] for flip in found["only_a"]] == [
        *("left thing 0", "left thing 3", "left thing 6"),
    ]


def test_subset_leaves_out_splits_without_such_sentences(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_run(tmp_path / name, [True, True])
        write_run(tmp_path / name, [True], split="refcoco_val", text="plain thing")
    words = (tmp_path / "a", tmp_path / "b")
    assert [item["split"] for item in compared(tmp_path, *words)] == ["demo", "refcoco_val"]
    assert [item["split"] for item in compared(tmp_path, *words, "--subset", "location")] == [
        "demo"
    ]


def test_rows_of_equal_modes_are_paired(tmp_path: Path, capsys: Any) -> None:
    for name in ("a", "b"):
        write_run(tmp_path / name, [True, False], mode="crop")
        write_run(tmp_path / name, [True, True], mode=f"only_{name}")
    (found,) = compared(tmp_path, tmp_path / "a", tmp_path / "b")
    assert (found["label_a"], found["label_b"]) == ("crop", "crop")
    words = (tmp_path / "a", tmp_path / "b", "--modes-a", "crop", "--modes-b", "only_b")
    (found,) = compared(tmp_path, *words)
    assert (found["accuracy_a"], found["accuracy_b"]) == (0.5, 1.0)
    line = refused(capsys, tmp_path / "a", tmp_path / "b", "--modes-b", "circle")
    assert "--modes-b circle: " in line
    assert "has crop, only_b on demo" in line


def test_rows_are_named_as_modes_are_everywhere(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_run(tmp_path / name, [True, False], mode="crop")
        write_run(tmp_path / name, [True, True], mode="crop+blur_reverse_mask")
    words = (tmp_path / "a", tmp_path / "b", "--modes-a", "P", "--modes-b")
    for label in ("D4+crop", "crop,official:blur_mask", "crop+blur_reverse_mask"):
        (found,) = compared(tmp_path, *words, label)
        assert (found["label_a"], found["label_b"]) == ("crop", "crop+blur_reverse_mask")


def test_runs_that_agree_get_one_line_and_no_empty_lists(tmp_path: Path, capsys: Any) -> None:
    for mode in ("crop", "contour"):
        a = write_run(tmp_path / "a", [True, False], mode=mode)
    assert compare.main([str(a), str(a)]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == ["", "No sentence flipped."]


def test_single_rows_are_paired_whatever_their_modes(tmp_path: Path) -> None:
    a, b = write_run(tmp_path / "a", [True]), write_run(tmp_path / "b", [True], mode="contour")
    (found,) = compared(tmp_path, a, b)
    assert found["label_b"] == "contour"


def test_runs_without_shared_modes(tmp_path: Path, capsys: Any) -> None:
    a, b = tmp_path / "a", write_run(tmp_path / "b", [True], mode="contour")
    for mode in ("crop", "circle"):
        write_run(a, [True], mode=mode)
    assert "share no modes on demo: crop, circle against contour" in refused(capsys, a, b)


def test_different_samples_are_refused(tmp_path: Path, capsys: Any) -> None:
    a = write_run(tmp_path / "a", [True, True, True])
    fewer = write_run(tmp_path / "fewer", [True, True])
    assert "are of different samples of demo: 1 are in one of them only, for example demo:2:0" in (
        refused(capsys, a, fewer)
    )
    other = write_run(tmp_path / "other", [True, True, True], text="another")
    assert "are of different samples: demo:0:0 is 'left thing 0' in one and 'another'" in (
        refused(capsys, a, other)
    )
    split = write_run(tmp_path / "split", [True, True, True], split="refcoco_val")
    assert "has no sentences of demo: the runs differ in splits" in refused(capsys, a, split)


def test_broken_runs_are_refused(tmp_path: Path, capsys: Any) -> None:
    a = write_run(tmp_path / "a", [True])
    assert "is no run folder" in refused(capsys, a, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "results.json is missing" in refused(capsys, a, tmp_path / "empty")
    parts = write_run(tmp_path / "parts", [True])
    (parts / "results.json").write_text('{"task": "parts"}')
    assert "is a run of parts, and only runs of sentences" in refused(capsys, a, parts)
    torn = write_run(tmp_path / "torn", [True])
    with (torn / "samples.jsonl").open("a") as file:
        file.write('{"sample_id": "de')
    assert "samples.jsonl: line 2 is truncated or no JSON" in refused(capsys, a, torn)
    (torn / "samples.jsonl").write_text('{"sample_id": "demo:0:0"}\n')
    assert "line 1 is no sentence's result: it lacks image, text" in refused(capsys, a, torn)
    assert "required: RUN_B" in refused(capsys, a)
    assert "--flips and --seed must be at least 0" in refused(capsys, a, a, "--flips", "-1")
    assert "--subset: invalid choice" in refused(capsys, a, a, "--subset", "colour")
    assert "hold no sentences of subset location to compare on" in refused(
        capsys,
        *(write_run(tmp_path / name, [True], text="thing") for name in ("c", "d")),
        *("--subset", "location"),
    )


def test_closed_pipe_is_no_failure(tmp_path: Path) -> None:
    a, b = write_run(tmp_path / "a", [True] * 40), write_run(tmp_path / "b", [False] * 40)
    words = [sys.executable, "-m", "fgvp_eval.compare", str(a), str(b), "--flips", "40"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0
