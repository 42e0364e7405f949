"""Timing and reporting shared by the benchmarks.

Contract: a result is checked before it is timed; every contender runs in the same process, taking
turns, so that a machine that changes its speed changes it for all; the median is quoted with the
quartiles; the record says on what it was measured.
"""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from fgvp_eval.machine.devices import cpu_name
from fgvp_eval.machine.versions import package_version


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one call: median and quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, seconds: list[float]) -> Timing:
        if len(seconds) == 1:
            seconds = seconds * 2  # quantiles of one value are refused before Python 3.13
        low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
        return cls(1e3 * median, 1e3 * low, 1e3 * high)


def take_turns(
    contenders: Mapping[str, Callable[[], object]],
    rounds: int,
    keep: Callable[[dict[str, Timing]], None] = lambda timings: None,
) -> dict[str, Timing]:
    """Time every contender once a round, after one warm-up round.

    ``keep`` gets what is known after each round, so that a run cut short leaves a record.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    timings: dict[str, Timing] = {}
    for round_ in range(rounds + 1):
        for name, call in contenders.items():
            start = time.perf_counter()
            call()
            if round_ > 0:
                seconds[name].append(time.perf_counter() - start)
        if round_ > 0:
            timings = {name: Timing.of(spent) for name, spent in seconds.items()}
            keep(timings)
    return timings


def environment() -> dict[str, Any]:
    """What a figure depends on: machine, versions, commit."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    packages = ("torch", "triton", "numpy", "pillow", "kornia", "torchvision", "fgvp-kernels")
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit.stdout.strip() or None,
        "python": platform.python_version(),
        "versions": {name: package_version(name) for name in packages},
        "cpu": cpu_name(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a result; timings become plain numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, indent=2, default=lambda value: asdict(value))
    path.write_text(text + "\n", encoding="utf-8")
