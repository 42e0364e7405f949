"""``RegionEncoder``: what a program gets is what the renderer and open_clip give by themselves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_clips import fake
from PIL import Image
from pycocotools import mask as coco_mask
from torch.nn import functional

from fgvp_eval import RegionEncoder
from fgvp_eval.demo.models import load_demo_clip
from fgvp_eval.encoding import prompt_pictures
from fgvp_eval.encoding.picture_batches import ImageFeatures
from fgvp_kernels import PackedMasks, render_batch

MODES = ("crop", "D4", "none")
TEXTS = ("A red mug", "the star")
COUNTS = (3, 1, 0, 4)


def picture(number: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    return rng.integers(0, 256, (40 + 3 * number, 56 - 2 * number, 3), dtype=np.uint8)


def masks_of(number: int) -> torch.Tensor:
    height, width = picture(number).shape[:2]
    masks = torch.zeros(COUNTS[number], height, width, dtype=torch.bool)
    for index, mask in enumerate(masks):
        mask[3 + 4 * index : 20 + 2 * index, 5 * index : 18 + 6 * index] = True
    return masks


IMAGES = [picture(number) for number in range(len(COUNTS))]
MASKS = [masks_of(number) for number in range(len(COUNTS))]


def make(clip: Any = "demo", modes: Any = MODES, **options: Any) -> RegionEncoder:
    return RegionEncoder(clip, modes, device="cpu", **options)


def assert_equal(found: list[ImageFeatures], expected: list[ImageFeatures]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.features, other.features)


@pytest.mark.parametrize("masks", [MASKS[0], MASKS[0] / 2], ids=["bool", "soft"])
def test_scores_are_scaled_cosines_of_rendered_pictures(masks: torch.Tensor) -> None:
    encoder = make()
    regions = encoder(IMAGES[0], masks)
    (scores,) = encoder.scores(regions, TEXTS)
    model, tokenizer = load_demo_clip(torch.device("cpu"))
    cfg = model.visual.preprocess_cfg
    size = cfg["size"] if isinstance(cfg["size"], int) else cfg["size"][0]
    pictures = render_batch(
        IMAGES[0], masks, MODES, size=size, normalize=(cfg["mean"], cfg["std"])
    )  # [K, N, 3, h, w]
    with torch.no_grad():
        pixels = functional.normalize(model.encode_image(pictures.flatten(0, 1)), dim=-1)
        tokens = tokenizer([f"a photo of {text.lower()}" for text in TEXTS])
        words = functional.normalize(model.encode_text(tokens), dim=-1)  # [T, D]
        logits = model.logit_scale.exp() * words @ pixels.T  # [T, K*N]
    expected = pixels.unflatten(0, (len(MODES), -1))
    assert regions[0].features.shape == expected.shape
    torch.testing.assert_close(regions[0].features, expected, rtol=1e-4, atol=1e-5)
    summed = logits.unflatten(1, (len(MODES), -1)).sum(1)
    torch.testing.assert_close(scores, summed, rtol=1e-4, atol=1e-3)


def test_several_images_are_those_of_each_alone_and_share_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clips = [fake(16, 0, 1.0), fake(20, 1, 2.0)]
    together = make(clips, cache=False)(IMAGES, MASKS)
    assert clips[0].model.image_batches == [8, 8, 3]  # crop, D4, and a plain picture an image
    for image, masks, found in zip(IMAGES, MASKS, together, strict=True):
        (alone,) = make(clips, cache=False)(image, masks)
        assert found.count == alone.count == len(masks)
        for one, other in zip(found.features_by_clip, alone.features_by_clip, strict=True):
            assert one.shape == (len(MODES), len(masks), 8)
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(one.norm(dim=-1), torch.ones(one.shape[:2]))


def test_forms_of_images_and_masks_are_alike() -> None:
    image, masks = IMAGES[0], MASKS[0]
    encoder = make()
    expected = encoder(image, masks)
    runs = [coco_mask.encode(np.asfortranarray(mask.numpy(), dtype=np.uint8)) for mask in masks]
    for form in (
        masks.numpy(),
        masks.to(torch.uint8) * 255,
        PackedMasks.pack(masks),
        runs,
        [{"segmentation": mask.numpy(), "area": 1} for mask in masks],
    ):
        assert_equal(encoder(image, form), expected)
    for view in (Image.fromarray(image), torch.from_numpy(image).permute(2, 0, 1)):
        assert_equal(encoder(view, masks), expected)
    assert_equal(encoder([image], [masks]), expected)
    whole = encoder(image.astype(np.float32) / 255, masks)
    torch.testing.assert_close(whole[0].features, expected[0].features, rtol=1e-3, atol=1e-3)
    boxes = [[0, 3, 18, 20], [5, 7, 24, 22], [10, 11, 30, 24]]
    assert_equal(encoder(image, masks, boxes=boxes), expected)
    crops = make(modes=["crop"])
    assert_equal(crops(image, None, boxes=boxes), crops(image, masks))


def test_nothing_is_drawn_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FGVP_CACHE_DIR", str(tmp_path))
    expected = make(cache=True)(IMAGES, MASKS)
    monkeypatch.setattr(prompt_pictures, "render_batch", None)
    assert_equal(make(cache=True)(IMAGES, MASKS), expected)
    with pytest.raises(TypeError):
        make(cache=True, modes=["mask"])(IMAGES, MASKS)


def test_batches_are_halved_when_memory_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = make()(IMAGES, MASKS)
    drawn: list[int] = []

    def scarce(images: Any, masks: Any, *args: Any, **options: Any) -> torch.Tensor:
        count = sum(len(of_image) for of_image in masks)
        drawn.append(count)
        if count > 2:
            raise torch.OutOfMemoryError("none left")
        return render_batch(images, masks, *args, **options)

    monkeypatch.setattr(prompt_pictures, "render_batch", scarce)
    for one, other in zip(make()(IMAGES, MASKS), expected, strict=True):
        torch.testing.assert_close(one.features, other.features, rtol=1e-4, atol=1e-5)
    assert drawn == [8, 4, 2, 2, 2, 2]


def test_no_candidates_have_no_features_and_no_scores() -> None:
    encoder = make()
    (none,) = encoder(IMAGES[0], MASKS[0][:0])
    assert none.features.shape == (len(MODES), 0, encoder(IMAGES[0], MASKS[0])[0].features.shape[2])
    assert encoder.scores([none], TEXTS)[0].shape == (len(TEXTS), 0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"modes": "crop"}, TypeError, "modes must be a sequence"),
        ({"modes": []}, ValueError, "modes must name at least one"),
        ({"modes": ["D4", "blur_reverse_mask"]}, ValueError, "modes .* each once"),
        ({"modes": ["blurr"]}, ValueError, "modes: mode must be one of"),
        ({"precision": "fp8"}, ValueError, "precision must be one of"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"batch_size": 2.0}, TypeError, "batch_size must be a whole number"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"template": "a photo"}, ValueError, "template must hold {} once"),
        ({"color": "reddish"}, ValueError, "color must be one of"),
        ({"color": "text"}, ValueError, "color 'text' is that of a text"),
        ({"clip": []}, TypeError, "clip must be"),
        ({"clip": ""}, ValueError, "clip must be"),
    ],
)
def test_wrong_arguments_are_named(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make(**options)


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ([], ValueError, "texts must hold at least one"),
        (["x", " "], ValueError, r"texts\[1\] must not be empty"),
        ("x", TypeError, "texts must be a sequence"),
        ([1], TypeError, r"texts\[0\] must be a text"),
    ],
)
def test_empty_texts_are_refused(texts: Any, error: type[Exception], message: str) -> None:
    encoder = make(modes=["crop"])
    with pytest.raises(error, match=message):
        encoder.scores(encoder(IMAGES[1], MASKS[1]), texts)


def test_wrong_images_and_regions_are_named() -> None:
    encoder = make(modes=["D4"])
    with pytest.raises(ValueError, match="masks must be given for mode"):
        encoder(IMAGES[0], None, boxes=[[0, 0, 4, 4]])
    with pytest.raises(ValueError, match="masks must have the size of the image"):
        encoder(IMAGES[0], MASKS[1])
    with pytest.raises(TypeError, match="regions must be"):
        encoder.scores(torch.zeros(3), TEXTS)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["Grounder", "RegionEncoder"])
def test_import_needs_no_torch(name: str) -> None:
    check = f"import sys, fgvp_eval; assert 'torch' not in sys.modules; fgvp_eval.{name}"
    subprocess.run([sys.executable, "-c", f"{check}; assert 'torch' in sys.modules"], check=True)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        __import__("fgvp_eval").nothing  # noqa: B018
