import numpy as np
import pytest
import torch
from segment_anything import SamPredictor
from segment_anything.modeling import Sam

from fgvp_eval.box_masks import box_masks
from fgvp_eval.demo.models import build_demo_sam

BOXES_XYXY = tuple((float(k), 2.0 * k, 20.0 + 3 * k, 30.5 + k) for k in range(7))


@pytest.fixture(scope="module")
def sam() -> Sam:
    torch.manual_seed(0)
    return build_demo_sam().eval()


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(90, 61), (40, 300), (128, 128)])
def test_masks_equal_the_predictor(sam: Sam, size: tuple[int, int]) -> None:
    image = picture(*size)
    predictor = SamPredictor(sam)
    predictor.set_image(image)
    boxes = predictor.transform.apply_boxes_torch(torch.tensor(BOXES_XYXY), size)
    expected, _, _ = predictor.predict_torch(None, None, boxes, multimask_output=False)
    masks = box_masks(sam, image, BOXES_XYXY)
    assert masks.dtype == torch.bool
    assert torch.equal(masks, expected[:, 0])
    assert 0 < masks.float().mean() < 1  # a random model that says one thing would prove nothing


def test_one_box_at_a_time_equals_the_predictor(sam: Sam) -> None:
    image = picture(50, 70)
    predictor = SamPredictor(sam)
    predictor.set_image(image)
    expected = [
        predictor.predict(box=np.array(box), multimask_output=False)[0][0] for box in BOXES_XYXY
    ]
    masks = box_masks(sam, image, BOXES_XYXY, boxes_at_once=1)
    np.testing.assert_array_equal(masks.numpy(), np.stack(expected))


def test_chunks_differ_only_where_a_logit_is_almost_zero(sam: Sam) -> None:
    image = picture(50, 70)
    whole, chunked = (box_masks(sam, image, BOXES_XYXY, boxes_at_once=n) for n in (64, 3))
    assert (whole != chunked).float().mean() < 1e-3


def test_the_encoder_runs_once(sam: Sam, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    handle = sam.image_encoder.register_forward_hook(lambda *_: calls.append(1))
    box_masks(sam, picture(50, 70), BOXES_XYXY, boxes_at_once=2)
    handle.remove()
    assert len(calls) == 1


def test_no_box(sam: Sam) -> None:
    assert box_masks(sam, picture(5, 7), ()).shape == (0, 5, 7)
