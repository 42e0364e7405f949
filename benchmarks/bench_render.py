"""Throughput of the renderer on a GPU, against the measured copy bandwidth and against peers.

    python benchmarks/bench_render.py [--json benchmarks/results/NAME.json]

Correctness is checked before anything is timed. A figure is the median over rounds, each with a
flushed L2 cache; bytes are the least there are (masks and images read once, pictures written once).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench_cpu import pillow_loop
from fgvp_kernels import MaskLogits, PackedMasks, RenderOptions, render_batch
from gpu_timing import Clock, captured
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


def check(
    images: torch.Tensor, masks: torch.Tensor, size: int, backend: str, **keywords: Any
) -> None:
    """The gate: the backend draws what the torch backend draws."""
    keywords = {"size": size, "dtype": torch.float32} | keywords
    ours = render_batch(images[:1], masks[:1, :8], backend=backend, **keywords)
    expected = render_batch(images[:1], masks[:1, :8], backend="torch", **keywords)
    difference = (ours - expected).abs() * 255
    if float(difference.max()) > 1.05 or float(difference.mean()) > 0.05:
        raise SystemExit(f"not timed: {backend} differs by {float(difference.max()):.2f} levels")


def measure(
    clock: Clock, name: str, call: Callable[[], torch.Tensor], least: int, rounds: int
) -> dict[str, Any]:
    """One row: time, bandwidth, host overhead, memory; ``least`` is the bytes that must move."""
    start = time.perf_counter()
    call()
    clock.synchronize()
    cold = time.perf_counter() - start
    timing = clock.time(call, rounds)
    return {
        "name": name,
        "milliseconds": timing,
        "host_milliseconds": clock.host_overhead(call, rounds),
        "first_call_seconds": cold,
        "minimal_bytes": least,
        "bytes_per_second": least / (timing.median / 1e3),
        "peak_bytes": clock.peak_bytes(call),
    }


def run_workload(
    clock: Clock, sizes: tuple[int, int, int, int], size: int, rounds: int, backend: str
) -> list[dict[str, Any]]:
    images, masks = make_scene(*sizes, clock.device)
    check(images, masks, size, backend)
    count = masks.shape[0] * masks.shape[1]
    out = torch.empty(count, 3, size, size, dtype=torch.float16, device=clock.device)
    written = out.numel() * 2 + images.numel()
    rows, graphs = [], []
    for form, (values, read) in mask_forms(masks).items():

        def render(values=values) -> torch.Tensor:
            return render_batch(
                images, values, "blur_reverse_mask", size=size, normalize="clip",
                dtype=torch.float16, backend=backend, out=out,
            )  # fmt: skip

        rows.append(measure(clock, f"{backend}, {form}", render, written + read, rounds))
        if clock.on_gpu:
            replay = captured(render)
            graphs.append(measure(clock, f"graph, {form}", replay, written + read, rounds))
    rows += _resampled_rows(clock, images, masks, size, rounds, backend)
    rows += _peer_rows(clock, images, masks, size, max(3, rounds // 5))
    return rows + graphs


def _resampled_rows(
    clock: Clock, images: torch.Tensor, masks: torch.Tensor, size: int, rounds: int, backend: str
) -> list[dict[str, Any]]:
    """Pictures that are resampled one by one: drawn at native size first, or crops."""
    count = masks.shape[0] * masks.shape[1]
    out = torch.empty(count, 3, size, size, dtype=torch.float16, device=clock.device)
    least = out.numel() * 2 + images.numel() + masks.numel()
    rows = []
    for mode, order in RESAMPLED:

        def render(mode=mode, order=order) -> torch.Tensor:
            return render_batch(
                images, list(masks), mode, size=size, order=order, normalize="clip",
                dtype=torch.float16, backend=backend, out=out,
            )  # fmt: skip

        check(images, masks, size, backend, mode=mode, order=order)
        rows.append(measure(clock, f"{backend}, {mode}, {order}", render, least, rounds))
    return rows


def _peer_rows(
    clock: Clock, images: torch.Tensor, masks: torch.Tensor, size: int, rounds: int
) -> list[dict[str, Any]]:
    """Rivals at the size of the pictures: they are spared both resizes, which favours them.

    Those that draw one candidate after the other are too slow for the whole workload.
    """
    small = torch.nn.functional.interpolate(images.float(), (size, size)).to(torch.uint8)
    bits = torch.nn.functional.interpolate(masks.float(), (size, size)) > 0  # [B, N, S, S]
    image, few = small[:1], bits[:1, :8]
    # Machine code for a CPU takes minutes and is not what is compared.
    compiler = "inductor" if clock.on_gpu else "aot_eager"
    compiled = torch.compile(select_with_torch, backend=compiler)
    torch_keywords = {"size": size, "normalize": "clip", "dtype": torch.float16}
    calls = {
        "torch backend": lambda: render_batch(
            small, bits, "blur_reverse_mask", backend="torch", options=RenderOptions(sigma=SIGMA),
            **torch_keywords,
        ),
        "plain torch": lambda: select_with_torch(small, bits, SIGMA),
        "torch.compile": lambda: compiled(small, bits, SIGMA),
    }  # fmt: skip
    slow_calls = {
        "kornia": lambda: per_candidate(image, few, SIGMA, "kornia"),
        "torchvision": lambda: per_candidate(image, few, SIGMA, "torchvision"),
    }
    rows = [
        measure(clock, name, call, _least_bytes(small, bits), rounds)
        for name, call in calls.items()
    ]
    slow = [
        measure(clock, name, call, _least_bytes(image, few), rounds)
        for name, call in slow_calls.items()
    ]
    # Pillow knows nothing of the device: the wall clock times it, on the CPU.
    array, arrays = image[0].permute(1, 2, 0).cpu().numpy(), few[0].cpu().numpy()
    slow.append(
        measure(
            Clock(torch.device("cpu")), "Pillow, per candidate",
            lambda: pillow_loop(array, arrays, size), _least_bytes(image, few), rounds,
        )
    )  # fmt: skip
    return rows + [row | {"of_candidates": few.shape[1]} for row in slow]


def _least_bytes(images: torch.Tensor, masks: torch.Tensor) -> int:
    """Bytes that must move: uint8 images and masks read, pictures of fp16 in three channels."""
    return images.numel() + masks.numel() * (1 + 6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=336)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--smoke", action="store_true", help="a tiny workload, on a CPU as well")
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and not args.smoke:
        raise SystemExit("bench_render.py needs a GPU; benchmarks/bench_cpu.py is for CPUs")
    backend = "triton" if device.type == "cuda" else "torch"
    workloads = {"2 x 9": (2, 9, 60, 80)} if args.smoke else WORKLOADS
    size, rounds = (32, 2) if args.smoke else (args.size, args.rounds)
    clock = Clock(device)
    bandwidth = clock.copy_bandwidth()
    print(f"copy bandwidth {bandwidth / 1e9:.0f} GB/s; S = {size}, fp16, sigma {SIGMA:g}")
    results = {}
    for name, sizes in workloads.items():
        results[name] = run_workload(clock, sizes, size, rounds, backend)
        print(f"\n{name} masks of {sizes[2]}x{sizes[3]}")
        for row in results[name]:
            share = row["bytes_per_second"] / bandwidth
            print(
                f"{row['name']:40} {row['milliseconds'].median:9.3f} ms  "
                f"{row['bytes_per_second'] / 1e9:7.0f} GB/s {share:6.1%} of copy  "
                f"host {row['host_milliseconds'].median:7.3f} ms  "
                f"first call {row['first_call_seconds']:.2f} s"
            )
    if args.json:
        record = {"size": size, "sigma": SIGMA, "copy_bytes_per_second": bandwidth}
        write_json(args.json, record | {"workloads": results, "environment": environment()})


if __name__ == "__main__":
    main()
