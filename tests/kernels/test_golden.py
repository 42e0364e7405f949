"""Parity with the released FGVP code: its recorded pictures of six masks of one photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fgvp_kernels import RenderOptions, render_batch
from tolerances import GOLDEN, GOLDEN_LINE_IOU, GOLDEN_LINE_LEVELS, GOLDEN_LINE_MEAN

GOLDEN_FILE = Path(__file__).parents[1] / "data" / "astronaut_portrait_96.npz"
LINES = ["contour", "box", "circle", "keypoint"]
CROPS = ["crop", "cpt", "cpt_seg", "ov_seg", "blur_seg"]
BLURS = ["blur_mask", "blur_box_mask", "blur_circle_mask"]
FILLS = [
    f"{effect}{region}"
    for effect in ("", "grayscale_", "reverse_")
    for region in ("mask", "box_mask", "circle_mask")
]


@pytest.fixture(scope="module")
def golden():
    return dict(np.load(GOLDEN_FILE))


def render(golden, name):
    width = int(golden["mask_shape"][2])
    pictures = render_batch(
        golden["image"],
        np.unpackbits(golden["masks"], axis=-1, count=width).astype(bool),
        name,
        boxes=golden["boxes_xyxy"],
        size=int(golden["size"]),
        options=RenderOptions.official(),
    )
    assert pictures.dtype == torch.uint8
    return pictures.numpy().astype(int)


def test_every_recorded_flag_is_compared(golden):
    recorded = {key.removeprefix("out_") for key in golden if key.startswith("out_")}
    assert recorded == {*LINES, *CROPS, *BLURS, *FILLS}


@pytest.mark.parametrize("name", FILLS + BLURS + CROPS)
def test_picture_equals_recorded(golden, name):
    kind = "crop" if name in CROPS else "blur" if name in BLURS else "fill"
    mean, share, levels = GOLDEN[kind]
    difference = np.abs(render(golden, f"official:{name}") - golden[f"out_{name}"].astype(int))
    assert difference.mean() <= mean
    assert (difference <= levels).mean() >= share


@pytest.mark.parametrize("name", LINES)
def test_line_equals_recorded(golden, name):
    plain = render(golden, "none")
    ours, recorded = render(golden, f"official:{name}"), golden[f"out_{name}"].astype(int)
    ours_on, recorded_on = (
        (np.abs(pictures - plain) > GOLDEN_LINE_LEVELS).any(1) for pictures in (ours, recorded)
    )
    assert (ours_on & recorded_on).sum() / (ours_on | recorded_on).sum() >= GOLDEN_LINE_IOU
    assert np.abs(ours - recorded).mean() <= GOLDEN_LINE_MEAN


def test_the_default_blur_is_not_pillows(golden):
    width = int(golden["mask_shape"][2])
    masks = np.unpackbits(golden["masks"], axis=-1, count=width).astype(bool)
    common = {"size": 96, "dtype": torch.float32}
    exact = render_batch(golden["image"], masks, "D4", **common)
    pillow = render_batch(golden["image"], masks, "D4", options=RenderOptions(blur="pil"), **common)
    assert 1.0 < (exact - pillow).abs().mean() * 255 < 10.0
