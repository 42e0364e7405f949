"""Crops on a CPU against the loop a user would write with Pillow.

    python benchmarks/bench_crops.py [--size 224] [--rounds 21] [--json FILE]

Seven candidates of a 600x400 photo; both resize a crop to short side ``size``, squash it to a
square and normalise it for CLIP, fp32.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from bench_cpu import ellipses, photo
from fgvp_kernels import render_batch
from fgvp_kernels.batch import CLIP_MEAN, CLIP_STD
from timing import environment, take_turns, write_json


def crop_loop(image: np.ndarray, boxes: np.ndarray, size: int) -> torch.Tensor:
    """Crop, resize, squash and normalise, one candidate after the other."""
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()

    array, masks = photo(), torch.from_numpy(ellipses(7))
    image = torch.from_numpy(array).permute(2, 0, 1).contiguous()  # [3, H, W]
    spans = [(np.nonzero(mask.any(0)), np.nonzero(mask.any(1))) for mask in masks.numpy()]
    boxes = np.array([(x[0][0], y[0][0], x[0][-1] + 1, y[0][-1] + 1) for x, y in spans])

    def render(mode: str | list[str]) -> torch.Tensor:
        return render_batch(image, masks, mode, size=args.size, normalize="clip")

    difference = (render("crop") - crop_loop(array, boxes, args.size)).abs()
    levels = float(difference.mean()) * 255 * sum(CLIP_STD) / 3
    if levels > 0.5:
        raise SystemExit(f"not timed: the pictures differ by {levels:.2f} levels on average")
    timings = take_turns(
        {
            "Pillow, per candidate": lambda: crop_loop(array, boxes, args.size),
            "crop": lambda: render("crop"),
            "blur_reverse_mask": lambda: render("blur_reverse_mask"),
            "crop and blur_reverse_mask": lambda: render(["crop", "blur_reverse_mask"]),
        },
        args.rounds,
    )
    loop = timings["Pillow, per candidate"].median
    print(f"7 crops of a 600x400 photo, S = {args.size}, fp32, mean difference {levels:.3f} levels")
    for name, timing in timings.items():
        print(f"{name:30s} {timing.median:8.2f} ms  {loop / timing.median:6.1f}x")
    if args.json:
        settings = {key: value for key, value in vars(args).items() if key != "json"}
        write_json(
            args.json,
            {"settings": settings, "environment": environment(), "milliseconds": timings},
        )


if __name__ == "__main__":
    main()
