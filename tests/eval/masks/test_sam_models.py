import hashlib
from pathlib import Path

import pytest
import torch

from fgvp_eval.demo import models as demo_models
from fgvp_eval.errors import DataError
from fgvp_eval.masks import sam_models
from fgvp_eval.masks.sam_models import load_sam, state_sha256

CPU = torch.device("cpu")


def test_missing_checkpoint_says_where_and_whence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    expected = (
        r"SAM checkpoint sam_vit_h_4b8939\.pth is missing, looked for at "
        r".*root/weights/sam_vit_h_4b8939\.pth and .*hub/checkpoints/sam_vit_h_4b8939\.pth; "
        r"source: https://dl\.fbaipublicfiles\.com/segment_anything/sam_vit_h_4b8939\.pth"
    )
    with pytest.raises(DataError, match=expected):
        load_sam("vit_h", CPU, tmp_path / "root")
    with pytest.raises(DataError, match=r"looked for at /no/such\.pth; source"):
        load_sam("vit_b:/no/such.pth", CPU, tmp_path)


def test_official_checkpoint_is_found_under_the_data_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sam_models.sam_model_registry, "vit_l", demo_models.build_demo_sam)
    torch.manual_seed(3)
    original = demo_models.build_demo_sam()
    path = tmp_path / "weights" / "sam_vit_l_0b3195.pth"
    path.parent.mkdir()
    torch.save(original.state_dict(), path)
    loaded = load_sam("vit_l", CPU, tmp_path)
    assert state_sha256(loaded.sam) == state_sha256(original)
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not loaded.sam.training


@pytest.mark.parametrize("content", ["text", "other model"])
def test_foreign_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    monkeypatch.setitem(sam_models.sam_model_registry, "vit_b", demo_models.build_demo_sam)
    path = tmp_path / "weights.pth"
    if content == "text":
        path.write_text("not found")
    else:
        torch.save(torch.nn.Linear(2, 2).state_dict(), path)
    with pytest.raises(
        DataError, match=r"weights\.pth is no SAM vit_b checkpoint \(.*\); source: "
    ):
        load_sam(f"vit_b:{path}", CPU, tmp_path)


def test_demo_weights_that_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_models, "SAM_WEIGHTS", tmp_path / "demo_sam.safetensors")
    with pytest.raises(DataError, match="demo weights are missing"):
        load_sam("demo", CPU, tmp_path)


def test_state_hash_sees_values_and_names() -> None:
    layer, same, other = (torch.nn.Linear(2, 2) for _ in range(3))
    same.load_state_dict(layer.state_dict())
    assert state_sha256(layer) == state_sha256(same) != state_sha256(other)
