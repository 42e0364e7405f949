from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from fake_clips import CPU, fake

from fgvp_eval.encoding import prompt_pictures
from fgvp_eval.encoding.clip_models import ClipModel
from fgvp_eval.encoding.drawing import DrawStyle
from fgvp_eval.machine.stage_times import StageTimes
from fgvp_eval.scoring.caption_bank import CaptionMean
from fgvp_eval.scoring.scorer import Scorer
from fgvp_kernels import RenderOptions, render_batch

MODES = ("none", "crop", "blur_reverse_mask")
BOXES = [(1.0, 2.0, 12.0, 14.0), (10.0, 4.0, 28.0, 20.0)]
TEXTS = ["red one", "blue one", "red one"]


def make_scorer(
    clips: Sequence[ClipModel],
    batch_size: int = 64,
    modes: Sequence[str] = MODES,
    **options: Any,
) -> Scorer:
    return Scorer(
        clips,
        modes,
        device=CPU,
        options=RenderOptions(sigma=3.0),
        batch_size=batch_size,
        times=StageTimes(CPU),
        **options,
    )


def scene() -> tuple[np.ndarray, torch.Tensor]:
    image = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    masks = torch.zeros(2, 24, 32, dtype=torch.bool)
    masks[0, 3:13, 2:11] = True
    masks[1, 5:18, 12:27] = True
    return image, masks


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def direct(clips: Sequence[ClipModel], mode: str, text: str, index: int) -> float:
    """Σ over models of exp(logit_scale) · cosine, one candidate and one text at a time."""
    image, masks = scene()
    total = 0.0
    for clip in clips:
        model: Any = clip.model
        picture = render_batch(
            image,
            masks,
            mode,
            boxes=torch.tensor(BOXES),
            size=clip.pictures.size[0],
            options=RenderOptions(sigma=3.0),
            normalize=(clip.pictures.mean, clip.pictures.std),
        )[index]
        tokens = torch.tensor([[ord(letter) for letter in f"a photo of {text}".ljust(40)]])
        image_feature = model.encode_image(picture[None]).double().numpy()[0]
        text_feature = model.encode_text(tokens).double().numpy()[0]
        total += clip.logit_scale * cosine(image_feature, text_feature)
    return total


def test_logits_are_the_sum_over_models_of_scaled_cosines() -> None:
    clips = [fake(16, 0, 100.0), fake(20, 1, 30.0), fake(16, 2, 7.0)]
    logits = make_scorer(clips).score(*scene(), BOXES, TEXTS)
    assert logits.shape == (3, 3, 2)
    expected = [
        [[direct(clips, mode, text, index) for index in range(2)] for text in TEXTS]
        for mode in MODES
    ]
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-3)


def test_batches_do_not_change_logits() -> None:
    clip, other = fake(16, 0, 100.0), fake(16, 0, 100.0)
    whole = make_scorer([clip]).score(*scene(), BOXES, TEXTS)
    parts = make_scorer([other], batch_size=1).score(*scene(), BOXES, TEXTS)
    np.testing.assert_allclose(whole, parts, rtol=1e-5)
    assert clip.model.image_batches == [1, 2, 2]  # type: ignore[attr-defined]
    assert other.model.image_batches == [1, 1, 1, 1, 1]  # type: ignore[attr-defined]


def test_each_text_is_encoded_once_in_a_run() -> None:
    clip = fake(16, 0, 100.0)
    scorer = make_scorer([clip])
    first = scorer.score(*scene(), BOXES, TEXTS)
    second = scorer.score(*scene(), BOXES, ["blue one"])
    assert clip.model.texts == ["a photo of red one", "a photo of blue one"]  # type: ignore[attr-defined]
    np.testing.assert_allclose(first[:, 1], second[:, 0], rtol=1e-6)
    np.testing.assert_array_equal(first[:, 0], first[:, 2])


def test_models_of_one_preprocessing_share_one_render_call(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def recording(*args: Any, **kwargs: Any) -> torch.Tensor:
        calls.append((args[2], kwargs["size"]))
        return render_batch(*args, **kwargs)

    monkeypatch.setattr(prompt_pictures, "render_batch", recording)
    clips = [fake(16, 0, 1.0), fake(20, 1, 1.0), fake(16, 2, 1.0)]
    make_scorer(clips).score(*scene(), BOXES, TEXTS)
    assert calls == [(list(MODES), 16), (list(MODES), 20)]


def test_unmarked_candidates_tie_exactly() -> None:
    image, masks = scene()
    many = masks.repeat(50, 1, 1)
    logits = make_scorer([fake(16, 0, 100.0)], batch_size=7).score(image, many, BOXES * 50, TEXTS)
    assert (logits[0] == logits[0, :, :1]).all()
    assert not (logits[1] == logits[1, :, :1]).all()


def test_mean_of_captions_gives_the_mean_of_their_logits() -> None:
    scorer = make_scorer([fake(16, 0, 100.0), fake(20, 1, 30.0)])
    captions = ("red one", "blue one", "red one", "green")
    each = scorer.score(*scene(), BOXES, captions)  # [K, 4, N]
    for reused in (True, False):
        mean = CaptionMean("some", captions, reused=reused)
        found = scorer.score(*scene(), BOXES, ["blue one", mean])
        np.testing.assert_allclose(found[:, 1], each.mean(axis=1), rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(found[:, 0], each[:, 1], rtol=1e-5)


def test_template_is_where_every_text_goes() -> None:
    clip = fake(16, 0, 1.0)
    scorer = make_scorer([clip], template="{} is in red color.")
    scorer.score(*scene(), BOXES, ["dog", CaptionMean("bank", ("cat",))])
    assert clip.model.texts == ["dog is in red color.", "cat is in red color."]  # type: ignore[attr-defined]


def test_nearest_name_is_that_of_the_highest_logit_sum() -> None:
    clips = [fake(16, 0, 100.0), fake(20, 1, 30.0)]
    names = ("red", "green", "cyan", "black")
    features = [
        np.array(
            [
                clip.model.encode_text(clip.tokenizer([f"a photo of {text}"]))[0].numpy()
                for text in ("green thing", *names)
            ]
        )
        for clip in clips
    ]
    logits = [
        sum(
            clip.logit_scale * cosine(of_clip[0], of_clip[1 + index])
            for clip, of_clip in zip(clips, features, strict=True)
        )
        for index in range(len(names))
    ]
    assert make_scorer(clips).nearest("green thing", names) == names[int(np.argmax(logits))]


def test_styles_order_frame_and_colour_reach_the_renderer() -> None:
    clip, captions = fake(16, 0, 100.0), ["red one"]
    framed = DrawStyle(RenderOptions.official(sigma=4.0), frame=24)
    original = DrawStyle(RenderOptions(sigma=2.0), order="render_first")
    styles = {"crop": original, "mask": framed, "contour": framed}
    modes = ("mask", "crop", "contour")
    scorer = make_scorer([clip], modes=modes, styles=styles)
    found = scorer.score(*scene(), BOXES, captions, color="blue")
    image, masks = scene()
    for index, mode in enumerate(modes):
        style = styles[mode]
        pictures = render_batch(
            image,
            masks,
            mode,
            boxes=torch.tensor(BOXES),
            size=style.frame or 16,
            order=style.order,
            options=replace(style.options, tint_color="blue", line_color="blue"),
            normalize=(clip.pictures.mean, clip.pictures.std),
        )
        if style.frame:
            pictures = torch.nn.functional.interpolate(pictures, (16, 16), mode="bilinear")
        text = clip.model.encode_text(clip.tokenizer(["a photo of red one"]))[0].numpy()
        expected = [
            100.0 * cosine(clip.model.encode_image(picture[None])[0].numpy(), text)
            for picture in pictures
        ]
        np.testing.assert_allclose(found[index, 0], expected, rtol=1e-4, atol=1e-3)
