"""Prompts drawn for a look are those that a scorer gives to its CLIP."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from fgvp_eval.encoding.clip_models import ClipModel, PictureSpec
from fgvp_eval.encoding.drawing import draw_styles
from fgvp_eval.encoding.prompt_pictures import draw_prompts
from fgvp_eval.machine.stage_times import StageTimes
from fgvp_eval.masks.masked_image import MaskedImage
from fgvp_eval.scoring.scorer import Scorer
from fgvp_kernels import RenderOptions

CPU = torch.device("cpu")
SPEC = PictureSpec((32, 32), (0.4, 0.5, 0.6), (0.2, 0.3, 0.25))


class RecordingClip:
    """Keeps the pictures that it is given."""

    def __init__(self) -> None:
        self.pictures: list[torch.Tensor] = []

    def encode_image(self, image: torch.Tensor) -> torch.Tensor:
        self.pictures += list(image)
        return torch.ones(len(image), 4)

    def encode_text(self, text: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(text), 4)


@pytest.mark.parametrize("color", [None, "random"])
def test_drawn_prompts_are_what_the_image_tower_takes(color: str | None) -> None:
    modes = ("crop", "blur_reverse_mask", "contour")
    # Two styles: the crop is cut from the original image.
    styles = draw_styles(modes, "fgvp", seed=0, color=color)
    tower = RecordingClip()
    clip = ClipModel(
        "recording",
        tower,
        lambda texts: torch.zeros(len(texts), 1),
        SPEC,
        torch.float32,
        1.0,
        "0" * 64,
        "bicubic",
    )
    scorer = Scorer(
        [clip],
        modes,
        device=CPU,
        options=RenderOptions(),
        batch_size=64,
        times=StageTimes(CPU),
        styles=styles,
    )
    image = np.random.default_rng(0).integers(0, 256, (40, 52, 3), dtype=np.uint8)
    masks = torch.zeros(2, 40, 52, dtype=torch.bool)
    masks[0, 5:20, 5:30] = masks[1, 10:38, 20:50] = True
    boxes_xyxy = [(5.0, 5.0, 30.0, 20.0), (20.0, 10.0, 50.0, 38.0)]
    scorer.score(image, masks, boxes_xyxy, ["a thing"])
    drawn = draw_prompts(
        MaskedImage(image, masks, boxes_xyxy),
        range(2),
        styles,
        spec=SPEC,
        dtype=torch.float32,
        device=CPU,
    )
    assert drawn.shape == (3, 2, 3, 32, 32)
    torch.testing.assert_close(drawn.flatten(0, 1), torch.stack(tower.pictures), rtol=0, atol=0)


def test_some_candidates_are_drawn_as_among_all() -> None:
    styles = draw_styles(("mask", "crop"), None, seed=0, color="random")
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
    masks = torch.from_numpy(rng.random((3, 30, 40)) < 0.3)
    image = MaskedImage(pixels, masks, [(0.0, 0.0, 40.0, 30.0)] * 3)
    drawn = partial(draw_prompts, image, styles=styles, spec=SPEC, dtype=torch.float32, device=CPU)
    assert torch.equal(drawn([2, 0]), drawn([0, 1, 2])[:, [2, 0]])


def test_random_colours_differ_between_images() -> None:
    styles = draw_styles(("box_mask",), None, seed=0, color="random")
    masks, boxes = torch.ones(1, 8, 8, dtype=torch.bool), [(0.0, 0.0, 8.0, 8.0)]
    pictures = [
        draw_prompts(
            MaskedImage(np.full((8, 8, 3), level, np.uint8), masks, boxes),
            [0],
            styles,
            spec=SPEC,
            dtype=torch.float32,
            device=CPU,
        )
        for level in (100, 101)
    ]
    # A level apart by their pixels, and much more by the colours.
    assert (pictures[0] - pictures[1]).abs().max() > 0.2
