"""Candidates and masks of an image, from every source, and whole runs on them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fgvp_eval.data.candidates import Candidates
from fgvp_eval.data.records import Annotation, ImageRecord
from fgvp_eval.demo.models import build_demo_sam
from fgvp_eval.masks.by_grid import GridSettings
from fgvp_eval.masks.cleanup import area_at, clean_mask
from fgvp_eval.masks.sam_models import SamModel, state_sha256
from fgvp_eval.masks.sources import (
    AnnotatedMasks,
    BoxPrompts,
    GridPrompts,
    MaskSource,
    UnmaskedBoxes,
)

PIXELS = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
SQUARE = [[10, 10, 30, 10, 30, 30, 10, 30]]
IMAGE = ImageRecord(
    7,
    Path("none.jpg"),
    "none.jpg",
    (60, 80),
    (
        Annotation(1, (10.0, 10.0, 20.0, 20.0), SQUARE),
        Annotation(2, (0.0, 5.0, 60.0, 40.0), [[0, 5, 60, 5, 60, 45, 0, 45]]),
    ),
    (),
)
ANNOTATED = Candidates(None, {})
BOXES_XYXY = ((10.0, 10.0, 30.0, 30.0), (0.0, 5.0, 60.0, 45.0))
EASY = GridSettings(8, 64, 0.5, 0.3, 0.4, 0.97)


@pytest.fixture(scope="module")
def model() -> SamModel:
    torch.manual_seed(0)
    sam = build_demo_sam().eval()
    return SamModel("demo", sam, state_sha256(sam))


@pytest.fixture(scope="module")
def varied_model() -> SamModel:
    """Its masks differ from point to point."""
    torch.manual_seed(0)
    sam = build_demo_sam().eval()
    with torch.no_grad():
        for parameter in sam.mask_decoder.parameters():
            parameter.mul_(3.0)
    return SamModel("demo", sam, state_sha256(sam))


@pytest.mark.parametrize("kind", ["sam", "gt", "unused"])
def test_sources_of_masks_keep_the_boxes(model: SamModel, kind: str) -> None:
    sources: dict[str, MaskSource] = {
        "sam": BoxPrompts(ANNOTATED, model),
        "gt": AnnotatedMasks(ANNOTATED),
        "unused": UnmaskedBoxes(ANNOTATED),
    }
    found = sources[kind].find(IMAGE, PIXELS)
    assert found.boxes_xyxy == BOXES_XYXY
    assert (found.masks.shape, found.masks.dtype) == ((2, 60, 80), torch.bool)
    assert found.masks.any().item() == (kind != "unused")


def test_box_prompts_clean_at_the_scale_of_the_released_code(model: SamModel) -> None:
    raw = BoxPrompts(ANNOTATED, model).find(IMAGE, PIXELS).masks.numpy()
    cleaned = BoxPrompts(ANNOTATED, model, clean_area=4000.0).find(IMAGE, PIXELS).masks.numpy()
    area = area_at((60, 80), 4000.0)
    np.testing.assert_array_equal(cleaned, np.stack([clean_mask(mask, area)[0] for mask in raw]))
    assert (cleaned != raw).any()


@pytest.mark.parametrize("clean_area", [0.0, 4000.0])
def test_grid_prompts_give_masks_with_their_boxes(
    varied_model: SamModel, clean_area: float
) -> None:
    found = GridPrompts(varied_model, EASY, clean_area).find(IMAGE, PIXELS)
    assert len(found.boxes_xyxy) == len(found.masks) > 1
    for (left, top, right, bottom), mask in zip(found.boxes_xyxy, found.masks, strict=True):
        rows, columns = np.nonzero(mask.numpy())
        assert (left, top) == (columns.min(), rows.min())
        assert (right, bottom) == (columns.max() + 1, rows.max() + 1)


def test_where_the_grid_finds_nothing_the_image_is_the_candidate(varied_model: SamModel) -> None:
    found = GridPrompts(varied_model, GridSettings(4, pred_iou_thresh=1e9)).find(IMAGE, PIXELS)
    assert found.boxes_xyxy == ((0.0, 0.0, 80.0, 60.0),)
    assert found.masks.shape == (1, 60, 80)
    assert found.masks.all()


@pytest.fixture
def words(root: Any, random_models: None) -> tuple[object, ...]:
    root.save()
    demo = ("--sam", "demo", "--clip", "demo")
    return ("--split", "refcoco+_testA", *demo, "--data-root", root.path)


@pytest.mark.parametrize("modes", ["crop", "blur_reverse_mask"])
def test_run_on_masks_of_the_grid(
    run: Any, words: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, modes: str
) -> None:
    monkeypatch.setattr("fgvp_eval.tasks.split_plan.grid_settings", lambda _: EASY)
    code, out, err = run(*words, "--proposals", "sam-grid", "--modes", modes, "--out", "run")
    assert code == 0, err
    assert "sam-grid" in out
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    facts = results["splits"]["refcoco+_testA"]
    assert (facts["proposals"], facts["masks"]) == ("sam-grid", "sam-grid")
    assert [one["kind"] for one in results["models"]] == ["sam", "clip"]
    settings = results["config"]["settings"]["refcoco+_testA"]
    assert settings["sam_grid"] == vars(EASY)
    assert "masks that SAM finds" in (tmp_path / "run" / "summary.md").read_text()
    lines = err.splitlines()
    assert lines[-2].startswith("fgvp_eval: time: decode ")


def test_kept_embeddings_give_the_same_run(
    run: Any, words: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FGVP_CACHE_DIR", str(tmp_path / "cache"))
    words = (*words, "--proposals", "gt")
    for name, more in (("none", ()), ("cold", ("--cache",)), ("warm", ("--cache",))):
        assert run(*words, *more, "--out", name)[0] == 0
        kept = list((tmp_path / "cache").rglob("*.safetensors"))
        assert len(kept) == (0 if name == "none" else 3)
    samples = {
        (tmp_path / name / "samples.jsonl").read_bytes() for name in ("none", "warm", "cold")
    }
    assert len(samples) == 1
