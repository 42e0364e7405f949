"""The generator against ``SamAutomaticMaskGenerator``, which finds the same masks its own way."""

from typing import Any

import numpy as np
import pytest
import torch
from segment_anything import SamAutomaticMaskGenerator, SamPredictor, build_sam_vit_b
from segment_anything.modeling import MaskDecoder, Sam

from fgvp_eval.demo import models as demo_models
from fgvp_eval.masks.by_grid import (
    DEMO_GRID,
    OFFICIAL_GRID,
    GridSettings,
    grid_masks,
    grid_settings,
    mask_boxes,
)

# With random weights almost no mask is good, so much less is asked for.
EASY = {
    "points_per_side": 8,
    "pred_iou_thresh": 0.5,
    "stability_score_thresh": 0.3,
    "stability_score_offset": 0.4,
    "box_nms_thresh": 0.97,
}


def amplified(sam: Sam) -> Sam:
    """Random weights at which masks differ from point to point."""
    with torch.no_grad():
        for parameter in sam.mask_decoder.parameters():
            parameter.mul_(3.0)
    return sam.eval()


@pytest.fixture(scope="module")
def sam() -> Sam:
    torch.manual_seed(0)
    return amplified(demo_models.build_demo_sam())


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def assert_equal_to_official(sam: Sam, image: np.ndarray, settings: dict[str, Any]) -> int:
    """Hold all records of an image against each other; returns how many there are."""
    expected = SamAutomaticMaskGenerator(sam, output_mode="uncompressed_rle", **settings).generate(
        image
    )
    predictor = SamPredictor(sam)
    predictor.set_image(image)
    found = grid_masks(predictor, GridSettings(**settings))
    assert found.runs.to_coco() == [record["segmentation"] for record in expected]
    assert found.predicted_iou.tolist() == [record["predicted_iou"] for record in expected]
    stability = [record["stability_score"] for record in expected]  # NaN for an empty mask
    np.testing.assert_array_equal(found.stability.tolist(), stability)
    assert found.points.tolist() == [record["point_coords"][0] for record in expected]
    boxes = [[x0, y0, x1 - x0, y1 - y0] for x0, y0, x1, y1 in found.boxes_xyxy.tolist()]
    assert boxes == [record["bbox"] for record in expected]
    assert [mask.sum().item() for mask in found.runs.decode()] == [
        record["area"] for record in expected
    ]
    return len(found)


@pytest.mark.parametrize("area", [0, 40])
@pytest.mark.parametrize("size", [(90, 61), (40, 300), (128, 128), (200, 150)])
def test_masks_equal_the_official_generator(sam: Sam, size: tuple[int, int], area: int) -> None:
    if area:
        pytest.importorskip("cv2")
    settings = {**EASY, "min_mask_region_area": area}
    assert assert_equal_to_official(sam, picture(*size), settings) > 1


@pytest.mark.parametrize(
    "change",
    [
        {"box_nms_thresh": 0.7, "stability_score_thresh": 0.1},
        {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0},
        {"points_per_batch": 5},
        {"points_per_side": 3},
    ],
)
def test_masks_equal_the_official_generator_at_other_settings(
    sam: Sam, change: dict[str, Any]
) -> None:
    assert assert_equal_to_official(sam, picture(60, 80), {**EASY, **change}) > 0


def test_nothing_good_enough(sam: Sam) -> None:
    predictor = SamPredictor(sam)
    predictor.set_image(picture(60, 80))
    found = grid_masks(predictor, GridSettings(pred_iou_thresh=1e9, min_mask_region_area=9))
    assert len(found) == 0
    assert found.runs.decode().shape == (0, 60, 80)


def test_few_pixels_at_once_give_the_same(sam: Sam, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fgvp_eval.masks.by_grid._MOST_PIXELS", 5 * 128 * 128)
    assert assert_equal_to_official(sam, picture(60, 80), EASY) > 1


def test_points_that_do_not_fit_go_in_halves(sam: Sam, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = SamPredictor(sam)
    predictor.set_image(picture(60, 80))
    expected = grid_masks(predictor, GridSettings(**EASY, points_per_batch=16))
    decode = MaskDecoder.forward

    def small(self: MaskDecoder, **inputs: Any) -> Any:
        if len(inputs["sparse_prompt_embeddings"]) > 16:
            raise torch.OutOfMemoryError("out of memory")
        return decode(self, **inputs)

    monkeypatch.setattr(MaskDecoder, "forward", small)
    found = grid_masks(predictor, GridSettings(**EASY))
    assert found.runs.to_coco() == expected.runs.to_coco()


def test_defaults_are_those_of_the_official_code() -> None:
    official = GridSettings(16, 64, 0.86, 0.92, 0.7, 0.7, 0.0)
    assert official == OFFICIAL_GRID == grid_settings("vit_b:x.pth")
    assert grid_settings("demo") == DEMO_GRID


def test_boxes_reach_from_first_to_last_pixel() -> None:
    masks = torch.zeros(3, 5, 7, dtype=torch.bool)
    masks[0, 1:4, 2:6] = True
    masks[1, 4, 6] = masks[1, 0, 3] = True
    assert mask_boxes(masks).tolist() == [[2, 1, 5, 3], [3, 0, 6, 4], [0, 0, 0, 0]]


@pytest.mark.skipif(not demo_models.SAM_WEIGHTS.is_file(), reason="the demo weights are not there")
def test_masks_of_the_trained_demo_model() -> None:
    from fgvp_eval.demo.models import load_demo_sam

    image = np.full((96, 128, 3), 120, dtype=np.uint8)
    image[20:60, 15:50] = (220, 40, 30)
    image[40:85, 80:120] = (30, 60, 220)
    settings = dict(vars(DEMO_GRID))
    assert assert_equal_to_official(load_demo_sam(), image, settings) > 0


@pytest.mark.slow
def test_masks_equal_the_official_generator_with_a_random_vit_b() -> None:
    torch.manual_seed(0)
    sam = amplified(build_sam_vit_b())
    image = picture(60, 80)
    predictor = SamPredictor(sam)
    predictor.set_image(image)
    # Both generators get the one embedding: on a CPU the encoder takes nearly all of the time.
    sam.image_encoder.forward = lambda _: predictor.features
    settings = {**EASY, "points_per_side": 3, "stability_score_offset": 0.05}
    assert assert_equal_to_official(sam, image, settings) > 1
