"""Run folders written by hand, for the tests of the report."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

GOLD = [4.0, 4.0, 24.0, 24.0]
OTHER = [30.0, 10.0, 60.0, 40.0]
NEAR = [4.0, 4.0, 24.0, 50.0]  # IoU 20/46 with GOLD
WIDTH, HEIGHT = 80, 60


def sentence(
    number: int,
    text: str,
    *,
    split: str = "demo",
    mode: str = "crop",
    cause: str | None = "ranked_wrong",
    image: str | None = None,
) -> dict[str, Any]:
    """A line of ``samples.jsonl`` that was missed for ``cause``, or not if it is None."""
    right = cause is None
    candidates = [OTHER, NEAR if cause == "no_candidate" else GOLD]
    record = {
        "sample_id": f"{split}:{number}:0",
        "image": image or f"images/{number % 2}.jpg",
        "text": text,
        "mode": mode,
        "candidates_xyxy": candidates,
        "scores": [0.25, 0.75] if right else [0.75, 0.25],
        "pred": int(right),
        "gold_xyxy": GOLD,
        "iou": 1.0 if right else 0.0,
        "correct": right,
        "share_correct": 0.0 if cause == "no_candidate" else 0.5,
    }
    if cause == "post_flipped":
        record |= {"pred_before_post": 1, "scores_by_mode": {mode: [1.5, 2.5]}}
    return record


def write_report_run(folder: Path, sentences: Sequence[Mapping[str, Any]], **results: Any) -> Path:
    """Write a run folder of these sentences, its images and the prompts of its misses."""
    folder.mkdir(parents=True)
    splits = dict.fromkeys(record["sample_id"].partition(":")[0] for record in sentences)
    root = folder / "data"
    (root / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in {record["image"] for record in sentences}:
        pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / name, quality=90)
    settings = {"data_root": str(root), "proposals": "gt", "post": "none"}
    content = {
        "schema_version": 1,
        "complete": True,
        "splits": {split: {"unscored": []} for split in splits},
        "config": {"seed": 0, "settings": {split: dict(settings) for split in splits}},
        "command": "python -m fgvp_eval --split demo",
        "versions": {"torch": "2.14.1"},
        "seconds": {"load": 0.5, "render": 1.0, "clip": 3.0, "report": 0.25},
    }
    (folder / "results.json").write_text(json.dumps(content | results))
    (folder / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in sentences))
    prompts = {str(k): jpeg(k) for k in range(2)}
    with (folder / "misses.jsonl").open("w") as file:
        for record in sentences:
            line = {
                "samples": [record["sample_id"]],
                "clip": "demo",
                "size": [16, 16],
                "pictures": dict.fromkeys(record["mode"].split("+"), prompts),
            }
            file.write(f"\n{json.dumps(line)}\n")
    return folder


def jpeg(shade: int) -> str:
    """A small picture as base64 text."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (80 * shade, 90, 120)).save(buffer, "JPEG")
    return base64.b64encode(buffer.getvalue()).decode()
