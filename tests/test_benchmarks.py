"""The benchmarks run, check before they time, and write what they promise."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def run(script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / script), *map(str, arguments)]
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
    drawn = run("plot.py", "--results", str(tmp_path), "--out", str(tmp_path / "images"))
    assert drawn.returncode == 0, drawn.stderr
    assert "not drawn: figures of a GPU" in drawn.stdout  # a run on a CPU is none
    images = sorted(path.name for path in (tmp_path / "images").iterdir())
    assert images == ["render-roofline.png", "render-throughput.png"]
    names = [row["name"] for row in rows]
    assert [name.split(", ")[-1] for name in names[:4]] == ["uint8", "packed", "rle", "logits"]
    assert [name.split(", ", 1)[1] for name in names[4:7]] == [
        "blur_reverse_mask, render_first",
        "crop_mask, resize_first",
        "crop_mask, render_first",
    ]
    assert names[7:10] == ["torch backend", "plain torch", "torch.compile"]
    assert names[10:13] == ["kornia", "torchvision", "Pillow, per candidate"]
    assert all(name.startswith("graph, ") for name in names[13:])
    # Rivals that draw a few candidates are credited with the bytes of those alone.
    whole, few = rows[7], rows[10]
    assert few["of_candidates"] == 8
    assert few["minimal_bytes"] < whole["minimal_bytes"] / 2


def test_bench_host(tmp_path):
    path = tmp_path / "host.json"
    done = run("bench_host.py", "--size", "32", "--masks", "5", "--rounds", "3", "--json", path)
    assert done.returncode == 0, done.stderr
    record = json.loads(path.read_text())
    assert record["launches"] == {"bool": 9, "packed": 9, "rle": 9, "logits": 9}
