"""Crops, drawing before resampling, and windows and colours of a candidate's own, on Triton.

Each is compared with the torch backend, which another renderer in float64 (``oracle``) checks, and
some of it with that renderer itself.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fgvp_kernels import MaskLogits, Mode, RenderOptions, render_batch
from oracle import render_one
from tolerances import TRITON_RESAMPLED_MAX
from triton_cases import (
    assert_equal_but_for_resizing,
    both,
    forms,
    loops_work,
    scene,
)

pytestmark = pytest.mark.skipif(not loops_work(), reason="Triton's interpreter and NumPy disagree")

CROPS = [mode.value for mode in Mode if mode.spec.crop]
ORDERS = ["resize_first", "render_first"]
ONE_OF_EACH = ["blur_reverse_mask", "mask", "grayscale_mask", "contour", "keypoint", "none"]


def compare(images, masks, mode, order, **keywords):
    """The backends are equal; where the image is resized first, but for rounding to levels."""
    ours, expected = both(images, masks, mode, order=order, **keywords)
    if order == "resize_first" or keywords.get("dtype") == torch.uint8:
        assert_equal_but_for_resizing(ours, expected)
    else:
        assert (ours - expected).abs().max() <= TRITON_RESAMPLED_MAX
    return ours


def oracle_levels(image, masks, mode, size, **keywords):
    pictures = []
    for mask in masks.cpu().numpy():
        y, x = np.nonzero(mask)
        box = (x.min(), y.min(), x.max() + 1, y.max() + 1) if len(x) else None
        pixels = image.permute(1, 2, 0).cpu().numpy()
        pictures.append(render_one(pixels, mask, box, mode, (size, size), **keywords))
    return torch.from_numpy(np.stack(pictures))


@pytest.mark.parametrize("mode", [*CROPS, *ONE_OF_EACH])
def test_render_first_equals_torch_and_oracle(mode, device):
    image, masks = scene(27, 31, 3, device)
    ours = compare(image, masks, mode, "render_first", size=19, options=RenderOptions(sigma=4.0))
    exact = oracle_levels(image, masks, mode, 19, order="render_first", sigma=4.0)
    assert (ours.double().cpu() - exact).abs().max() <= TRITON_RESAMPLED_MAX


@pytest.mark.parametrize("mode", CROPS)
def test_crops_resized_first(mode, device):
    image, masks = scene(27, 31, 3, device, seed=1)
    masks[0] = False
    masks[0, 3:20, 5:17] = True
    compare(image, masks, mode, "resize_first", size=19, options=RenderOptions(sigma=4.0))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("fit", ["center_crop", "pad", "object_crop"])
@pytest.mark.parametrize("mode", ["blur_reverse_mask", "crop_mask_tint"])
def test_fits(mode, fit, order, device):
    image, masks = scene(40, 23, 3, device, seed=2)
    masks[0] = False
    masks[0, 8:35, 3:9] = True
    boxes = torch.tensor(
        [[2.5, 1.2, 16.7, 39.0], [-4, -3, 5, 9.5], [20, 30, 30, 60]], device=device
    )
    options = RenderOptions(fit=fit, sigma=3.0)
    compare(image, masks, mode, order, size=(13, 16), boxes=boxes, options=options)


@pytest.mark.parametrize(
    ("shape", "size"),
    [((1, 1), 8), ((1, 9), 8), ((9, 1), 8), ((34, 5), (5, 17)), ((10, 12), 34), ((20, 66), 5)],
    ids=str,
)
@pytest.mark.parametrize(
    ("mode", "order"),
    [("blur_reverse_mask", "render_first"), ("crop_blur_reverse_mask", "resize_first")],
)
def test_shapes(mode, order, shape, size, device):
    image, masks = scene(*shape, 2, device, seed=3)
    compare(image, masks, mode, order, size=size, options=RenderOptions(sigma=2.0))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_colors_of_candidates(order, dtype, device):
    image, masks = scene(24, 31, 3, device, seed=4)
    modes = ["mask", "reverse_box_mask", "contour", "crop_tint"]
    options = RenderOptions(tint_color="random", line_color="random", alpha=0.3)
    compare(image, masks, modes, order, size=17, options=options, dtype=dtype)


def test_colors_of_candidates_at_native_size(device):
    image, masks = scene(9, 21, 35, device, seed=5)
    colors = torch.rand(35, 3, device=device) * 255
    options = RenderOptions(tint_color=colors, fit="object_crop")
    soft = masks * torch.rand(masks.shape, device=device)
    for stack in (masks, soft):
        compare(image, stack, ["mask", "reverse_mask"], "render_first", options=options)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("fit", ["squash", "object_crop"])
def test_soft_masks(order, fit, device):
    image, masks = scene(26, 31, 3, device, seed=6)
    masks[0] = False
    masks[0, 5:20, 4:9] = True
    soft = masks * torch.rand(masks.shape, device=device)
    modes = ["blur_reverse_mask", "contour", "crop_mask_tint", "crop_mask"]
    options = RenderOptions(sigma=3.0, fit=fit, line_color="random")
    compare(image, soft, modes, order, size=17, options=options)


@pytest.mark.parametrize(
    ("mode", "keywords"),
    [
        ("mask", {"order": "render_first"}),
        ("contour", {"order": "render_first"}),
        ("crop_mask", {"order": "resize_first"}),
        ("reverse_mask", {"options": RenderOptions(tint_color="random")}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_all_mask_forms_give_equal_pictures(mode, keywords, device):
    image, masks = scene(19, 26, 2, device, seed=7)
    masks[1, 5:9, 4:20] = True
    keywords = keywords | {"size": 16, "backend": "triton"}
    expected = render_batch(image, masks, mode, **keywords)
    for name, form in forms(masks).items():
        assert torch.equal(render_batch(image, form, mode, **keywords), expected), name


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("at", ["canvas", "image"])
def test_logits(at, order, device):
    image, _ = scene(24, 33, 0, device, seed=8)
    form = MaskLogits(torch.randn(2, 12, 12, device=device), (35, 48), (24, 33), at=at)
    compare(image, form, ["blur_reverse_mask", "crop_mask"], order, size=20)


@pytest.mark.parametrize("order", ORDERS)
def test_ragged_batch_of_mixed_forms(order, device):
    parts = [scene(20, 33, 3, device), scene(31, 18, 2, device, 1), scene(9, 9, 0, device, 2)]
    parts += [scene(20, 20, 2, device, 3), scene(14, 30, 1, device, 4)]
    images, masks = [image for image, _ in parts], [masks for _, masks in parts]
    masks[1] = forms(masks[1])["rle"]
    masks[3] = masks[3].half() * 0.5
    masks[4] = masks[4] * 0.25
    images[1] = images[1] / 255.0
    modes = ["blur_reverse_mask", "crop_mask_tint", "circle", "crop"]
    compare(images, masks, modes, order, size=19, options=RenderOptions(sigma=3.0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.uint8])
@pytest.mark.parametrize("mode", ["blur_reverse_mask", "crop_mask"])
def test_dtypes(mode, dtype, device):
    image, masks = scene(24, 31, 3, device, seed=9)
    keywords = {"size": 20, "order": "render_first", "options": RenderOptions(sigma=4.0)}
    keywords["normalize"] = None if dtype == torch.uint8 else "clip"
    exact = render_batch(image, masks, mode, dtype=torch.float64, backend="torch", **keywords)
    errors = []
    for backend in ("triton", "torch"):
        ours = render_batch(image, masks, mode, dtype=dtype, backend=backend, **keywords)
        unit = 255 if dtype == torch.uint8 else 1
        errors.append((ours.double() - exact * unit).abs().max())
    # The interpreter cuts bfloat16 off where a GPU rounds it.
    cut = 2 if dtype == torch.bfloat16 and device.type == "cpu" else 1
    assert errors[0] <= 2 * cut * errors[1] + 1e-4


def test_tiles_without_an_edge_are_those_of_the_planes(device):
    image, masks = scene(20, 70, 34, device, seed=10)
    masks[3:] = False
    masks[33, :, :20] = True
    keywords = {"size": (16, 64), "order": "render_first", "normalize": "clip"}
    keywords |= {"dtype": torch.float16, "backend": "triton", "options": RenderOptions(sigma=3.0)}
    ours = render_batch(image, masks, **keywords)
    empty, full = ours[1], ours[2]
    assert torch.equal(ours[33, :, :, 32:], empty[:, :, 32:])
    alone = render_batch(image, masks[32:], **keywords)  # too few to draw planes for
    assert (alone - ours[32:]).abs().max() <= 4e-3  # two steps of fp16
    assert (ours[33, :, :, :8] - full[:, :, :8]).abs().max() <= 4e-3


def test_several_modes_equal_one_at_a_time(device):
    image, masks = scene(20, 27, 2, device, seed=11)
    modes = [*CROPS[2:], "mask", "contour"]
    together = render_batch(image, masks, modes, size=16, backend="triton")
    for mode, pictures in zip(modes, together, strict=True):
        alone = render_batch(image, masks, mode, size=16, backend="triton")
        assert torch.equal(alone, pictures), mode
