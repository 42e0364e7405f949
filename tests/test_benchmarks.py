"""The benchmarks run, check before they time, and write what they promise."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_bench_cpu(tmp_path):
    path = tmp_path / "cpu.json"
    done = run("bench_cpu.py", "--size", "48", "--masks", "3", "--rounds", "2", "--json", str(path))
    assert done.returncode == 0, done.stderr
    record = json.loads(path.read_text())
    assert record["settings"] == {"size": 48, "masks": 3, "rounds": 2}
    assert record["mean_difference_levels"] < 0.5
    assert {"cpu", "versions", "commit", "threads"} <= set(record["environment"])
    for timing in record["milliseconds"].values():
        assert 0 < timing["low"] <= timing["median"] <= timing["high"]


def test_bench_render_smoke(tmp_path):
    path = tmp_path / "render.json"
    done = run("bench_render.py", "--smoke", "--json", str(path))
    assert done.returncode == 0, done.stderr
    rows = json.loads(path.read_text())["workloads"]["2 x 9"]
    names = [row["name"] for row in rows]
    assert [name.split(", ")[-1] for name in names[:4]] == ["uint8", "packed", "rle", "logits"]
    assert [name.split(", ", 1)[1] for name in names[4:7]] == [
        "blur_reverse_mask, render_first",
        "crop_mask, resize_first",
        "crop_mask, render_first",
    ]
    assert names[7:] == ["torch backend", "plain torch", "torch.compile", "kornia", "torchvision"]
