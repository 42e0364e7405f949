from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor
from segment_anything.modeling import Sam

from fgvp_eval.demo.models import build_demo_sam
from fgvp_eval.machine.out_of_memory import ShrinkingBatch
from fgvp_eval.masks.by_boxes import box_masks
from fgvp_eval.masks.embedding_cache import EmbeddingCache, embedding_key
from fgvp_eval.masks.sam_models import SamModel, state_sha256
from fgvp_eval.masks.sam_prompting import prompt_ready

BOXES_XYXY = tuple((float(k), 2.0 * k, 20.0 + 3 * k, 30.5 + k) for k in range(7))


@pytest.fixture(scope="module")
def model() -> SamModel:
    torch.manual_seed(0)
    sam = build_demo_sam().eval()
    return SamModel("demo", sam, state_sha256(sam))


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def at_once(count: int) -> ShrinkingBatch:
    return ShrinkingBatch(count, "boxes")


@pytest.mark.parametrize("size", [(90, 61), (40, 300), (128, 128)])
def test_masks_equal_the_predictor(model: SamModel, size: tuple[int, int]) -> None:
    image = picture(*size)
    predictor = SamPredictor(model.sam)
    predictor.set_image(image)
    boxes = predictor.transform.apply_boxes_torch(torch.tensor(BOXES_XYXY), size)
    expected, _, _ = predictor.predict_torch(None, None, boxes, multimask_output=False)
    masks = box_masks(prompt_ready(model, image), BOXES_XYXY)
    assert masks.dtype == torch.bool
    assert torch.equal(masks, expected[:, 0])
    assert 0 < masks.float().mean() < 1  # a random model that says one thing would prove nothing


def test_one_box_at_a_time_equals_the_predictor(model: SamModel) -> None:
    image = picture(50, 70)
    predictor = SamPredictor(model.sam)
    predictor.set_image(image)
    expected = [
        predictor.predict(box=np.array(box), multimask_output=False)[0][0] for box in BOXES_XYXY
    ]
    masks = box_masks(prompt_ready(model, image), BOXES_XYXY, at_once(1))
    np.testing.assert_array_equal(masks.numpy(), np.stack(expected))


def test_chunks_differ_only_where_a_logit_is_almost_zero(model: SamModel) -> None:
    predictor = prompt_ready(model, picture(50, 70))
    whole, chunked = (box_masks(predictor, BOXES_XYXY, at_once(n)) for n in (64, 3))
    assert (whole != chunked).float().mean() < 1e-3


def test_boxes_that_do_not_fit_go_in_halves(
    model: SamModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = prompt_ready(model, picture(50, 70))
    expected = box_masks(predictor, BOXES_XYXY, at_once(2))
    decode = Sam.postprocess_masks

    def small(self: Sam, masks: torch.Tensor, *sizes: object) -> torch.Tensor:
        if len(masks) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return decode(self, masks, *sizes)

    monkeypatch.setattr(Sam, "postprocess_masks", small)
    batch = at_once(8)
    assert torch.equal(box_masks(predictor, BOXES_XYXY, batch), expected)
    assert batch.size == 2


def test_no_box(model: SamModel) -> None:
    assert box_masks(prompt_ready(model, picture(5, 7)), ()).shape == (0, 5, 7)


def runs_of_the_encoder(
    model: SamModel, image: np.ndarray, cache: EmbeddingCache | None
) -> tuple[int, torch.Tensor]:
    calls: list[int] = []
    handle = model.sam.image_encoder.register_forward_hook(lambda *_: calls.append(1))
    masks = box_masks(prompt_ready(model, image, cache), BOXES_XYXY, at_once(2))
    handle.remove()
    return len(calls), masks


def test_the_encoder_runs_once_per_image_and_never_for_a_kept_one(
    model: SamModel, tmp_path: Path
) -> None:
    image, cache = picture(50, 70), EmbeddingCache(tmp_path)
    calls, expected = runs_of_the_encoder(model, image, None)
    assert calls == 1
    for calls_expected in (1, 0):
        calls, masks = runs_of_the_encoder(model, image, cache)
        assert calls == calls_expected
        assert torch.equal(masks, expected)


def test_a_damaged_embedding_is_made_anew(
    model: SamModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image, cache = picture(50, 70), EmbeddingCache(tmp_path)
    runs_of_the_encoder(model, image, cache)
    (path,) = tmp_path.rglob("*.safetensors")
    path.write_bytes(path.read_bytes()[:100])
    assert runs_of_the_encoder(model, image, cache)[0] == 1
    assert "is damaged and made anew" in caplog.text
    assert runs_of_the_encoder(model, image, cache)[0] == 0


def test_a_folder_that_cannot_be_written_costs_the_cache_only(
    model: SamModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    cache = EmbeddingCache(tmp_path / "file" / "cache")
    for _ in range(2):
        assert runs_of_the_encoder(model, picture(50, 70), cache)[0] == 1
    assert caplog.text.count("no longer kept") == 1


def test_embeddings_are_told_apart_by_pixels_shape_weights_and_preprocessing(
    model: SamModel,
) -> None:
    image = picture(50, 70)
    other = image.copy()
    other[0, 0, 0] ^= 1
    torch.manual_seed(0)
    shifted = build_demo_sam().eval()
    shifted.pixel_mean += 1
    keys = {
        embedding_key(model, image),
        embedding_key(model, other),
        embedding_key(model, image.reshape(70, 50, 3)),
        embedding_key(replace(model, sha256="0" * 64), image),
        embedding_key(replace(model, sam=shifted), image),
    }
    assert len(keys) == 5
    assert embedding_key(model, image.copy()) in keys
