"""The figures show the numbers of the records, and what there is no record of is said."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from PIL import Image

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def figures(monkeypatch):
    """The module, whose figures stay open."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import figures

    monkeypatch.setattr(figures.plt, "close", lambda figure: None)
    yield figures
    monkeypatch.undo()
    plt.close("all")


def timing(median: float) -> dict[str, float]:
    return {"low": 0.8 * median, "median": median, "high": 1.25 * median}


def record(gpu: str | None) -> dict:
    """A record of ``bench_render.py`` with invented numbers."""
    rows = [
        {"name": "triton, rle", "milliseconds": timing(2.0), "minimal_bytes": 4_000_000},
        {"name": "kornia", "milliseconds": timing(10.0), "minimal_bytes": 4_000_000},
    ]
    rows[1]["of_candidates"] = 8
    versions = {"torch": "2.14.1"}
    environment = {"gpu": gpu, "cpu": "EPYC", "threads": 2, "commit": "abc", "date": "2026-01-01"}
    return {
        "size": 336,
        "copy_bytes_per_second": 4e9,
        "workloads": {"4 x 10": rows, "1 x 64": rows[:1]},
        "environment": environment | {"versions": versions},
    }


@pytest.mark.parametrize("gpu", [None, "H100"])
def test_throughput_and_share_of_the_bandwidth(figures, tmp_path, gpu):
    figures.throughput(record(gpu), tmp_path / "throughput.png")
    axes = plt.gca()
    dots = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert dots == [20_000, 800, 32_000]  # 40 in 2 ms, 8 in 10 ms, 64 in 2 ms
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        *("triton, rle", "kornia (8 masks)", "triton, rle"),
    ]
    assert ("NOT A RESULT" in axes.get_title()) == (gpu is None)
    figures.roofline(record(gpu), tmp_path / "roofline.png")
    axes = plt.gca()
    # 4 MB in 2 ms are half of 4 GB/s; kornia was timed on a part of the bytes.
    assert [round(bar.get_width()) for bar in axes.patches] == [50, 50]
    assert "4 GB/s" in axes.get_xlabel()
    caption = plt.gcf().get_supxlabel()
    assert caption.startswith(f"{gpu or 'EPYC, 2 threads'}; torch 2.14.1; commit abc; 2026-01-01.")
    with Image.open(tmp_path / "roofline.png") as picture:
        assert picture.width == 1280


def test_throughput_of_a_cpu(figures, tmp_path):
    one = {
        "settings": {"size": 336, "masks": 64, "rounds": 9},
        "milliseconds": {"Pillow": timing(800.0), "render_batch": timing(20.0)},
        "environment": record(None)["environment"],
    }
    other = dict(one, settings={"size": 224, "masks": 64, "rounds": 9})
    figures.cpu_throughput([one, other], tmp_path / "cpu.png")
    axes = plt.gca()
    assert [bar.get_width() for bar in axes.patches if bar.get_width()] == [80, 3200] * 2
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["S = 224", "S = 336"]
    assert "3,200/s, 40 times the loop" in [text.get_text().strip() for text in axes.texts]


def test_time_split(figures, tmp_path):
    run = {
        "seconds": {"load": 9.0, "sam": 6.0, "render": 1.0, "clip": 2.0, "new": 1.0},
        "device": "cpu",
        "versions": {"torch": "2.14.1", "commit": "abc"},
    }
    figures.time_split({"demo": run, "old": dict(run, versions={"torch": "2.11"})}, tmp_path / "t")
    axes = plt.gca()
    shares = [bar.get_width() for bar in axes.patches if bar.get_width()]
    assert shares == [60, 10, 20, 10] * 2
    assert "10.0 s" in [text.get_text() for text in axes.texts]
    assert plt.gcf().get_supxlabel().splitlines() == [
        "Device cpu; torch 2.14.1; commit abc.",
        "Device cpu; torch 2.11; commit not recorded.",
    ]


@pytest.fixture
def plot(monkeypatch, capsys, tmp_path):
    """Run the command line; gives exit code, stdout and stderr."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import plot

    def call(*words: object) -> tuple[int, str, str]:
        out = ("--out", tmp_path / "images")
        monkeypatch.setattr(sys, "argv", ["plot.py", *map(str, (*out, *words))])
        code = plot.main()
        return code, *capsys.readouterr()

    return call


def test_the_committed_records_are_drawn(plot, tmp_path):
    code, out, _ = plot()
    assert code == 0
    assert (tmp_path / "images" / "cpu-throughput.png").is_file()
    assert "not drawn: time-split.png" in out


def test_nothing_is_drawn_over_the_figures_of_the_docs(plot, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["plot.py", "--results", str(BENCHMARKS / "results")])
    import plot as command

    assert command.main() == 0
    assert (tmp_path / "runs" / "figures" / "cpu-throughput.png").is_file()


def test_what_is_missing_is_said(plot, tmp_path):
    (tmp_path / "other.json").write_text("{}")
    code, out, _ = plot("--results", tmp_path)
    assert code == 0
    assert "not drawn: cpu-throughput.png" in out
    assert "not drawn: figures of a GPU" in out
    assert "other.json: neither" in out


@pytest.mark.parametrize("content", [None, "{", "[]", json.dumps({"seconds": {}})])
def test_a_run_that_is_none_is_one_line(plot, tmp_path, content):
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    code, out, err = plot("--run", tmp_path)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
