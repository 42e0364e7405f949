"""What a program has set up around a call (default device and dtype, autocast) changes nothing."""

from __future__ import annotations

import contextlib

import pytest
import torch

from fgvp_kernels import MaskLogits, Mode, RenderOptions, device_tables, render_batch
from triton_cases import forms, loops_work, scene

MODES = [mode.value for mode in Mode]
FEW = ["blur_reverse_mask", "crop_mask_tint"]


@contextlib.contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


SURROUNDINGS = {
    "default device": lambda: torch.device("meta"),
    "default dtype": lambda: default_dtype(torch.float64),
    "inference mode": torch.inference_mode,
    "autocast cpu": lambda: torch.autocast("cpu", torch.bfloat16),
    "autocast cuda": lambda: torch.autocast(
        "cuda", torch.bfloat16, enabled=torch.cuda.is_available()
    ),
}
KEYWORDS = {
    "resize_first": {},
    "render_first": {"order": "render_first"},
    "pil": {"options": RenderOptions.official(sigma=3.0)},
    "random": {"options": RenderOptions(sigma=2.0, fit="object_crop", tint_color="random")},
}
interpreted = pytest.mark.skipif(not loops_work(), reason="Triton's interpreter and NumPy disagree")


def assert_unchanged(around, monkeypatch, *arguments, **keywords):
    keywords = {"size": 8, "normalize": "clip", "dtype": torch.float32} | keywords
    expected = render_batch(*arguments, **keywords)
    monkeypatch.setattr(device_tables, "_CACHES", {})  # tables are made anew
    with SURROUNDINGS[around]():
        ours = render_batch(*arguments, **keywords)
    assert torch.equal(ours, expected)


@pytest.mark.parametrize("around", SURROUNDINGS)
@pytest.mark.parametrize("case", KEYWORDS)
def test_surroundings_change_nothing(case, around, device, monkeypatch):
    image, masks = scene(19, 26, 3, device)
    assert_unchanged(around, monkeypatch, image, masks, MODES, backend="torch", **KEYWORDS[case])


@interpreted
@pytest.mark.parametrize("around", SURROUNDINGS)
def test_surroundings_change_nothing_in_triton(around, device, monkeypatch):
    image, masks = scene(9, 11, 2, device)
    modes = MODES if around == "default device" else FEW
    assert_unchanged(around, monkeypatch, image, masks, modes, backend="triton")


@interpreted
@pytest.mark.parametrize("case", [case for case in KEYWORDS if case != "resize_first"])
def test_the_default_device_changes_nothing_in_triton(case, device, monkeypatch):
    image, masks = scene(9, 11, 2, device)
    keywords = KEYWORDS[case]
    assert_unchanged("default device", monkeypatch, image, masks, FEW, backend="triton", **keywords)


@pytest.mark.parametrize("backend", ["torch", pytest.param("triton", marks=interpreted)])
def test_no_mask_form_looks_at_the_default_device(backend, device, monkeypatch):
    image, masks = scene(9, 11, 3, device)
    logits = MaskLogits(torch.randn(3, 8, 8, device=device), (23, 28), (9, 11), at="image")
    boxes = [[1.5, 2.0, 8.0, 7.0]] * 3
    for form in (*forms(masks).values(), masks * 0.5, logits):
        keywords = {"boxes": boxes, "backend": backend}
        assert_unchanged("default device", monkeypatch, image, form, "contour", **keywords)


def test_autocast_changes_nothing_in_compiled_code():
    image, masks = scene(19, 26, 3, torch.device("cpu"))

    def call():
        return render_batch(image, masks, "blur_reverse_mask", size=12, dtype=torch.float32)

    expected = call()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(torch.compile(call, backend="eager")(), expected)


def test_gradients_within_autocast_are_those_outside():
    image, masks = scene(19, 26, 3, torch.device("cpu"))
    found = []
    for enabled in (False, True):
        leaf = (image / 255.0).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            pictures = render_batch(leaf, masks, size=12, order="render_first", normalize="clip")
        pictures.sum().backward()
        found.append(leaf.grad)
    assert torch.equal(*found)
