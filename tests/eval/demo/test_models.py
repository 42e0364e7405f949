"""The committed weights load, are small and do what the model card says."""

from pathlib import Path

import numpy as np
import pytest
import torch
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import Sam

from clip_accuracy import accuracy_by_mode
from fgvp_eval.demo import models
from fgvp_eval.demo.models import (
    CLIP_WEIGHTS,
    SAM_WEIGHTS,
    build_demo_clip,
    load_demo_clip,
    load_demo_sam,
    load_weights,
    save_weights,
)
from fgvp_eval.demo.scenes import generate_scene
from train_sam import mean_iou

HELD_OUT = [7_000_000 + k for k in range(6)]


@pytest.fixture(scope="module")
def sam() -> Sam:
    return load_demo_sam()


def test_weights_are_small() -> None:
    assert SAM_WEIGHTS.stat().st_size + CLIP_WEIGHTS.stat().st_size <= 12 * 1024 * 1024


def test_loaded_models_are_fp32_and_in_evaluation_mode(sam: Sam) -> None:
    clip, tokenizer = load_demo_clip()
    for model in (sam, clip):
        assert not model.training
        assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert clip.visual.preprocess_cfg["size"] == 64
    assert clip.visual.preprocess_cfg["interpolation"] == "bicubic"
    assert len(clip.visual.preprocess_cfg["mean"]) == len(clip.visual.preprocess_cfg["std"]) == 3
    assert clip.context_length == tokenizer.context_length


def test_sam_masks_from_boxes_and_points(sam: Sam) -> None:
    scenes = [generate_scene(seed) for seed in HELD_OUT]
    # Floors a little under what the committed weights reach; they guard against damage.
    assert mean_iou(sam, scenes, "box") >= 0.78
    assert mean_iou(sam, scenes, "point") >= 0.70


def test_automatic_mask_generator_finds_the_objects(sam: Sam) -> None:
    # The quality head of so small a model is modest, so the thresholds are below SAM's own.
    generator = SamAutomaticMaskGenerator(
        sam, points_per_side=12, pred_iou_thresh=0.5, stability_score_thresh=0.7
    )
    best = []
    for seed in HELD_OUT[:4]:
        scene = generate_scene(seed)
        found = [record["segmentation"] for record in generator.generate(scene.image)]
        best += [
            max(((m & item.mask).sum() / (m | item.mask).sum() for m in found), default=0.0)
            for item in scene.objects
        ]
    assert np.mean(np.array(best) > 0.5) >= 0.6


def test_clip_reads_prompts_and_not_unmarked_pictures() -> None:
    clip, tokenizer = load_demo_clip()
    figures = accuracy_by_mode(clip, tokenizer, HELD_OUT, ("blur_reverse_mask", "crop", "none"))
    assert figures["n"] > 50
    assert figures["blur_reverse_mask"] >= 0.8
    assert figures["none"] <= 0.35


def test_text_pooling_ignores_what_follows_the_end() -> None:
    clip, tokenizer = load_demo_clip()
    tokens = tokenizer("a photo of a red star")
    noisy = tokens.clone()
    noisy[0, int(tokens[0].argmax()) + 1 :] = 5
    with torch.no_grad():
        torch.testing.assert_close(clip.encode_text(tokens), clip.encode_text(noisy))


def test_saved_weights_come_back_in_half_precision(tmp_path: Path) -> None:
    model, _ = build_demo_clip()
    save_weights(model, tmp_path / "w.safetensors")
    other, _ = build_demo_clip()
    load_weights(other, tmp_path / "w.safetensors")
    for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        expected = a.half().float() if a.is_floating_point() else a
        torch.testing.assert_close(expected, b, rtol=0, atol=0)
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_missing_weights_say_what_makes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "SAM_WEIGHTS", tmp_path / "demo_sam.safetensors")
    with pytest.raises(FileNotFoundError, match="train_sam"):
        load_demo_sam()


def test_weights_of_another_model_are_refused() -> None:
    model, _ = build_demo_clip()
    with pytest.raises(ValueError, match="do not fit the model"):
        load_weights(model, SAM_WEIGHTS)
