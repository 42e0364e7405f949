"""The figures of ``plot.py``: one function each, from records as the benchmarks write them.

All are 1280 pixels wide, in the colours of Okabe and Ito, which people of every colour vision can
tell apart. A caption says what a figure was measured on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # before pyplot: no window, no display

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

Record = Mapping[str, Any]

_DPI, _WIDTH = 128, 10.0  # 1280 pixels
_OUR_COLOR, _PEER_COLOR = "#0072B2", "#E69F00"
_SIZE_COLORS = ("#0072B2", "#56B4E9", "#009E73")
# Stages of an evaluation in their order, with what a reader calls them.
_STAGES = {
    "decode": ("decode", "#999999"),
    "sam": ("SAM", "#0072B2"),
    "masks": ("masks", "#56B4E9"),
    "render": ("render", "#D55E00"),
    "clip": ("CLIP", "#009E73"),
    "texts": ("texts", "#F0E442"),
    "post": ("post-processing", "#CC79A7"),
}
_OTHER_COLOR = "#000000"
_SMOKE = "SMOKE RUN ON A CPU: NOT A RESULT"


def cpu_throughput(records: Sequence[Record], path: Path) -> None:
    """Candidates drawn in a second by each contender of ``bench_cpu.py``, a bar for each size."""
    records = sorted(records, key=lambda record: record["settings"]["size"])
    names = list(dict.fromkeys(name for record in records for name in record["milliseconds"]))
    figure, axes = _figure(1.6 + 0.34 * len(names) * (len(records) + 0.7))
    height = 0.8 / len(records)
    for index, record in enumerate(records):
        count = record["settings"]["masks"]
        loop = record["milliseconds"][names[0]]["median"]
        for row, name in enumerate(names):
            if name not in record["milliseconds"]:
                continue
            timing = record["milliseconds"][name]
            place = row + (index - (len(records) - 1) / 2) * height
            _bar(axes, place, height, _rates(timing, count), _SIZE_COLORS[index % 3])
            times = "" if row == 0 else f", {loop / timing['median']:.0f} times the loop"
            text = f"{1e3 * count / timing['median']:,.0f}/s{times}"
            axes.text(_rates(timing, count)[2], place, f"  {text}", va="center")
        axes.barh(
            [0], [0], color=_SIZE_COLORS[index % 3], label=f"S = {record['settings']['size']}"
        )
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(right=1.45 * axes.get_xlim()[1])
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("candidates drawn in a second")
    counts = sorted({record["settings"]["masks"] for record in records})
    axes.set_title(f"{_listed(counts)} candidates of a 600×400 photo, blurred outside, on a CPU")
    axes.legend(loc="lower right")
    rounds = _listed(sorted({record["settings"]["rounds"] for record in records}))
    captions = dict.fromkeys(_machine(record["environment"]) for record in records)
    _save(figure, [*captions, f"Median of {rounds} rounds; whiskers: quartiles."], path)


def throughput(record: Record, path: Path) -> None:
    """Candidates drawn in a second by each contender of ``bench_render.py``, for each workload."""

    def draw(axes: Axes, place: float, workload: str, row: Record) -> None:
        count = row.get("of_candidates", _candidates(workload))
        low, middle, high = _rates(row["milliseconds"], count)
        color = _OUR_COLOR if _is_ours(row["name"]) else _PEER_COLOR
        axes.plot([low, high], [place, place], color="black", linewidth=1.5)
        axes.plot([middle], [place], "o", color=color, markersize=9)
        axes.annotate(
            f"{_short(middle)}/s", (high, place), (9, 0), textcoords="offset points", va="center"
        )

    figure, axes = _workloads(record, record["workloads"], draw)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * (high / low) ** 0.1)
    axes.set_xlabel("candidates drawn in a second (logarithmic)")
    axes.set_title(_title(record, f"Throughput, S = {record['size']}, fp16, blur outside"))
    _legend_of_peers(figure)
    _save(figure, [_machine(record["environment"]), "Dots: medians; lines: quartiles."], path)


def roofline(record: Record, path: Path) -> None:
    """Share of the device's copy bandwidth that each contender reaches on the least bytes."""

    def draw(axes: Axes, place: float, workload: str, row: Record) -> None:
        timing, bandwidth = row["milliseconds"], record["copy_bytes_per_second"]
        shares = tuple(1e5 * row["minimal_bytes"] / timing[key] / bandwidth for key in _ORDER)
        color = _OUR_COLOR if _is_ours(row["name"]) else _PEER_COLOR
        _bar(axes, place, 0.75, shares, color)
        axes.text(
            max(shares), place, f"  {shares[1]:.1f} %", va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )  # fmt: skip

    # Those that draw one candidate after the other are not limited by bandwidth.
    whole = {
        name: [row for row in rows if "of_candidates" not in row]
        for name, rows in record["workloads"].items()
    }
    figure, axes = _workloads(record, whole, draw)
    axes.axvline(100, color="black", linestyle="--", linewidth=1)
    axes.set_xlim(0, max(115, 1.15 * axes.get_xlim()[1]))
    copy = record["copy_bytes_per_second"] / 1e9
    axes.set_xlabel(f"% of the bandwidth of a large copy, {copy:,.0f} GB/s")
    axes.set_title(_title(record, f"Share of the copy bandwidth, S = {record['size']}, fp16"))
    _legend_of_peers(figure)
    note = "Bytes: masks and images read once, pictures written once. Whiskers: quartiles."
    _save(figure, [_machine(record["environment"]), note], path)


def time_split(runs: Mapping[str, Record], path: Path) -> None:
    """Where the time of evaluations went, loading aside; a bar for each run's ``results.json``."""
    figure, axes = _figure(2.0 + 0.9 * len(runs))
    known = [stage for stage in _STAGES if any(stage in run["seconds"] for run in runs.values())]
    others = {stage for run in runs.values() for stage in run["seconds"]} - {*_STAGES, "load"}
    for row, run in enumerate(runs.values()):
        total = sum(spent for stage, spent in run["seconds"].items() if stage != "load")
        start = 0.0
        for stage in (*known, *sorted(others)):
            share = 100 * run["seconds"].get(stage, 0.0) / total
            color = _STAGES.get(stage, (stage, _OTHER_COLOR))[1]
            axes.barh(row, share, left=start, color=color, edgecolor="white", height=0.6)
            if share >= 4:
                dark = color in ("#0072B2", "#D55E00", _OTHER_COLOR)
                axes.text(
                    start + share / 2, row, f"{share:.0f} %", ha="center", va="center",
                    color="white" if dark else "black",
                )  # fmt: skip
            start += share
        axes.text(101, row, f"{total:.1f} s", va="center")
    for stage in (*known, *sorted(others)):
        name, color = _STAGES.get(stage, (stage, _OTHER_COLOR))
        axes.barh([0], [0], color=color, label=name)
    axes.set_yticks(range(len(runs)), list(runs))
    axes.invert_yaxis()
    axes.set_xlim(0, 112)
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel("% of the time of a run, loading aside")
    axes.set_title("Where the time of an evaluation goes")
    figure.legend(loc="outside right upper")
    _save(figure, list(dict.fromkeys(_run_caption(run) for run in runs.values())), path)


_ORDER = ("high", "median", "low")  # of milliseconds; rates are then in ascending order


def _figure(height: float) -> tuple[Figure, Axes]:
    plt.rcParams |= {"font.size": 12, "axes.spines.top": False, "axes.spines.right": False}
    return plt.subplots(figsize=(_WIDTH, height), layout="constrained")


def _workloads(
    record: Record, workloads: Mapping[str, Sequence[Record]], draw: Any
) -> tuple[Figure, Axes]:
    """Draw each row that was timed on a line of its own, workloads under headings."""
    workloads = {
        name: [row for row in rows if "milliseconds" in row] for name, rows in workloads.items()
    }
    lines = sum(len(rows) + 1.2 for rows in workloads.values())
    figure, axes = _figure(1.8 + 0.3 * lines)
    places, labels = [], []
    place = 0.0
    for workload, rows in workloads.items():
        images, masks = workload.split(" x ")
        heading = f"{images} image{'s' if images != '1' else ''} × {masks} masks"
        axes.text(0.005, place, heading, transform=axes.get_yaxis_transform(), weight="bold")
        for row in rows:
            place += 1
            few = row.get("of_candidates")
            places.append(place)
            labels.append(row["name"] + (f" ({few} masks)" if few else ""))
            draw(axes, place, workload, row)
        place += 1.2
    axes.set_yticks(places, labels)
    axes.set_ylim(place - 0.6, -0.8)
    axes.grid(axis="x", alpha=0.3)
    return figure, axes


def _bar(axes: Axes, place: float, height: float, spread: Sequence[float], color: str) -> None:
    low, middle, high = spread
    axes.barh(place, middle, height=0.92 * height, color=color)
    axes.errorbar(middle, place, xerr=[[middle - low], [high - middle]], color="black", capsize=3)


def _rates(timing: Mapping[str, float], count: int) -> tuple[float, float, float]:
    """Candidates a second: lower quartile, median, upper quartile."""
    low, middle, high = (1e3 * count / timing[key] for key in _ORDER)
    return low, middle, high


def _candidates(workload: str) -> int:
    images, masks = workload.split(" x ")
    return int(images) * int(masks)


def _legend_of_peers(figure: Figure) -> None:
    handles = [
        Patch(color=_OUR_COLOR, label="this package"),
        Patch(color=_PEER_COLOR, label="peers"),
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=2)


def _is_ours(name: str) -> bool:
    return name.startswith(("triton", "torch, ", "torch backend"))


def _title(record: Record, title: str) -> str:
    return title if record["environment"]["gpu"] else f"{_SMOKE}\n{title}"


def _machine(environment: Record) -> str:
    threads = f"{environment['threads']} thread{'s' if environment['threads'] > 1 else ''}"
    device = environment["gpu"] or f"{environment['cpu']}, {threads}"
    torch = environment["versions"]["torch"]
    return f"{device}; torch {torch}; commit {environment['commit']}; {environment['date']}."


def _run_caption(run: Record) -> str:
    commit = run["versions"].get("commit") or "not recorded"
    device, torch = run["device"], run["versions"]["torch"]
    return f"Device {device}; torch {torch}; commit {commit}."


def _short(value: float) -> str:
    for limit, divisor, unit in ((1e6, 1e6, " M"), (1e4, 1e3, " k")):
        if value >= limit:
            return f"{value / divisor:.3g}{unit}"
    return f"{value:,.0f}"


def _listed(values: Sequence[object]) -> str:
    return " or ".join(map(str, values))


def _save(figure: Figure, captions: Sequence[str], path: Path) -> None:
    figure.supxlabel("\n".join(captions), fontsize=10, color="#444444", x=0.01, ha="left")
    figure.savefig(path, dpi=_DPI)
    plt.close(figure)
