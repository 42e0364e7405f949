"""Features that are kept: what finds them again, and what runs make of them."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from child_processes import start
from fake_clips import CPU, FakeClip, fake
from masked_images import IMAGES

from fgvp_eval.demo import models as demo_models
from fgvp_eval.encoding import feature_cache, prompt_pictures
from fgvp_eval.encoding.clip_models import ClipModel, PictureSpec
from fgvp_eval.encoding.drawing import DrawStyle
from fgvp_eval.encoding.feature_cache import FeatureCache
from fgvp_eval.encoding.picture_batches import PictureEncoder
from fgvp_eval.machine.stage_times import StageTimes
from fgvp_eval.machine.tensor_cache import TensorCache
from fgvp_eval.masks.masked_image import MaskedImage
from fgvp_kernels import RenderOptions, render_batch

CLIP = fake(16, 0, 1.0)


@dataclass(frozen=True)
class Setup:
    """All that decides features."""

    clip: ClipModel = CLIP
    mode: str = "blur_reverse_mask"
    style: DrawStyle = field(default_factory=lambda: DrawStyle(RenderOptions(sigma=3.0)))
    images: Sequence[MaskedImage] = tuple(IMAGES)
    batch_size: int = 8
    color: str | None = None

    def encode(self, folder: Path) -> int:
        """Return how many pictures were encoded."""
        encoder = PictureEncoder(
            [self.clip],
            {self.mode: self.style},
            device=CPU,
            batch_size=self.batch_size,
            times=StageTimes(CPU),
            cache=FeatureCache(TensorCache(folder, "features"), CPU),
        )
        model = self.clip.model
        assert isinstance(model, FakeClip)
        model.image_batches.clear()
        encoder.encode(self.images, self.color)
        return sum(model.image_batches)


def with_image(**changes: Any) -> tuple[MaskedImage, ...]:
    return (replace(IMAGES[0], **changes), *IMAGES[1:])


def flipped(values: Any) -> Any:
    """A copy with another first value."""
    copy = values.clone() if isinstance(values, torch.Tensor) else values.copy()
    copy[0, 0, 0] ^= True
    return copy


CHANGES: dict[str, dict[str, Any]] = {
    "weights": {"clip": replace(CLIP, sha256="1" * 64)},
    "name": {"clip": replace(CLIP, name="another")},
    "precision": {"clip": replace(CLIP, dtype=torch.float64)},
    "preprocessing": {
        "clip": replace(CLIP, pictures=PictureSpec((16, 16), (0.4, 0.5, 0.7), (0.2, 0.3, 0.25)))
    },
    "mode": {"mode": "blur_mask"},
    "sigma": {"style": DrawStyle(RenderOptions(sigma=4.0))},
    "blur": {"style": DrawStyle(RenderOptions(sigma=3.0, blur="pil"))},
    "order": {"style": DrawStyle(RenderOptions(sigma=3.0), order="render_first")},
    "frame": {"style": DrawStyle(RenderOptions(sigma=3.0), frame=20)},
    "pixels": {"images": with_image(pixels=flipped(IMAGES[0].pixels))},
    "masks": {"images": with_image(masks=flipped(IMAGES[0].masks))},
    "boxes": {"images": with_image(boxes_xyxy=[(0.0, 0.0, 1.0, 1.5), *IMAGES[0].boxes_xyxy[1:]])},
    "order of images": {"images": tuple(IMAGES[::-1])},
    "fewer images": {"images": tuple(IMAGES[:2])},
    "batch size": {"batch_size": 7},
    "color": {"color": "blue"},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_any_other_part_of_the_name_misses(tmp_path: Path, changes: dict[str, Any]) -> None:
    setup = Setup()
    assert setup.encode(tmp_path) == 8
    assert setup.encode(tmp_path) == 0
    assert replace(setup, **changes).encode(tmp_path) > 0
    assert setup.encode(tmp_path) == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("algorithm_version", lambda: "another"),
        ("available_backends", lambda: ("torch", "another")),
        ("package_version", lambda name: "1.2.3"),
        ("source_digest", lambda folder: "0"),
        ("device_name", lambda device: "another"),
    ],
)
def test_other_code_and_another_machine_miss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: Callable[..., Any]
) -> None:
    assert Setup().encode(tmp_path) == 8
    monkeypatch.setattr(feature_cache, name, value)
    assert Setup().encode(tmp_path) == 8


def test_a_change_of_any_source_file_misses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = Path(feature_cache.__file__).parents[1]
    copied = tmp_path / "fgvp_eval"
    shutil.copytree(package, copied, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    monkeypatch.setattr(feature_cache, "__file__", str(copied / "encoding" / "feature_cache.py"))
    cache, setup = FeatureCache(TensorCache(tmp_path, "features"), CPU), Setup()

    def name() -> str:
        environment = feature_cache._environment(CPU)
        monkeypatch.setattr(cache, "_environment", environment)
        (key,) = cache.keys(setup.images, [CLIP], {setup.mode: setup.style}, 8).values()
        return key

    names, files = {name()}, sorted(copied.rglob("*.py"))
    for path in files:
        content = path.read_bytes()
        path.write_bytes(content + b"# changed\n")
        names.add(name())
        path.write_bytes(content)
    assert len(names) == 1 + len(files)
    assert copied / "encoding" / "prompt_pictures.py" in files


def test_masks_are_no_part_of_the_name_where_no_mask_is_looked_at(tmp_path: Path) -> None:
    crop = Setup(mode="crop")
    assert crop.encode(tmp_path) == 8
    assert replace(crop, images=with_image(masks=flipped(IMAGES[0].masks))).encode(tmp_path) == 0


@dataclass
class Work:
    """What was drawn and encoded."""

    modes: list[str] = field(default_factory=list)
    pictures: int = 0

    def clear(self) -> None:
        self.modes.clear()
        self.pictures = 0


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch, random_models: None) -> Work:
    """Counts the work of runs."""
    found = Work()
    load = demo_models.load_demo_clip

    def drawing(images: Any, masks: Any, modes: Any, **options: Any) -> torch.Tensor:
        found.modes += modes
        return render_batch(images, masks, modes, **options)

    def load_counting(device: torch.device) -> Any:
        model, tokenizer = load(device)
        encode = model.encode_image

        def encoding(pictures: torch.Tensor) -> torch.Tensor:
            found.pictures += len(pictures)
            features: torch.Tensor = encode(pictures)
            return features

        model.encode_image = encoding
        return model, tokenizer

    monkeypatch.setattr(prompt_pictures, "render_batch", drawing)
    monkeypatch.setattr(demo_models, "load_demo_clip", load_counting)
    return found


@pytest.fixture
def words(root: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[object, ...]:
    root.save(root.detections())
    monkeypatch.setenv("FGVP_CACHE_DIR", str(tmp_path / "cache"))
    words = ("--split", "refcoco+_testA", "--sam", "demo", "--clip", "demo", "--batch-size", "6")
    return (*words, "--data-root", root.path, "--no-report")  # which draws pictures of its own


MODES = ("--modes", "crop,none,D4")


def samples(folder: Path) -> bytes:
    return (folder / "samples.jsonl").read_bytes()


def files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache").rglob("*.safetensors"))


def test_warm_run_draws_and_encodes_nothing_and_gives_the_same_bytes(
    run: Any, words: Any, work: Work, tmp_path: Path
) -> None:
    assert run(*words, *MODES, "--out", "plain")[0] == 0
    assert files(tmp_path) == []
    assert run(*words, *MODES, "--feature-cache", "--out", "cold")[0] == 0
    assert len(files(tmp_path)) == 6  # two groups, three modes
    work.clear()
    code, _, err = run(*words, *MODES, "--feature-cache", "--out", "warm")
    assert code == 0
    assert (work.modes, work.pictures) == ([], 0)
    assert "6 of 6 batches of features came from " in err
    assert samples(tmp_path / "plain") == samples(tmp_path / "cold") == samples(tmp_path / "warm")


def test_other_texts_and_a_further_mode_use_what_is_there(
    run: Any, words: Any, work: Work, tmp_path: Path
) -> None:
    assert run(*words, "--modes", "crop", "--feature-cache", "--out", "first")[0] == 0
    work.clear()
    more = ("--post", "S", "--template", "{} it is", "--size-prior", "0.01")
    assert run(*words, "--modes", "crop", *more, "--feature-cache", "--out", "texts")[0] == 0
    assert work.pictures == 0
    more = ("--modes", "crop,D4", "--compare-modes")
    assert run(*words, *more, "--feature-cache", "--out", "more")[0] == 0
    assert (set(work.modes), work.pictures) == ({"blur_reverse_mask"}, 9)
    assert run(*words, *more, "--out", "plain")[0] == 0
    assert samples(tmp_path / "more") == samples(tmp_path / "plain")


def test_damaged_file_costs_one_line_and_its_batch(
    run: Any, words: Any, work: Work, tmp_path: Path
) -> None:
    assert run(*words, *MODES, "--feature-cache", "--out", "cold")[0] == 0
    path = files(tmp_path)[0]
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    work.clear()
    code, _, err = run(*words, *MODES, "--feature-cache", "--out", "warm")
    assert code == 0
    assert len(work.modes) == 1
    assert [line for line in err.splitlines() if str(path) in line] == [
        f"fgvp_eval: {path} is damaged and made anew: its checksum differs"
    ]
    assert samples(tmp_path / "cold") == samples(tmp_path / "warm")
    assert path.read_bytes() == content


def test_two_runs_may_write_at_once(run: Any, words: Any, work: Work, tmp_path: Path) -> None:
    words = (*words, *MODES, "--feature-cache", "--out")
    children = [
        start((*words, tmp_path / name), tmp_path / f"log-{name}") for name in ("one", "two")
    ]
    assert [child.wait()[0] for child in children] == [0, 0]
    assert run(*words, "warm")[0] == 0
    assert (work.modes, work.pictures) == ([], 0)
    assert len(files(tmp_path)) == 6
    assert samples(tmp_path / "one") == samples(tmp_path / "two") == samples(tmp_path / "warm")


@pytest.mark.usefixtures("random_models")
def test_full_cache_ends_the_storing_only(
    run: Any, words: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_cache, "LIMIT", 10_000)
    code, _, err = run(*words, *MODES, "--feature-cache", "--out", "run")
    assert code == 0
    assert err.count("features are no longer kept in ") == 1
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 10_000
