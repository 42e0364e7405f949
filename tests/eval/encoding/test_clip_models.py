from pathlib import Path
from typing import Any

import huggingface_hub
import open_clip
import pytest
import torch

from fgvp_eval.demo import models as demo_models
from fgvp_eval.encoding import clip_models
from fgvp_eval.encoding.clip_models import (
    check_clip_name,
    has_local_weights,
    load_clips,
    split_ensemble,
)
from fgvp_eval.errors import DataError, UsageError

CPU = torch.device("cpu")


def test_ensembles_split_at_models_only() -> None:
    assert split_ensemble("demo") == ["demo"]
    assert split_ensemble("RN50:openai+ViT-B-32:x") == ["RN50:openai", "ViT-B-32:x"]
    assert split_ensemble("RN50:/a+b/c.pt+demo") == ["RN50:/a+b/c.pt", "demo"]


@pytest.mark.parametrize(
    "name",
    [
        "demo",
        "ViT-B-32-quickgelu:openai",
        "RN50x16-quickgelu:openai",
        "ViT-L-14-336-quickgelu:openai",
        "ViT-B-32:laion2b_s34b_b79k",
        "ViT-B-16-SigLIP:webli",
    ],
)
def test_good_names(name: str) -> None:
    check_clip_name(name)


@pytest.mark.parametrize("cached", [True, False])
def test_weights_that_need_no_network(monkeypatch: pytest.MonkeyPatch, cached: bool) -> None:
    asked = []

    def is_cached(repository: str, name: str) -> str | None:
        asked.append(f"{repository}/{name}")
        return "/cache/file" if cached else None

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", is_cached)
    assert has_local_weights("demo")
    assert has_local_weights(f"ViT-B-32:{__file__}")
    assert not asked
    assert has_local_weights("ViT-B-32:laion2b_s34b_b79k") == cached
    assert asked[0].startswith("laion/CLIP-ViT-B-32-laion2B-s34B-b79K/open_clip_")


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("ViT-B-32:openai", "ViT-B-32-quickgelu:openai"),
        ("RN50x16:openai", "RN50x16-quickgelu:openai"),
        ("ViT-B-32-quickgelu:laion2b_s34b_b79k", "ViT-B-32:laion2b_s34b_b79k"),
    ],
)
def test_wrong_activation_is_refused_with_the_right_name(name: str, right: str) -> None:
    with pytest.raises(UsageError, match=f"QuickGELU mismatch.*; use {right}$"):
        check_clip_name(name)


@pytest.mark.parametrize(
    ("name", "error", "match"),
    [
        ("ViT-B-32", UsageError, "--clip must be MODEL:PRETRAINED or demo, got 'ViT-B-32'"),
        ("ViT-B-33:openai", UsageError, "no model 'ViT-B-33'; did you mean ViT-B-32"),
        (
            "RN50-quickgelu:webli",
            UsageError,
            "RN50-quickgelu has no weights 'webli'; it has: cc12m",
        ),
        ("RN50:/no/such.pt", DataError, r"weights of RN50 are missing, expected at /no/such\.pt"),
    ],
)
def test_unknown_names(name: str, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        check_clip_name(name)


def test_weights_without_a_network_are_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("Name or service\nnot known")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    expected = (
        "the CLIP weights RN50-quickgelu:openai are neither in the local cache nor to be "
        r"downloaded \(Name or service not known\); source: https://huggingface\.co/timm/resnet50_clip\.openai"
    )
    with pytest.raises(DataError, match=expected):
        load_clips("RN50-quickgelu:openai", CPU, "auto")


def test_cached_weights_need_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: "/cached")
    monkeypatch.setattr(clip_models, "download_pretrained", lambda _: str(tmp_path / "w.pt"))
    assert clip_models._download("RN50-quickgelu", "openai") == tmp_path / "w.pt"


@pytest.fixture
def tiny_open_clip(monkeypatch: pytest.MonkeyPatch) -> str:
    """An open_clip model config of a few kilobytes, registered for one test."""
    config = {
        "embed_dim": 16,
        "vision_cfg": {
            "image_size": 32,
            "layers": 1,
            "width": 64,
            "patch_size": 16,
        },
        "text_cfg": {
            "context_length": 77,
            "vocab_size": 49408,
            "width": 64,
            "heads": 1,
            "layers": 1,
        },
    }
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny-test", config)
    return "tiny-test"


def test_weights_file(tiny_open_clip: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = open_clip.create_model(tiny_open_clip)
    path = tmp_path / "a+b.pt"
    torch.save(model.state_dict(), path)
    (clip,) = load_clips(f"{tiny_open_clip}:{path}", CPU, "auto")
    assert clip.pictures.size == (32, 32)
    assert clip.pictures.mean == open_clip.OPENAI_DATASET_MEAN
    assert clip.dtype == torch.float32
    assert clip.logit_scale == pytest.approx(1 / 0.07)
    pixels = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(clip.model.encode_image(pixels), model.eval().encode_image(pixels))
    assert clip.tokenizer(["a photo"]).shape == (1, 77)


def test_damaged_weights_file(tiny_open_clip: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.pt"
    path.write_text("<html>")
    with pytest.raises(DataError, match=r"CLIP weights .*bad\.pt do not load as tiny-test: "):
        load_clips(f"{tiny_open_clip}:{path}", CPU, "auto")


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_demo_in_every_precision(random_models: None, precision: Any) -> None:
    (clip,) = load_clips("demo", CPU, precision)
    exact, tokenizer = demo_models.load_demo_clip(CPU)
    pixels = torch.rand(2, 3, *clip.pictures.size)
    with torch.no_grad():
        found = clip.model.encode_image(pixels.to(clip.dtype)).float()
        expected = exact.encode_image(pixels)
        texts = clip.model.encode_text(tokenizer(["a red box"])).float()
        expected_texts = exact.encode_text(tokenizer(["a red box"]))
    assert torch.cosine_similarity(found, expected).min() > 0.999
    assert torch.cosine_similarity(texts, expected_texts).min() > 0.999
    assert clip.logit_scale == pytest.approx(exact.logit_scale.exp().item())


def test_demo_weights_that_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_models, "CLIP_WEIGHTS", tmp_path / "demo_clip.safetensors")
    with pytest.raises(DataError, match="demo weights are missing"):
        load_clips("demo", CPU, "auto")
