"""The torch backend on a CPU against the loop a user would write with Pillow.

    python benchmarks/bench_cpu.py [--size 336] [--masks 64] [--rounds 7] [--neighbours 0]
                                   [--json FILE]

Both make the same pictures up to the order of resizing (the loop blurs at full size): every
candidate of a 600×400 photo blurred outside its mask, at ``size``, normalised for CLIP.
``--neighbours N`` has N processes spin beside it all the while. Without ``out=`` every call writes
into a new tensor.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter

from fgvp_kernels import RenderOptions, render_batch
from fgvp_kernels.batch import CLIP_MEAN, CLIP_STD
from timing import environment, take_turns, write_json

HEIGHT, WIDTH = 400, 600


def photo() -> np.ndarray:
    """A picture with edges, gradients and noise: uint8 ``[H, W, 3]``."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = [127 + 90 * np.sin(x / period) * np.cos(y / (1.7 * period)) for period in (9, 23, 51)]
    noise = np.random.default_rng(0).normal(0, 12, (HEIGHT, WIDTH, 3))
    return np.clip(np.stack(waves, 2) + noise, 0, 255).astype(np.uint8)


def ellipses(count: int) -> np.ndarray:
    """Masks of objects that cover about 6 % of the picture each: bool ``[N, H, W]``."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    masks = []
    for _ in range(count):
        cy, cx = rng.uniform(60, HEIGHT - 60), rng.uniform(80, WIDTH - 80)
        ry, rx = rng.uniform(30, 100, 2)
        masks.append(((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1)
    return np.stack(masks)


def pillow_loop(image: np.ndarray, masks: np.ndarray, size: int) -> torch.Tensor:
    """Blur, paste, bicubic resize and normalise, one candidate after the other."""
    picture = Image.fromarray(image)
    mean = np.array(CLIP_MEAN, np.float32) * 255
    std = np.array(CLIP_STD, np.float32) * 255
    results = []
    for mask in masks:
        drawn = picture.filter(ImageFilter.GaussianBlur(100))
        drawn.paste(picture, mask=Image.fromarray(mask))
        levels = np.asarray(drawn.resize((size, size), Image.Resampling.BICUBIC), np.float32)
        results.append(torch.from_numpy(((levels - mean) / std).transpose(2, 0, 1)))
    return torch.stack(results)


def spin() -> None:
    """Keep a core busy until the process is ended."""
    while True:
        pass


@contextmanager
def spinning(count: int) -> Iterator[None]:
    """Processes that compute beside the block, and end with it."""
    neighbours = [get_context("spawn").Process(target=spin, daemon=True) for _ in range(count)]
    try:
        for neighbour in neighbours:
            neighbour.start()
        yield
    finally:
        for neighbour in neighbours:
            neighbour.kill()


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """torch on so many threads within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=336)
    parser.add_argument("--masks", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--neighbours", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()

    array, arrays = photo(), ellipses(args.masks)
    image = torch.from_numpy(array).permute(2, 0, 1).contiguous()  # [3, H, W]
    masks = torch.from_numpy(arrays)  # [N, H, W]
    out = torch.empty(args.masks, 3, args.size, args.size, dtype=torch.float16)

    def render(**options: object) -> torch.Tensor:
        return render_batch(image, masks, size=args.size, normalize="clip", **options)

    # The gate: in the loop's own order and blur the renderer must draw the loop's pictures.
    pil = RenderOptions(blur="pil")
    difference = render(order="render_first", options=pil) - pillow_loop(array, arrays, args.size)
    levels = float(difference.abs().mean()) * 255 * sum(CLIP_STD) / 3
    if levels > 0.5:
        raise SystemExit(f"not timed: the pictures differ by {levels:.2f} levels on average")

    def render_on_one_thread() -> torch.Tensor:
        with torch_threads(1):
            return render(dtype=torch.float16)

    contenders = {
        "Pillow, per candidate, fp32": lambda: pillow_loop(array, arrays, args.size),
        "render_batch, fp32": render,
        "render_batch, fp16": lambda: render(dtype=torch.float16),
        "render_batch, fp16, one thread": render_on_one_thread,
        "render_batch, fp16, out=": lambda: render(dtype=torch.float16, out=out),
        "render_batch, fp16, render_first": lambda: render(
            dtype=torch.float16, order="render_first"
        ),
    }
    with spinning(args.neighbours):
        timings = take_turns(contenders, args.rounds)
    loop = timings["Pillow, per candidate, fp32"].median
    ratios = {name: loop / timing.median for name, timing in timings.items()}
    print(
        f"{WIDTH}x{HEIGHT} photo, {args.masks} masks, S = {args.size}, blur_reverse_mask, "
        f"sigma 100, {torch.get_num_threads()} threads, {args.neighbours} busy neighbours"
    )
    print(f"same pictures as the loop: mean difference {levels:.3f} levels")
    for name, timing in timings.items():
        spread = f"{timing.low:.1f} - {timing.high:.1f}"
        print(f"{name:40s} {timing.median:8.1f} ms  ({spread})  {ratios[name]:6.1f}x")
    if args.json:
        settings = {key: value for key, value in vars(args).items() if key != "json"}
        record = {"settings": settings, "environment": environment(), "milliseconds": timings}
        record |= {"times_as_fast": ratios, "mean_difference_levels": levels}
        write_json(args.json, record)


if __name__ == "__main__":
    main()
