"""The torch backend against the dense float64 oracle: every mode, order and fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fgvp_kernels import Mode, RenderOptions, render_batch
from fgvp_kernels.frames import bilinear_taps
from oracle import CROP_MODES, WHOLE_MODES, render_one
from tolerances import ORACLE_MAX

ALL_MODES = [*WHOLE_MODES, *CROP_MODES]


def scene(height, width, seed=0):
    """A noisy picture with structure, and masks of many kinds."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    image = np.stack([x * 255 / max(width - 1, 1), y * 255 / max(height - 1, 1), x * 0 + 90], 2)
    image = np.clip(image + rng.normal(0, 30, image.shape), 0, 255).astype(np.uint8)
    masks = np.zeros((6, height, width), bool)
    masks[0] = (x - width * 0.4) ** 2 + (y - height * 0.5) ** 2 < (0.25 * min(height, width)) ** 2
    masks[1] = rng.random((height, width)) < 0.02
    masks[2, height // 3 : height // 2 + 1] = True  # touches the left and right border
    masks[3, height // 2, width // 2] = True
    masks[4] = True
    return image, masks  # masks[5] is empty


def tight_box(mask):
    y, x = np.nonzero(mask)
    return None if len(x) == 0 else (x.min(), y.min(), x.max() + 1, y.max() + 1)


def compare(image, masks, mode, size, boxes=None, **options):
    """Assert that the backend's levels equal the oracle's."""
    keywords = {key: options.pop(key) for key in ("order",) if key in options}
    ours = render_batch(
        image,
        masks,
        mode,
        boxes=boxes,
        size=size,
        options=RenderOptions(**options),
        dtype=torch.float32,
        **keywords,
    )
    ours = ours.double().numpy() * 255
    size = (size, size) if isinstance(size, int) else size
    fit = options.pop("fit", "squash")
    given = [tight_box(mask > 0) for mask in masks] if boxes is None else boxes
    expected = np.stack(
        [
            render_one(image, mask, box, mode, size, fit=fit, **keywords, **options)
            for mask, box in zip(masks, given, strict=True)
        ]
    )
    difference = np.abs(ours - expected)
    assert difference.max(initial=0) <= ORACLE_MAX, (mode, difference.max())


def test_every_mode_is_compared():
    assert sorted(ALL_MODES) == sorted(mode.value for mode in Mode)


@pytest.mark.parametrize("order", ["resize_first", "render_first"])
@pytest.mark.parametrize("mode", ALL_MODES)
def test_mode_equals_oracle(mode, order):
    image, masks = scene(45, 61)
    compare(image, masks, mode, 32, order=order, sigma=6.0)


@pytest.mark.parametrize("order", ["resize_first", "render_first"])
@pytest.mark.parametrize("fit", ["squash", "center_crop", "pad", "object_crop"])
@pytest.mark.parametrize("mode", ["blur_reverse_mask", "circle", "crop_mask_tint"])
def test_fit_equals_oracle(mode, fit, order):
    image, masks = scene(70, 41, seed=1)
    compare(image, masks[:5], mode, 24, order=order, fit=fit, sigma=4.0)


@pytest.mark.parametrize("order", ["resize_first", "render_first"])
@pytest.mark.parametrize("mode", ["blur_reverse_mask", "mask", "grayscale_mask", "contour"])
def test_soft_masks_equal_oracle(mode, order):
    image, masks = scene(40, 52, seed=2)
    soft = (masks * np.random.default_rng(3).random(masks.shape)).astype(np.float32)
    compare(image, soft, mode, 28, order=order, sigma=5.0)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((48, 64), (20, 37)),
        ((31, 31), 64),
        ((17, 90), 16),
        ((90, 17), (33, 16)),
        ((24, 36), None),
        ((1, 1), 8),
        ((1, 40), 8),
        ((40, 1), 8),
        ((2, 3), 5),
    ],
    ids=str,
)
@pytest.mark.parametrize("order", ["resize_first", "render_first"])
def test_odd_shapes_equal_oracle(shape, size, order):
    image, masks = scene(*shape, seed=4)
    for mode in ("blur_reverse_mask", "box", "crop_blur_reverse_mask"):
        compare(image, masks, mode, size, order=order, sigma=3.0)


@pytest.mark.parametrize("blur", ["gaussian", "pil"])
@pytest.mark.parametrize("sigma", [0.5, 2.0, 15.5, 100.0])
def test_blurs_equal_oracle(blur, sigma):
    image, masks = scene(50, 66, seed=5)
    compare(image, masks, "blur_reverse_mask", 40, blur=blur, sigma=sigma)


@pytest.mark.parametrize("blur", ["gaussian", "pil"])
def test_long_axes_are_blurred_by_convolution(blur):
    image, masks = scene(20, 1500, seed=6)
    compare(image, masks[:2], "blur_reverse_mask", None, blur=blur, sigma=30.0)


def test_given_boxes_may_be_fractional_and_leave_the_image():
    image, masks = scene(45, 61, seed=7)
    boxes = np.float32(
        [[3.7, 4.2, 30.9, 40.1], [-5, -6, 20, 20], [50, 30, 90, 99], [7, 8, 7, 8], [0, 0, 61, 45]]
    )
    for mode in ("box", "box_mask", "circle", "circle_mask", "keypoint", "crop"):
        compare(image, masks[:5], mode, 32, boxes=boxes)


@pytest.mark.parametrize("luma", ["bt601", "bgr"])
def test_luma_and_alpha(luma):
    image, masks = scene(30, 40, seed=8)
    compare(image, masks, "grayscale_reverse_mask", 24, luma=luma)
    compare(image, masks, "mask", 24, alpha=0.25)


@pytest.mark.parametrize("source", [1, 2, 9, 31, 33, 75])
def test_taps_are_the_pixels_that_torch_interpolates(source):
    """On a pixel's centre, rounding decides whether a target touches its neighbour."""
    pictures = torch.eye(source).reshape(1, source, 1, source)  # each with one pixel set
    for target in (5, 49, 55, 93, 99, 144, 224):
        weights = torch.nn.functional.interpolate(pictures, (1, target), mode="bilinear")
        taps, touched = bilinear_taps(source, target), torch.zeros(source, target, dtype=torch.bool)
        for pixels in (taps.first, taps.second):
            touched[pixels, torch.arange(target)] = True
        assert torch.equal(touched, weights[0, :, 0] > 0), target


@pytest.mark.parametrize(
    ("shape", "size", "options"),
    [((33, 33), 49, {}), ((40, 9), 55, {}), ((31, 33), 99, {"fit": "pad"})],
    ids=str,
)
def test_enlarged_masks_equal_oracle(shape, size, options):
    image, masks = scene(*shape, seed=9)
    for mode in ("blur_reverse_mask", "contour", "crop_mask"):
        compare(image, masks, mode, size, sigma=5.0, **options)


def test_crops_partly_outside_at_native_size_equal_oracle():
    image, masks = scene(45, 61, seed=10)
    boxes = np.float32([[-5.5, -6.2, 20.6, 20.5], [50.5, 30.5, 90, 99], [-20, 10, 5, 70]])
    for order in ("resize_first", "render_first"):
        compare(image, masks[:3], "crop", None, boxes=boxes, order=order, fit="center_crop")
