"""Names of modes: ours, the paper's codes, the released code's flags."""

from __future__ import annotations

import pytest

from fgvp_kernels import Mode
from fgvp_kernels.modes import Effect, Region

CODES = {
    "P": "crop",
    "A": "keypoint",
    "B1": "box",
    "B2": "box_mask",
    "B3": "grayscale_reverse_box_mask",
    "B4": "blur_reverse_box_mask",
    "C1": "circle",
    "C2": "circle_mask",
    "C3": "grayscale_reverse_circle_mask",
    "C4": "blur_reverse_circle_mask",
    "D1": "contour",
    "D2": "mask",
    "D3": "grayscale_reverse_mask",
    "D4": "blur_reverse_mask",
}
OFFICIAL = {
    "contour": "contour",
    "box": "box",
    "circle": "circle",
    "keypoint": "keypoint",
    "mask": "mask",
    "box_mask": "box_mask",
    "circle_mask": "circle_mask",
    "grayscale_mask": "grayscale_reverse_mask",
    "grayscale_box_mask": "grayscale_reverse_box_mask",
    "grayscale_circle_mask": "grayscale_reverse_circle_mask",
    "blur_mask": "blur_reverse_mask",
    "blur_box_mask": "blur_reverse_box_mask",
    "blur_circle_mask": "blur_reverse_circle_mask",
    "reverse_mask": "reverse_mask",
    "reverse_box_mask": "reverse_box_mask",
    "reverse_circle_mask": "reverse_circle_mask",
    "crop": "crop",
    "cpt": "crop_tint",
    "cpt_seg": "crop_mask_tint",
    "ov_seg": "crop_mask",
    "blur_seg": "crop_blur_reverse_mask",
}


def test_own_names():
    assert len(Mode) == 28
    for mode in Mode:
        assert Mode.parse(mode.value) is mode
        assert Mode.parse(mode) is mode


@pytest.mark.parametrize(("code", "name"), CODES.items())
def test_paper_codes(code, name):
    assert Mode.parse(code).value == name
    assert Mode.parse(code.lower()).value == name


@pytest.mark.parametrize(("flag", "name"), OFFICIAL.items())
def test_official_flags(flag, name):
    assert Mode.parse(f"official:{flag}").value == name


def test_the_name_trap():
    assert not Mode.parse("blur_mask").spec.outside
    assert Mode.parse("official:blur_mask").spec.outside


def test_specs_are_distinct_and_speak_for_their_names():
    specs = [mode.spec for mode in Mode]
    assert len({(s.region, s.effect, s.outside, s.crop) for s in specs}) == len(specs)
    for mode in Mode:
        name, spec = mode.value, mode.spec
        assert ("blur" in name) == (spec.effect is Effect.BLUR)
        assert ("grayscale" in name) == (spec.effect is Effect.GREY)
        assert name.startswith("crop") == spec.crop
        assert ("circle" in name) == (spec.region is Region.CIRCLE)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("blurr", "blur_mask"),
        ("D5", "d4"),
        ("grayscale", "grayscale_mask"),
        ("official:blurmask", "official:blur_mask"),
        ("keypoints", "keypoint"),
    ],
)
def test_unknown_names_get_the_nearest(name, near):
    with pytest.raises(ValueError, match=rf"mode must be one of .*{name}.*: did you mean .*{near}"):
        Mode.parse(name)


@pytest.mark.parametrize("name", ["", "official:D4", "?" * 100_000])
def test_messages_about_unknown_names_are_short(name):
    with pytest.raises(ValueError, match="mode must be one of") as caught:
        Mode.parse(name)
    assert len(str(caught.value)) < 400


def test_wrong_type():
    with pytest.raises(TypeError, match="mode must be a string or a Mode, got int"):
        Mode.parse(4)
