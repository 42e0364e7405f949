"""Draw what the benchmarks measured: throughput, share of the bandwidth, where the time goes.

    python benchmarks/plot.py [--results benchmarks/results] [--out runs/figures] [--run RUN ...]

Draws what there is, and says what is not: ``cpu-throughput.png`` from the records of
``bench_cpu.py``, ``NAME-throughput.png`` and ``NAME-roofline.png`` from each record NAME.json of
``bench_render.py``, and ``time-split.png`` from the run folders given with ``--run``.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import figures

_EXAMPLE = """examples:
  python benchmarks/plot.py
  python benchmarks/plot.py --run runs/demo --run runs/demo-grid
  python benchmarks/plot.py --out docs/images
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    here = Path(__file__).parent
    parser.add_argument(
        "--results", type=Path, default=here / "results", help="default: benchmarks/results"
    )
    # Not docs/images, whose figures are the project's own: a run of yours must not replace them.
    parser.add_argument(
        "--out", type=Path, default=Path("runs/figures"), help="default: runs/figures"
    )
    parser.add_argument(
        "--run", type=Path, action="append", default=[], help="run folder; may be repeated"
    )
    args = parser.parse_args()
    try:
        records = {path: _read(path) for path in sorted(args.results.glob("*.json"))}
        runs = {path.name: _read_run(path) for path in args.run}
        args.out.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        print(f"plot.py: error: {error}", file=sys.stderr)
        return 2
    timed = [record for record in records.values() if "milliseconds" in record]
    on_cpu = [record for record in timed if not record["settings"].get("neighbours")]
    rendered = {path.stem: record for path, record in records.items() if "workloads" in record}
    drawn: list[Path] = []
    if on_cpu:
        drawn.append(args.out / "cpu-throughput.png")
        figures.cpu_throughput(on_cpu, drawn[-1])
    else:
        print("not drawn: cpu-throughput.png; bench_cpu.py --json makes its record")
    for name, record in rendered.items():
        for figure in (figures.throughput, figures.roofline):
            drawn.append(args.out / f"{name}-{figure.__name__}.png")
            figure(record, drawn[-1])
    if not any(record["environment"]["gpu"] for record in rendered.values()):
        print("not drawn: figures of a GPU; bench_render.py --json makes their record, on a GPU")
    if runs:
        drawn.append(args.out / "time-split.png")
        figures.time_split(runs, drawn[-1])
    else:
        print("not drawn: time-split.png; --run RUN names the run folder of an evaluation")
    for path, record in records.items():
        if record not in timed and path.stem not in rendered:
            print(f"not drawn: {path}: neither of bench_cpu.py nor of bench_render.py")
    for path in drawn:
        print(f"drawn: {path}")
    return 0


def _read(path: Path) -> dict[str, Any]:
    record = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(record, dict):
        raise ValueError(f"{path} holds no record")
    return record


def _read_run(folder: Path) -> dict[str, Any]:
    record = _read(folder / "results.json")
    if not record.get("seconds"):
        raise ValueError(f"{folder / 'results.json'} does not say where the time went")
    return record


if __name__ == "__main__":
    sys.exit(main())
