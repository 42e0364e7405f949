from typing import Any

import pytest
import torch
from fake_clips import CPU, FakeClip, fake
from masked_images import COUNTS, IMAGES

from fgvp_eval.encoding import picture_batches, prompt_pictures
from fgvp_eval.encoding.clip_models import ClipModel
from fgvp_eval.encoding.drawing import DrawStyle
from fgvp_eval.encoding.picture_batches import ImageFeatures, PictureEncoder, pictures_at_once
from fgvp_eval.machine.stage_times import StageTimes
from fgvp_kernels import Mode, RenderOptions, render_batch

MODES = ("none", "crop", "blur_reverse_mask", "mask")


def make_encoder(
    clips: list[ClipModel], batch_size: int = 100, modes: tuple[str, ...] = MODES, **options: Any
) -> PictureEncoder:
    style = DrawStyle(RenderOptions(sigma=3.0, **options))
    styles = dict.fromkeys(modes, style)
    times = StageTimes(CPU)
    return PictureEncoder(clips, styles, device=CPU, batch_size=batch_size, times=times)


def batches_of(clip: ClipModel) -> list[int]:
    assert isinstance(clip.model, FakeClip)
    return clip.model.image_batches


def assert_close(a: list[ImageFeatures], b: list[ImageFeatures]) -> None:
    for one, other in zip(a, b, strict=True):
        assert one.count == other.count
        for left, right in zip(sum(one.of_clips, ()), sum(other.of_clips, ()), strict=True):
            torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-6)


def test_a_group_is_drawn_by_one_call_and_encoded_in_full_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[int] = []

    def counting(images: Any, *args: Any, **options: Any) -> torch.Tensor:
        calls.append(len(images))
        return render_batch(images, *args, **options)

    monkeypatch.setattr(prompt_pictures, "render_batch", counting)
    clip = fake(16, 0, 1.0)
    found = make_encoder([clip]).encode(IMAGES)
    assert calls == [3]
    assert batches_of(clip) == [3, 8, 8, 8]
    for features, count in zip(found, COUNTS, strict=True):
        assert [len(of_mode) for of_mode in features.of_clips[0]] == [1, count, count, count]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5])
@pytest.mark.parametrize("options", [{}, {"tint_color": "random"}])
def test_features_are_those_of_each_image_alone(batch_size: int, options: Any) -> None:
    clips = [fake(16, 0, 1.0), fake(20, 1, 1.0)]
    alone = [make_encoder(clips, **options).encode([image])[0] for image in IMAGES]
    assert_close(make_encoder(clips, **options).encode(IMAGES), alone)
    assert_close(make_encoder(clips, batch_size, **options).encode(IMAGES), alone)


def test_features_of_a_mode_do_not_depend_on_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_batches, "_MODES_AT_ONCE", 3)
    clips = [fake(16, 0, 1.0)]
    together = make_encoder(clips).encode(IMAGES)
    for number, mode in enumerate(MODES):
        alone = make_encoder(clips, modes=(mode,)).encode(IMAGES)
        for one, other in zip(together, alone, strict=True):
            assert torch.equal(one.of_clips[0][number], other.of_clips[0][0])


def test_every_mode_is_drawn() -> None:
    modes = tuple(mode.value for mode in Mode)
    (found,) = make_encoder([fake(16, 0, 1.0)], modes=modes).encode([IMAGES[0]])
    assert [len(of_mode) for of_mode in found.of_clips[0]] == [1] + [3] * (len(modes) - 1)


def test_batches_of_a_cpu_are_small() -> None:
    assert pictures_at_once(256, CPU) == 32
    assert pictures_at_once(8, CPU) == 8
    assert pictures_at_once(256, torch.device("cuda")) == 256
