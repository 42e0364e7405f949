"""The benchmarks run, check before they time, and write what they promise."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import torch

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def run(script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_bench_cpu(tmp_path):
    path = tmp_path / "cpu.json"
    done = run(
        "bench_cpu.py", "--size", "48", "--masks", "3", "--rounds", "2", "--neighbours", "1",
        "--json", path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = json.loads(path.read_text())
    assert record["settings"] == {"size": 48, "masks": 3, "rounds": 2, "neighbours": 1}
    assert record["times_as_fast"].keys() == record["milliseconds"].keys()
    assert record["times_as_fast"]["Pillow, per candidate, fp32"] == 1.0
    assert record["mean_difference_levels"] < 0.5
    assert {"cpu", "versions", "commit", "threads"} <= set(record["environment"])
    assert record["crops"].keys() == {"224", "384"}
    for part in (record, *record["crops"].values()):
        for timing in part["milliseconds"].values():
            assert 0 < timing["low"] <= timing["median"] <= timing["high"]


def test_bench_render_smoke(tmp_path):
    path = tmp_path / "render.json"
    done = run("bench_render.py", "--smoke", "--json", str(path))
    assert done.returncode == 0, done.stderr
    rows = json.loads(path.read_text())["workloads"]["2 x 9"]
    drawn = run("plot.py", "--results", str(tmp_path), "--out", str(tmp_path / "images"))
    assert drawn.returncode == 0, drawn.stderr
    assert "not drawn: figures of a GPU" in drawn.stdout  # a run on a CPU is none
    images = sorted(path.name for path in (tmp_path / "images").iterdir())
    assert images == ["render-roofline.png", "render-throughput.png"]
    rows = {row["name"]: row for row in rows if not row["name"].startswith("graph, ")}
    assert [name.split(", ", 1)[-1] for name in rows] == [
        *("bool", "uint8", "packed", "rle", "logits"),
        *("blur_reverse_mask, render_first", "crop_mask, resize_first", "crop_mask, render_first"),
        *("torch backend", "plain torch", "torch.compile"),
        *("kornia", "torchvision", "per candidate"),
    ]
    for row in rows.values():
        for clock in ("milliseconds", "wall_milliseconds", "host_milliseconds"):
            assert 0 < row[clock]["low"] <= row[clock]["median"] <= row[clock]["high"]
    # Rivals that draw a few candidates are credited with the bytes of those alone.
    whole, few = rows["torch backend"], rows["kornia"]
    assert few["of_candidates"] == 8
    assert few["minimal_bytes"] < whole["minimal_bytes"] / 2


def test_a_row_that_fails_is_printed_and_saved_and_the_rest_goes_on(tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import bench_render
    from gpu_timing import Clock

    path = tmp_path / "record.json"
    record = bench_render.Record(path, Clock(torch.device("cpu")), 2, profile=False)
    good = torch.zeros(2)
    record.measure("1 x 1", "wrong", good.clone, 8, gate=lambda: bench_render.check(good, good + 1))
    record.measure("1 x 1", "NaN", good.clone, 8, gate=lambda: bench_render.check(good / 0, good))
    record.measure("1 x 1", "broken", lambda: 1 / 0, 8)
    saved = [row["name"] for row in json.loads(path.read_text())["workloads"]["1 x 1"]]
    record.measure("1 x 1", "good", good.clone, 8, gate=lambda: bench_render.check(good, good))
    rows = json.loads(path.read_text())["workloads"]["1 x 1"]
    assert saved == ["wrong", "NaN", "broken"]
    assert ["failed" in row for row in rows] == [True, True, True, False]
    assert record.failed == ["1 x 1: wrong", "1 x 1: NaN", "1 x 1: broken"]
    out = capsys.readouterr().out
    assert "FAILED: ValueError: differs by 255.00 levels" in out
    assert "FAILED: ZeroDivisionError" in out


def test_gpu_session_smoke(tmp_path):
    command = [str(BENCHMARKS / "gpu_session.sh"), "--smoke", str(tmp_path / "new")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    summary = (tmp_path / "new" / "summary.txt").read_text()
    assert done.returncode == 0, done.stdout + done.stderr
    parts = {line.split()[0]: line.split()[1:3] for line in summary.splitlines()}
    assert list(parts) == ["machine", "right", "large", "sanitizer", "kernels", "render"]
    assert all(parts[name] == ["exit", "0"] for name in parts if name != "sanitizer")
    assert " passed" in (tmp_path / "new" / "right.log").read_text()
    assert json.loads((tmp_path / "new" / "render.json").read_text())["workloads"]
    limits = [int(seconds) for seconds in re.findall(r", at most (\d+) s:", done.stdout)]
    assert sum(limits) + 60 <= 8 * 60  # the sanitizer, which may not be here, has 60


def test_bench_host(tmp_path):
    path = tmp_path / "host.json"
    done = run("bench_host.py", "--size", "32", "--masks", "5", "--rounds", "3", "--json", path)
    assert done.returncode == 0, done.stderr
    record = json.loads(path.read_text())
    assert record["launches"] == {"bool": 9, "packed": 9, "rle": 9, "logits": 9}
