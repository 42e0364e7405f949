"""The training scripts run from start to end on a tiny setting."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor

import train_clip
import train_sam
from fgvp_eval.demo.captions import Caption, could_be_true, write_caption
from fgvp_eval.demo.models import (
    build_demo_clip,
    build_demo_sam,
    load_demo_sam,
    load_weights,
)
from fgvp_eval.demo.scenes import ObjectAttributes, generate_scene
from prompted_pictures import perturbed_mask, render_scene
from sam_prompts import SamExample, draw_prompts
from training_log import Schedule

TINY = ["--steps", "2", "--scenes", "3", "--batch", "2", "--validation-scenes", "1"]


def test_train_sam_writes_loadable_weights_and_a_log(tmp_path: Path) -> None:
    train_sam.main([*TINY, "--out", str(tmp_path)])
    load_weights(build_demo_sam(), tmp_path / "demo_sam.safetensors")
    entry = json.loads((tmp_path / "training_log.json").read_text())["sam"]
    assert entry["steps"] == 2
    assert set(entry["validation"]) == {"mean_iou_box", "mean_iou_point"}


def test_resumed_training_keeps_the_earlier_record(tmp_path: Path) -> None:
    train_sam.main([*TINY, "--out", str(tmp_path)])
    train_sam.main([*TINY, "--resume", "--seed", "1", "--out", str(tmp_path)])
    entry = json.loads((tmp_path / "training_log.json").read_text())["sam"]
    assert (entry["seed"], entry["resumed_from"]["seed"]) == (1, 0)


def test_resuming_without_weights_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="demo_clip"):
        train_clip.main([*TINY, "--resume", "--out", str(tmp_path)])


def test_train_clip_writes_loadable_weights_and_a_log(tmp_path: Path) -> None:
    (tmp_path / "training_log.json").write_text('{"sam": {"steps": 7}}')
    train_clip.main([*TINY, "--out", str(tmp_path)])
    load_weights(build_demo_clip()[0], tmp_path / "demo_clip.safetensors")
    log = json.loads((tmp_path / "training_log.json").read_text())
    assert log["sam"]["steps"] == 7
    assert log["clip"]["steps"] == 2
    assert "none" in log["clip"]["validation"]


def test_prompts_lie_on_their_targets() -> None:
    example, rng = SamExample.from_scene(generate_scene(1)), np.random.default_rng(0)
    prompts = draw_prompts(example, rng, points=1)
    boxes = len(prompts.boxes)
    assert len(prompts.targets) == boxes + len(prompts.points)
    for (point,), target in zip(prompts.points, prompts.targets[boxes:], strict=True):
        x, y = int(point[0]), int(point[1])
        occupied = bool(example.masks[:, y, x].any())
        assert bool(target[y, x]) == bool(target.any()) == occupied


def test_perturbed_masks_stay_close() -> None:
    rng = np.random.default_rng(0)
    for item in generate_scene(2).objects:
        moved = perturbed_mask(item.mask, rng)
        assert 0.5 < (moved & item.mask).sum() / (moved | item.mask).sum() <= 1.0


def test_rendered_scene_has_all_variants() -> None:
    scene = generate_scene(2)
    rendered = render_scene(scene, np.random.default_rng(0), SamPredictor(load_demo_sam()))
    assert rendered.pictures.shape == (5, len(scene.objects), 3, 64, 64)
    assert rendered.pictures.dtype == torch.uint8
    grey = rendered.pictures[4].float()
    assert (grey.amax(1) - grey.amin(1)).median() < 3.0


def test_captions_state_what_they_say() -> None:
    attributes = ObjectAttributes("star", "red", "striped", "small")
    rng, sides = np.random.default_rng(0), set()
    for _ in range(200):
        caption = write_caption(attributes, (0.1, 0.5), rng, 0.5)
        assert caption.text == caption.text.lower()
        assert ("red" in caption.text.split()) == (caption.stated[1] >= 0)
        if caption.direction:
            assert caption.axis == 0
            assert "left" in caption.text
        sides.add(caption.direction)
    assert sides == {0, -1}


def test_accidental_fits_are_found() -> None:
    captions = [Caption("red", (-1, 0, -1, -1)), Caption("left", (-1, 1, -1, -1), 0, -1)]
    attributes = torch.tensor([[0, 0, 0, 0], [0, 1, 0, 0]])
    centres = torch.tensor([[0.9, 0.5], [0.2, 0.5]])
    assert could_be_true(captions, attributes, centres).tolist() == [[True, False], [False, True]]
    same = torch.tensor([[0, 1, 0, 0], [0, 1, 0, 0]])
    assert could_be_true(captions, same, centres)[0, 1].item() is False
    centres[0, 0] = 0.1
    assert could_be_true(captions, same, centres)[0, 1].item() is True


def test_schedule_follows_the_slower_of_steps_and_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = Schedule(steps=10, max_minutes=1.0, peak=1.0, warm_up=2)
    monkeypatch.setattr(schedule, "_start", schedule._start - 45.0)
    assert schedule.progress(1) >= 0.75
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.0)
    schedule.apply(optimizer, 0)
    first = optimizer.param_groups[0]["lr"]
    schedule.apply(optimizer, 1)
    assert 0.0 < first < optimizer.param_groups[0]["lr"] < 0.3
