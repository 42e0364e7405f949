"""The torch backend on a CPU against the loop a user would write with Pillow.

    python benchmarks/bench_cpu.py [--size 336] [--masks 64] [--rounds 7] [--neighbours 0]
                                   [--json FILE]

Both make the same pictures up to the order of resizing (the loop blurs at full size): every
candidate of a 600×400 photo blurred outside its mask, at ``size``, normalised for CLIP.
``--neighbours N`` has N processes spin beside it all the while. Without ``out=`` every call writes
into a new tensor. Then crops: seven candidates of a 480×360 photo, against a loop that crops,
resizes to the canvas, squashes and normalises. The record is written again after every round.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter

from fgvp_kernels import RenderOptions, render_batch
from fgvp_kernels.batch import CLIP_MEAN, CLIP_STD
from timing import Timing, environment, take_turns, write_json

HEIGHT, WIDTH = 400, 600
CROPPED_HEIGHT, CROPPED_WIDTH = 360, 480
CROPPED_MASKS = 7
CROP_SIZES = (224, 384)

Contenders = dict[str, Callable[[], object]]


def photo(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A picture with edges, gradients and noise: uint8 ``[H, W, 3]``."""
    y, x = np.mgrid[:height, :width]
    waves = [127 + 90 * np.sin(x / period) * np.cos(y / (1.7 * period)) for period in (9, 23, 51)]
    noise = np.random.default_rng(0).normal(0, 12, (height, width, 3))
    return np.clip(np.stack(waves, 2) + noise, 0, 255).astype(np.uint8)


def ellipses(count: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Masks of objects that cover about 6 % of the picture each: bool ``[N, H, W]``."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:height, :width]
    masks = []
    for _ in range(count):
        cy, cx = rng.uniform(60, height - 60), rng.uniform(80, width - 80)
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


def crop_loop(image: np.ndarray, boxes: np.ndarray, size: int) -> torch.Tensor:
    """Crop, resize to the canvas, squash and normalise, one candidate after the other."""
    picture = Image.fromarray(image)
    mean, std = (torch.tensor(values)[:, None, None] * 255 for values in (CLIP_MEAN, CLIP_STD))
    results = []
    for box in boxes.tolist():
        crop = picture.crop(box)
        scale = max(size / crop.width, size / crop.height)
        canvas = (int(crop.width * scale + 0.5), int(crop.height * scale + 0.5))
        levels = np.asarray(crop.resize(canvas, Image.Resampling.BILINEAR), np.float32)
        channels = torch.from_numpy(levels).permute(2, 0, 1)[None]  # [1, 3, h, w]
        results.append((F.interpolate(channels, (size, size), mode="bilinear")[0] - mean) / std)
    return torch.stack(results)


def levels_apart(pictures: torch.Tensor, expected: torch.Tensor) -> float:
    """Mean difference of normalised pictures in levels; the gate: no more than half a level."""
    levels = float((pictures - expected).abs().mean()) * 255 * sum(CLIP_STD) / 3
    if levels > 0.5:
        raise SystemExit(f"not timed: the pictures differ by {levels:.2f} levels on average")
    return levels


def crop_contenders(size: int) -> tuple[Contenders, float]:
    """The loop of crops and its rival at one size, and how many levels they are apart."""
    array = photo(CROPPED_HEIGHT, CROPPED_WIDTH)
    masks = torch.from_numpy(ellipses(CROPPED_MASKS, CROPPED_HEIGHT, CROPPED_WIDTH))
    image = torch.from_numpy(array).permute(2, 0, 1).contiguous()  # [3, H, W]
    spans = [(np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))) for mask in masks.numpy()]
    boxes = np.array([(x[0], y[0], x[-1] + 1, y[-1] + 1) for x, y in spans])

    def render() -> torch.Tensor:
        return render_batch(image, masks, "crop", size=size, normalize="clip")

    levels = levels_apart(render(), crop_loop(array, boxes, size))
    contenders: Contenders = {
        f"crops at {size}, Pillow": lambda: crop_loop(array, boxes, size),
        f"crops at {size}, render_batch": render,
    }
    return contenders, levels


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

    # In the loop's own order and blur the renderer must draw the loop's pictures.
    pil = RenderOptions(blur="pil")
    drawn = render(order="render_first", options=pil)
    levels = levels_apart(drawn, pillow_loop(array, arrays, args.size))

    def render_on_one_thread() -> torch.Tensor:
        with torch_threads(1):
            return render(dtype=torch.float16)

    contenders: Contenders = {
        "Pillow, per candidate, fp32": lambda: pillow_loop(array, arrays, args.size),
        "render_batch, fp32": render,
        "render_batch, fp16": lambda: render(dtype=torch.float16),
        "render_batch, fp16, one thread": render_on_one_thread,
        "render_batch, fp16, out=": lambda: render(dtype=torch.float16, out=out),
        "render_batch, fp16, render_first": lambda: render(
            dtype=torch.float16, order="render_first"
        ),
    }
    settings = {key: value for key, value in vars(args).items() if key != "json"}
    record: dict[str, Any] = {"settings": settings, "environment": environment()}
    record |= {"mean_difference_levels": levels, "crops": {}}
    groups = [(record, contenders)]
    for size in CROP_SIZES:
        crops, levels = crop_contenders(size)
        record["crops"][str(size)] = {"mean_difference_levels": levels}
        groups.append((record["crops"][str(size)], crops))

    def measure(part: dict[str, Any], group: Contenders) -> None:
        """Add a group, whose first is the loop, to its part of the record as rounds end."""

        def keep(timings: Mapping[str, Timing]) -> None:
            loop = next(iter(timings.values())).median
            part["milliseconds"] = timings
            part["times_as_fast"] = {name: loop / spent.median for name, spent in timings.items()}
            if args.json:
                write_json(args.json, record)

        take_turns(group, args.rounds, keep)

    with spinning(args.neighbours):
        for part, group in groups:
            measure(part, group)
    print(
        f"{WIDTH}x{HEIGHT} photo, {args.masks} masks, S = {args.size}, blur_reverse_mask, "
        f"sigma 100, {torch.get_num_threads()} threads, {args.neighbours} busy neighbours; "
        f"{CROPPED_MASKS} crops of a {CROPPED_WIDTH}x{CROPPED_HEIGHT} photo"
    )
    for part, _ in groups:
        print(f"same pictures: mean difference {part['mean_difference_levels']:.3f} levels")
        for name, timing in part["milliseconds"].items():
            spread = f"{timing.low:.1f} - {timing.high:.1f}"
            ratio = part["times_as_fast"][name]
            print(f"{name:40s} {timing.median:8.1f} ms  ({spread})  {ratio:6.1f}x")


if __name__ == "__main__":
    main()
