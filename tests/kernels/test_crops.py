"""Crops, and pictures so thin that their canvases are drawn in part."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from fgvp_kernels import RenderOptions, frames, render_batch
from fgvp_kernels.torch_backend import compose as torch_compose

_MODES = [
    "none", "crop", "crop_tint", "crop_blur_reverse_mask", "blur_reverse_mask", "contour", "circle",
    "box",
]  # fmt: skip


def picture(height, width):
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)
    masks = torch.zeros(2, height, width, dtype=torch.bool)
    masks[0, : height // 2 + 1, : width // 2 + 1] = True
    masks[1, :, width // 3] = True
    return image, masks


@pytest.mark.parametrize("order", ["resize_first", "render_first"])
@pytest.mark.parametrize("fit", ["squash", "center_crop", "object_crop"])
@pytest.mark.parametrize("shape", [(6, 400), (400, 6)], ids=str)
def test_what_is_drawn_in_part_is_what_the_whole_shows(shape, fit, order, monkeypatch):
    image, masks = picture(*shape)
    options = RenderOptions(fit=fit)
    whole = render_batch(image, masks, _MODES, size=32, order=order, options=options)
    monkeypatch.setattr(frames, "_THIN_PIXELS", 0)
    part = render_batch(image, masks, _MODES, size=32, order=order, options=options)
    difference = (whole.int() - part.int()).abs()
    assert difference.max() <= 1  # a blur from the picture, not from its rounded enlargement
    assert (difference > 0).float().mean() < 0.01


_CHILD = """
import resource, torch
from fgvp_kernels import RenderOptions, render_batch
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
def draw(height, width, box, mode, fit="squash", order="resize_first"):
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    masks = torch.ones(1, height, width, dtype=torch.bool)
    boxes = torch.tensor([box or (0, 0, width, height)], dtype=torch.float32)
    render_batch(image, masks, mode, boxes=boxes, size=224, order=order,
                 options=RenderOptions(fit=fit), normalize="clip")
draw(30, 40, None, "blur_reverse_mask")
before = peak()
draw(4, 4000, None, ["blur_reverse_mask", "contour", "circle"])
draw(4000, 2, None, "blur_reverse_mask", "center_crop")
draw(4000, 4, None, "blur_reverse_mask", "object_crop", "render_first")
draw(600, 800, (10, 10, 710, 11), "crop")
draw(480, 640, (10, 10, 610, 12), "crop_blur_reverse_mask")
print(peak() - before)
"""


def test_memory_of_thin_pictures_and_crops_is_bounded():
    child = subprocess.run(
        [sys.executable, "-c", _CHILD], capture_output=True, text=True, check=True
    )
    assert int(child.stdout) < 300  # MiB; the first alone took 16 GB


_LARGE = """
import resource, torch
from fgvp_kernels import render_batch
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
image = torch.randint(0, 256, (3, 3000, 4000), dtype=torch.uint8)
masks = torch.ones(1, 3000, 4000, dtype=torch.bool)
def draw(image, masks):
    render_batch(image, masks, size=224, order="render_first")
draw(image[:, :30, :40], masks[:, :30, :40])
before = peak()
draw(image, masks)
print(peak() - before)
"""


def test_memory_of_a_large_picture_is_two_planes_and_little_more():
    child = subprocess.run(
        [sys.executable, "-c", _LARGE], capture_output=True, text=True, check=True
    )
    planes = 2 * 3 * 3000 * 4000 * 4 >> 20  # MiB: the picture and its blur, float32
    assert int(child.stdout) < planes + 150


@pytest.mark.parametrize("mode", ["blur_reverse_mask", "mask", "reverse_mask", "contour"])
def test_a_canvas_drawn_in_strips_is_the_canvas_drawn_at_once(mode, monkeypatch):
    image, masks = picture(60, 90)
    drawn = [
        render_batch(image, soft, mode, size=24, order="render_first", dtype=torch.float32)
        for soft in (masks, masks * 0.3)
    ]
    monkeypatch.setattr(torch_compose, "_STRIP_BYTES", 7 * 3 * 60 * 4)
    for soft, whole in zip((masks, masks * 0.3), drawn, strict=True):
        strips = render_batch(image, soft, mode, size=24, order="render_first", dtype=torch.float32)
        torch.testing.assert_close(strips, whole, rtol=0, atol=1e-4 / 255)


@pytest.mark.parametrize("order", ["resize_first", "render_first"])
@pytest.mark.parametrize("fit", ["squash", "center_crop", "pad", "object_crop"])
@pytest.mark.parametrize("shape", [(1, 500), (500, 1), (1, 1), (2, 5000)], ids=str)
def test_sides_of_one_pixel(shape, fit, order):
    image, masks = picture(*shape)
    options = RenderOptions(fit=fit)
    pictures = render_batch(
        image, masks, _MODES, size=24, order=order, options=options, normalize="clip"
    )
    assert pictures.isfinite().all()


def test_what_is_too_thin_to_draw_is_refused():
    image, masks = picture(1, 100_000)
    with pytest.raises(ValueError, match="size"):
        render_batch(image, masks, size=336)


def test_crops_are_the_same_on_any_number_of_threads():
    image, masks = picture(60, 90)
    modes = ["crop", "crop_tint", "crop_blur_reverse_mask"]
    before, drawn = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            drawn.append(render_batch(image, masks, modes, size=40, normalize="clip"))
    finally:
        torch.set_num_threads(before)
    assert drawn[0].equal(drawn[1])
