"""Which misses are kept, and that their prompts are those that CLIP saw."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from child_processes import SYNCS_BEFORE_IMAGES, dying_at_sync, finish_all, start
from PIL import Image

import tolerances
from fgvp_eval.data.data_uris import PROMPT_SIDE
from fgvp_eval.data.records import ImageRecord, Prediction, Sample
from fgvp_eval.encoding.clip_models import ClipModel, PictureSpec
from fgvp_eval.encoding.drawing import DrawStyle, image_seed
from fgvp_eval.machine.stage_times import StageTimes
from fgvp_eval.masks.masked_image import MaskedImage
from fgvp_eval.results.miss_pictures import MissPictures
from fgvp_eval.results.miss_sample import MissSample
from fgvp_eval.results.seen_pictures import read_pictures
from fgvp_kernels import RenderOptions, render_batch

CPU = torch.device("cpu")
BOXES = ((2.0, 2.0, 20.0, 18.0), (24.0, 4.0, 44.0, 30.0), (8.0, 20.0, 22.0, 38.0))
MODES = ("crop", "contour", "mask", "none")


@pytest.mark.parametrize("size", [0, 1, 7, 100])
def test_parts_of_the_misses_hold_the_sample_of_all(size: int) -> None:
    ids = [f"demo:{k}:0" for k in range(60)]
    whole = MissSample(size, seed=3)
    for name in ids:
        whole.add(name)
    assert len(whole.sample_ids) == min(size, 60)
    entered = set()
    for part in (ids[::3], ids[1::3], ids[2::3]):
        sample = MissSample(size, seed=3)
        entered |= {name for name in part if sample.add(name)}
    assert whole.sample_ids <= entered


def test_a_miss_that_is_added_again_counts_once() -> None:
    sample = MissSample(3, seed=0)
    kept = {name for name in [f"demo:{k}:0" for k in range(20)] * 2 if sample.add(name)}
    assert sample.sample_ids <= kept
    assert len(sample.sample_ids) == 3
    assert all(sample.add(name) for name in sorted(sample.sample_ids))


def test_sample_is_drawn_by_the_seed_and_not_the_order() -> None:
    def drawn(ids: list[str], seed: int) -> set[str]:
        sample = MissSample(10, seed)
        for name in ids:
            sample.add(name)
        return sample.sample_ids

    ids = [f"demo:{k}:0" for k in range(200)]
    assert drawn(ids, 0) == drawn(ids[::-1], 0) != drawn(ids, 1)


def prediction(sample_id: str, mode: str, pred: int) -> Prediction:
    """A prediction whose right candidate is the third."""
    return Prediction(
        sample_id=sample_id,
        image="a.jpg",
        text="thing",
        mode=mode,
        candidates_xyxy=BOXES,
        scores=(0.0, 0.0, 0.0),
        pred=pred,
        gold_xyxy=BOXES[2],
        iou=1.0 if pred == 2 else 0.0,
        correct=pred == 2,
        share_correct=1 / 3,
    )


def keeper(path: Path, color: str | None, side: int = 32, **changes: Any) -> MissPictures:
    options = (
        RenderOptions()
        if color != "random"
        else RenderOptions(tint_color="random", line_color="random")
    )
    spec = PictureSpec((side, side), (0.4, 0.5, 0.6), (0.2, 0.3, 0.25))
    clip = ClipModel("small", None, None, spec, torch.float32, 1.0, "0" * 64, "bicubic")  # type: ignore[arg-type]
    own = None if color in (None, "random") else color
    arguments: dict[str, Any] = {
        "per_row": 5,
        "seed": 0,
        "color_of": lambda sample: own,
        "device": CPU,
        "times": StageTimes(CPU),
    }
    styles = {mode: DrawStyle(options) for mode in MODES}
    return MissPictures(path, clip, styles, **(arguments | changes))


def scene() -> tuple[ImageRecord, MaskedImage]:
    pixels = np.linspace(0, 255, 40 * 48 * 3).reshape(40, 48, 3).astype(np.uint8)
    masks = torch.zeros(3, 40, 48, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, BOXES, strict=True):
        mask[int(top) : int(bottom) - 3, int(left) + 2 : int(right)] = True
    samples = tuple(Sample(name, "thing", (1,)) for name in ("demo:0:0", "demo:0:1"))
    record = ImageRecord(1, Path("a.jpg"), "a.jpg", None, (), samples)
    return record, MaskedImage(pixels, masks, BOXES)


def decoded(text: str) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(base64.b64decode(text)))).astype(float)


@pytest.mark.parametrize("color", [None, "blue", "random"])
def test_kept_prompts_are_what_the_renderer_draws(tmp_path: Path, color: str | None) -> None:
    record, image = scene()
    rows = {
        "crop+contour": [prediction("demo:0:0", "crop+contour", 1)],
        "mask": [prediction("demo:0:0", "mask", 2)],
        "none": [prediction("demo:0:0", "none", 0)],
    }
    keeper(tmp_path / "misses.jsonl", color).keep(record, image, rows)
    (seen,) = read_pictures(tmp_path, {"demo:0:0"}).values()
    assert (seen.clip, seen.size) == ("small", (32, 32))
    # The choice and what was right; of unmarked pictures one, since they are all the same.
    assert set(seen.jpegs) == {
        *(("crop", 1), ("crop", 2), ("contour", 1), ("contour", 2), ("mask", 2), ("none", 0)),
    }
    options: dict[str, Any] = {} if color is None else {"tint_color": color, "line_color": color}
    options["seed"] = image_seed(0, image.pixels)
    for (mode, candidate), text in seen.jpegs.items():
        wanted = render_batch(
            image.pixels,
            image.masks,
            mode,
            boxes=torch.tensor(BOXES),
            size=32,
            options=RenderOptions(**options),
        )[candidate].permute(1, 2, 0)
        difference = np.abs(decoded(text) - wanted.numpy())
        assert difference.mean() <= tolerances.JPEG_MEAN, (mode, candidate, difference.mean())


def test_sentences_have_the_prompts_of_their_own_colour(tmp_path: Path) -> None:
    record, image = scene()
    rows = {"mask": [prediction(sample.sample_id, "mask", 0) for sample in record.samples]}
    colors = {"demo:0:0": "red", "demo:0:1": "blue"}
    misses = keeper(tmp_path / "misses.jsonl", None, color_of=lambda s: colors[s.sample_id])
    misses.keep(record, image, rows)
    seen = read_pictures(tmp_path, set(colors))
    red, blue = (decoded(seen[name].jpegs["mask", 0]).mean(axis=(0, 1)) for name in colors)
    assert red[0] > blue[0] + 10
    assert blue[2] > red[2] + 10


def test_large_prompts_are_reduced(tmp_path: Path) -> None:
    record, image = scene()
    rows = {"crop": [prediction("demo:0:0", "crop", 0)]}
    keeper(tmp_path / "misses.jsonl", None, side=336).keep(record, image, rows)
    (seen,) = read_pictures(tmp_path, {"demo:0:0"}).values()
    assert seen.size == (336, 336)
    assert decoded(seen.jpegs["crop", 0]).shape == (PROMPT_SIDE, PROMPT_SIDE, 3)


def test_broken_lines_are_no_prompts(tmp_path: Path) -> None:
    line = {"samples": ["a"], "clip": "c", "size": [4, 4], "pictures": {"crop": {"0": "QUJD"}}}

    def changed(**changes: object) -> str:
        return json.dumps(line | changes)

    (tmp_path / "misses.jsonl").write_text(
        "\n".join(
            [
                json.dumps(line),
                changed(samples=["b"], pictures={"crop": {"0": '"><script>'}}),
                changed(samples=["c"], size="large"),
                changed(samples=["d"])[:-9],
                "[]",
            ]
        )
    )
    assert set(read_pictures(tmp_path, {"a", "b", "c", "d"})) == {"a"}


@pytest.fixture
def words(root: Any, random_models: None) -> tuple[object, ...]:
    root.add_images(3).save(root.detections())
    models = ("--sam", "demo", "--clip", "demo")
    modes = ("--modes", "crop,D4", "--compare-modes")
    return ("--split", "refcoco+_testA", *models, *modes, "--data-root", root.path)


def kept(folder: Path) -> Mapping[str, Any]:
    """The prompts of every sentence that a run missed; fails if one has none."""
    lines = (folder / "samples.jsonl").read_text().splitlines()
    missed = {s["sample_id"] for s in map(json.loads, lines) if not s["correct"]}
    assert missed
    found = read_pictures(folder, missed)
    assert set(found) == missed
    page = (folder / "report.html").read_text()
    assert page.count('<article class="card"') == len(missed)
    assert "without prompts" not in page
    return found


@pytest.mark.parametrize("torn", [False, True])
def test_resumed_run_has_all_prompts(run: Any, words: Any, tmp_path: Path, torn: bool) -> None:
    assert run(*words, "--out", "whole")[0] == 0
    command = (*words, "--out", "run")
    assert (
        start(command, tmp_path / "log", prepare=dying_at_sync(SYNCS_BEFORE_IMAGES + 3)).wait()[0]
        == -9
    )
    if torn:
        path = tmp_path / "run" / "misses.jsonl"
        path.write_bytes(path.read_bytes()[:-30])
        journal = tmp_path / "run" / "journal.jsonl"
        journal.write_bytes(journal.read_bytes()[:-10])
    assert run(*command)[0] == 0
    assert kept(tmp_path / "run") == kept(tmp_path / "whole")


def test_processes_keep_the_same_prompts(run: Any, words: Any, tmp_path: Path) -> None:
    assert run(*words, "--out", "alone")[0] == 0
    finish_all((*words, "--out", tmp_path / "run"), tmp_path / "log", 2)
    assert not (tmp_path / "run" / "misses.jsonl").exists()
    assert kept(tmp_path / "run") == kept(tmp_path / "alone")


def test_prompts_of_another_run_are_not_taken_for_its_own(
    run: Any, words: Any, tmp_path: Path
) -> None:
    assert run(*words, "--out", "run")[0] == 0
    path = tmp_path / "run" / "misses.jsonl"
    path.write_text(path.read_text() * 2)
    assert run(*words, "--out", "run", "--no-resume", "--report-misses", "0")[0] == 0
    assert not path.exists()
    page = (tmp_path / "run" / "report.html").read_text()
    assert "none is shown, as was asked for" in page


def test_a_run_outlives_prompts_that_cannot_be_written(
    run: Any, words: Any, tmp_path: Path
) -> None:
    (tmp_path / "run" / "misses.jsonl").mkdir(parents=True)
    code, _, err = run(*words, "--out", "run")
    assert code == 0
    assert err.count("prompts of misses are no longer drawn for the report: IsADirectory") == 1
    assert "are shown without prompts" in (tmp_path / "run" / "report.html").read_text()
