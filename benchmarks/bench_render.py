"""Throughput of the renderer on a GPU, against the measured copy bandwidth and against peers.

    python benchmarks/bench_render.py [--json benchmarks/results/NAME.json]

Correctness is checked before a row is timed; a row that fails says why, and the others go on. A
figure is the median over rounds, each with a flushed L2 cache; bytes are the least there are (masks
and images read once, pictures written once). The record is written anew after every row.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench_cpu import pillow_loop
from fgvp_kernels import MaskLogits, PackedMasks, RenderOptions, render_batch
from gpu_timing import Clock, Replay
from peers import per_candidate, select_with_torch
from timing import environment, write_json

SIGMA = 100.0
# images, masks an image, image height and width
WORKLOADS = {
    "32 x 64": (32, 64, 480, 640),
    "64 x 10": (64, 10, 480, 640),
    "1 x 64": (1, 64, 480, 640),
}
# Modes and orders whose pictures are resampled one by one.
RESAMPLED = [
    ("blur_reverse_mask", "render_first"),
    ("crop_mask", "resize_first"),
    ("crop_mask", "render_first"),
]


def make_scene(
    images: int, masks: int, height: int, width: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise with structure, and elliptic masks of about 8 % of the picture."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    pictures = torch.from_numpy(rng.integers(0, 256, (images, 3, height, width), np.uint8))
    stacks = np.empty((images, masks, height, width), np.bool_)
    for stack in stacks:
        for mask in stack:
            cy, cx = rng.uniform(0.2, 0.8) * height, rng.uniform(0.2, 0.8) * width
            ry, rx = rng.uniform(0.08, 0.24, 2) * (height, width)
            mask[...] = ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1
    return pictures.to(device), torch.from_numpy(stacks).to(device)


def mask_forms(masks: torch.Tensor) -> dict[str, tuple[list[Any], int]]:
    """Every form of the masks, with its bytes."""
    count = masks.shape[0] * masks.shape[1]
    rles, runs = [], 0
    for stack in masks.cpu().numpy():
        rles.append([_rle(mask) for mask in stack])
        runs += sum(len(rle["counts"]) for rle in rles[-1])
    packed = [PackedMasks.pack(stack) for stack in masks]
    size = (masks.shape[2], masks.shape[3])
    side = 1024
    unpadded = tuple(int(length * side / max(size) + 0.5) for length in size)
    random = torch.randn(masks.shape[1], 256, 256, device=masks.device).half()
    logits = [MaskLogits(random.clone(), unpadded, size) for _ in masks]
    return {
        "bool": (list(masks), masks.numel()),
        "uint8": (list(masks.to(torch.uint8)), masks.numel()),
        "packed": (packed, sum(form.bits.numel() for form in packed)),
        "rle": (rles, 4 * runs),
        "logits": (logits, 2 * count * 256 * 256),
    }


def _rle(mask: np.ndarray) -> dict[str, Any]:
    flat = mask.T.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if flat[0] else counts}


class Record:
    """What is measured: each row is printed and saved as it comes, a failed one like the others.

    A row holds milliseconds between events (``milliseconds``), on the wall clock of a caller that
    waits (``wall_milliseconds``) and until the call returns (``host_milliseconds``); or ``failed``,
    why there are none; or ``missing``, the package that is not installed.
    """

    def __init__(self, path: Path | None, clock: Clock, rounds: int, profile: bool) -> None:
        self.path, self.clock, self.rounds, self.profile = path, clock, rounds, profile
        self.bandwidth = clock.copy_bandwidth()
        self.workloads: dict[str, list[dict[str, Any]]] = {}
        self.facts = {
            "sigma": SIGMA, "copy_bytes_per_second": self.bandwidth, "environment": environment()
        }  # fmt: skip

    def measure(
        self,
        workload: str,
        name: str,
        call: Callable[[], object],
        least: int,
        *,
        gate: Callable[[], None] = lambda: None,
        on_cpu: bool = False,
        rounds: int | None = None,
        of_candidates: int | None = None,
    ) -> None:
        """Add one row.

        Args:
            workload, name: What is measured.
            call: What is timed.
            least: Bytes that must move.
            gate: Raises where the pictures are wrong, which are then not timed.
            on_cpu: The call knows nothing of the device, the wall clock times it.
            rounds: How often; as the record has it without this.
            of_candidates: How many candidates the call draws, if not all of the workload.
        """
        clock = Clock(torch.device("cpu")) if on_cpu else self.clock
        row: dict[str, Any] = {"name": name, "minimal_bytes": least}
        if of_candidates is not None:
            row["of_candidates"] = of_candidates
        try:
            gate()
            row |= self._timed(clock, call, least, rounds or self.rounds)
        except ModuleNotFoundError as error:
            row["missing"] = error.name
        except Exception as error:  # whatever it is, the other rows are worth having
            row["failed"] = f"{type(error).__name__}: {str(error).strip()[:2000]}"
        self.workloads.setdefault(workload, []).append(row)
        print(self._line(row), flush=True)
        self.save()

    def _timed(
        self, clock: Clock, call: Callable[[], object], least: int, rounds: int
    ) -> dict[str, Any]:
        start = time.perf_counter()
        call()
        clock.synchronize()
        cold = time.perf_counter() - start
        timing = clock.time(call, rounds)
        row = {
            "milliseconds": timing,
            "wall_milliseconds": clock.wall(call, rounds),
            "host_milliseconds": clock.host_overhead(call, rounds),
            "first_call_seconds": cold,
            "bytes_per_second": least / (timing.median / 1e3),
            "peak_bytes": clock.peak_bytes(call),
        }
        if self.profile:
            row["kernel_milliseconds"] = clock.kernel_milliseconds(call)
        return row

    def _line(self, row: dict[str, Any]) -> str:
        if "missing" in row:
            return f"{row['name']:40} not installed: {row['missing']}"
        if "failed" in row:
            return f"{row['name']:40} FAILED: {row['failed'].splitlines()[0]}"
        lines = [
            f"{row['name']:40} {row['milliseconds'].median:9.3f} ms  "
            f"{row['bytes_per_second'] / 1e9:7.0f} GB/s "
            f"{row['bytes_per_second'] / self.bandwidth:6.1%} of copy  "
            f"wall {row['wall_milliseconds'].median:7.3f} ms  "
            f"host {row['host_milliseconds'].median:7.3f} ms  "
            f"first call {row['first_call_seconds']:.2f} s"
        ]
        for kernel, spent in row.get("kernel_milliseconds", {}).items():
            lines.append(f"    {spent:9.4f} ms  {kernel}")
        return "\n".join(lines)

    @property
    def failed(self) -> list[str]:
        """Names of the rows that failed."""
        return [
            f"{workload}: {row['name']}"
            for workload, rows in self.workloads.items()
            for row in rows
            if "failed" in row
        ]

    def save(self) -> None:
        """Write what there is."""
        if self.path is not None:
            write_json(self.path, self.facts | {"workloads": self.workloads})


def check(pictures: torch.Tensor, expected: torch.Tensor) -> None:
    """The gate: levels in [0, 1] must be those of the torch backend.

    Raises:
        ValueError: They are not.
    """
    difference = (pictures - expected).abs() * 255
    if not (float(difference.max()) <= 1.05 and float(difference.mean()) <= 0.05):  # NaN fails too
        worst = float(difference.max())
        raise ValueError(f"differs by {worst:.2f} levels from the torch backend, not timed")


def measure_workload(
    record: Record, workload: str, sizes: tuple[int, int, int, int], size: int, backend: str
) -> None:
    """The rows of this package: every form of masks, as called and as a graph's replay."""
    clock = record.clock
    images, masks = make_scene(*sizes, clock.device)
    count = masks.shape[0] * masks.shape[1]
    out = torch.empty(count, 3, size, size, dtype=torch.float16, device=clock.device)
    written = out.numel() * 2 + images.numel()
    for form, (values, read) in mask_forms(masks).items():

        def render(values=values) -> torch.Tensor:
            return render_batch(
                images, values, "blur_reverse_mask", size=size, normalize="clip",
                dtype=torch.float16, backend=backend, out=out,
            )  # fmt: skip

        def gate(values=values) -> None:
            keywords = {"size": size, "dtype": torch.float32}
            one = (images[:1], values[:1])
            check(
                render_batch(*one, backend=backend, **keywords),
                render_batch(*one, backend="torch", **keywords),
            )

        record.measure(workload, f"{backend}, {form}", render, written + read, gate=gate)
        if clock.on_gpu and "failed" not in record.workloads[workload][-1]:
            record.measure(workload, f"graph, {form}", Replay(render), written + read)
    _measure_resampled(record, workload, images, masks, size, backend)


def _measure_resampled(
    record: Record,
    workload: str,
    images: torch.Tensor,
    masks: torch.Tensor,
    size: int,
    backend: str,
) -> None:
    """Pictures that are resampled one by one: drawn at native size first, or crops."""
    count = masks.shape[0] * masks.shape[1]
    out = torch.empty(count, 3, size, size, dtype=torch.float16, device=record.clock.device)
    least = out.numel() * 2 + images.numel() + masks.numel()
    for mode, order in RESAMPLED:
        keywords = {"mode": mode, "size": size, "order": order}

        def render(keywords=keywords) -> torch.Tensor:
            return render_batch(
                images, list(masks), normalize="clip", dtype=torch.float16, backend=backend,
                out=out, **keywords,
            )  # fmt: skip

        def gate(keywords=keywords) -> None:
            few = (images[:1], masks[:1, :8])
            check(
                render_batch(*few, dtype=torch.float32, backend=backend, **keywords),
                render_batch(*few, dtype=torch.float32, backend="torch", **keywords),
            )

        record.measure(workload, f"{backend}, {mode}, {order}", render, least, gate=gate)


def measure_peers(
    record: Record, workload: str, sizes: tuple[int, int, int, int], size: int
) -> None:
    """Rivals at the size of the pictures: they are spared both resizes, which favours them.

    Those that draw one candidate after the other are too slow for the whole workload.
    """
    images, masks = make_scene(*sizes, record.clock.device)
    small = torch.nn.functional.interpolate(images.float(), (size, size)).to(torch.uint8)
    bits = torch.nn.functional.interpolate(masks.float(), (size, size)) > 0  # [B, N, S, S]
    image, few = small[:1], bits[:1, :8]
    # Machine code for a CPU takes minutes and is not what is compared.
    compiler = "inductor" if record.clock.on_gpu else "aot_eager"
    compiled = torch.compile(select_with_torch, backend=compiler)
    torch_keywords = {"size": size, "normalize": "clip", "dtype": torch.float16}
    rounds = max(3, record.rounds // 5)
    calls = {
        "torch backend": lambda: render_batch(
            small, bits, "blur_reverse_mask", backend="torch", options=RenderOptions(sigma=SIGMA),
            **torch_keywords,
        ),
        "plain torch": lambda: select_with_torch(small, bits, SIGMA),
        "torch.compile": lambda: compiled(small, bits, SIGMA),
    }  # fmt: skip
    for name, call in calls.items():
        record.measure(workload, name, call, _least_bytes(small, bits), rounds=rounds)
    # Pillow knows nothing of the device.
    array, arrays = image[0].permute(1, 2, 0).cpu().numpy(), few[0].cpu().numpy()
    slow_calls = {
        "kornia": lambda: per_candidate(image, few, SIGMA, "kornia"),
        "torchvision": lambda: per_candidate(image, few, SIGMA, "torchvision"),
        "Pillow, per candidate": lambda: pillow_loop(array, arrays, size),
    }
    for name, call in slow_calls.items():
        record.measure(
            workload, name, call, _least_bytes(image, few), on_cpu=name.startswith("Pillow"),
            rounds=rounds, of_candidates=few.shape[1],
        )  # fmt: skip


def _least_bytes(images: torch.Tensor, masks: torch.Tensor) -> int:
    """Bytes that must move: uint8 images and masks read, pictures of fp16 in three channels."""
    return images.numel() + masks.numel() * (1 + 6)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=336)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--workload", choices=WORKLOADS, action="append", help="only this one; may be repeated"
    )
    parser.add_argument("--no-peers", action="store_true", help="only this package")
    parser.add_argument("--profile", action="store_true", help="times of the kernels as well")
    parser.add_argument("--smoke", action="store_true", help="a tiny workload, on a CPU as well")
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and not args.smoke:
        raise SystemExit("bench_render.py needs a GPU; benchmarks/bench_cpu.py is for CPUs")
    backend = "triton" if device.type == "cuda" else "torch"
    workloads = {name: WORKLOADS[name] for name in args.workload or WORKLOADS}
    size, rounds = args.size, args.rounds
    if args.smoke:
        workloads, size, rounds = {"2 x 9": (2, 9, 60, 80)}, 32, 2
    record = Record(args.json, Clock(device), rounds, args.profile)
    record.facts["size"] = size
    bandwidth = record.bandwidth / 1e9
    print(f"copy bandwidth {bandwidth:.0f} GB/s; S = {size}, fp16, sigma {SIGMA:g}")
    for name, sizes in workloads.items():
        print(f"\n{name} masks of {sizes[2]}x{sizes[3]}")
        measure_workload(record, name, sizes, size, backend)
        if not args.no_peers:
            measure_peers(record, name, sizes, size)
    for row in record.failed:
        print(f"failed: {row}")
    return 1 if record.failed else 0


if __name__ == "__main__":
    sys.exit(main())
