"""The Triton backend against the torch backend: every mode, mask form, fit and awkward shape.

Without a GPU the kernels run in Triton's interpreter, on the same tests.
"""

from __future__ import annotations

import pytest
import torch

from fgvp_kernels import MaskLogits, Mode, PackedMasks, RenderOptions, render_batch
from triton_cases import (
    assert_equal_but_for_resizing,
    assert_equal_levels,
    both,
    forms,
    loops_work,
    scene,
)

pytestmark = pytest.mark.skipif(not loops_work(), reason="Triton's interpreter and NumPy disagree")

WHOLE = [mode.value for mode in Mode if not mode.spec.crop]
ONE_OF_EACH = ["blur_reverse_mask", "mask", "grayscale_reverse_mask", "contour", "circle", "none"]


@pytest.mark.parametrize("mode", WHOLE)
def test_modes_at_native_size(mode, device):
    image, masks = scene(24, 37, 5, device)
    assert_equal_levels(*both(image, masks, mode, options=RenderOptions(sigma=3.0)))


@pytest.mark.parametrize("mode", WHOLE)
def test_modes_squashed(mode, device):
    image, masks = scene(32, 43, 4, device)
    options = RenderOptions(sigma=4.0, luma="bgr", alpha=0.3)
    assert_equal_levels(*both(image, masks, mode, size=32, options=options))


@pytest.mark.parametrize(
    ("shape", "size", "count"),
    [
        ((45, 61), 32, 3),
        ((61, 45), (20, 31), 3),
        ((17, 30), 40, 3),
        ((1, 1), 16, 1),
        ((1, 9), 8, 2),
        ((9, 1), 8, 2),
        ((16, 16), 16, 35),
        ((30, 30), 1, 2),
        ((70, 150), 65, 1),
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", ["blur_reverse_mask", "contour"])
def test_shapes(mode, shape, size, count, device):
    image, masks = scene(*shape, count, device, seed=1)
    pictures = both(image, masks, mode, size=size, options=RenderOptions(sigma=5.0))
    assert_equal_but_for_resizing(*pictures)


@pytest.mark.parametrize("fit", ["center_crop", "pad"])
@pytest.mark.parametrize("mode", ["blur_reverse_mask", "box", "mask"])
def test_fits(mode, fit, device):
    image, masks = scene(32, 50, 3, device, seed=2)
    options = RenderOptions(fit=fit, sigma=4.0)
    size = 32 if fit == "center_crop" else 50
    assert_equal_levels(*both(image, masks, mode, size=size, options=options))


@pytest.mark.parametrize("blur", ["gaussian", "pil"])
@pytest.mark.parametrize("sigma", [0.0, 0.7, 9.0, 100.0])
def test_blurs(blur, sigma, device):
    image, masks = scene(40, 70, 2, device, seed=3)
    options = RenderOptions(blur=blur, sigma=sigma)
    assert_equal_levels(*both(image, masks, "blur_reverse_mask", size=40, options=options))


@pytest.mark.parametrize(
    ("size", "count", "mode"), [(20, 34, "mask"), (33, 4, "contour"), (None, 4, "box_mask")]
)
def test_all_mask_forms_give_equal_pictures(size, count, mode, device):
    image, masks = scene(26, 37, count, device, seed=4)
    masks[3] = False
    masks[3, 5:9, 4:30] = True
    expected = render_batch(image, masks, mode, size=size, backend="triton")
    for name, form in forms(masks).items():
        ours = render_batch(image, form, mode, size=size, backend="triton")
        assert torch.equal(ours, expected), name


@pytest.mark.parametrize("at", ["canvas", "image"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_logits(at, dtype, device):
    image, _ = scene(32, 43, 0, device, seed=5)
    logits = torch.randn(4, 16, 16, device=device).to(dtype)
    form = MaskLogits(logits, (48, 64), (32, 43), at=at)
    assert_equal_levels(*both(image, form, "mask", size=32))


@pytest.mark.parametrize("mode", ["mask", "blur_reverse_mask", "contour", "circle"])
@pytest.mark.parametrize("size", [32, (32, 43)])
def test_soft_masks(mode, size, device):
    image, masks = scene(32, 43, 3, device, seed=6)
    soft = masks * torch.rand(masks.shape, device=device)
    options = RenderOptions(sigma=5.0)
    assert_equal_levels(*both(image, soft, mode, size=size, options=options))


def test_soft_masks_of_two_images(device):
    parts = [scene(20, 31, 34, device, 10), scene(24, 24, 3, device, 11)]
    masks = [masks * torch.rand(masks.shape, device=device) for _, masks in parts]
    images = [image for image, _ in parts]
    modes = ["mask", "circle", "box_mask", "contour"]
    assert_equal_but_for_resizing(*both(images, masks, modes, size=20))


@pytest.mark.parametrize("mode", ["box", "box_mask", "circle", "circle_mask", "keypoint"])
def test_boxes(mode, device):
    image, masks = scene(32, 43, 3, device, seed=12)
    columns = [[-4.5, 3.25, 20.0], [2.5, 3.75, 0.0], [18.5, 3.25, 90.0], [30.0, 9.5, 31.9]]
    boxes = torch.tensor(columns, device=device).T  # [3, 4], strided
    options = RenderOptions(line_width=5)
    assert_equal_levels(*both(image, masks, mode, size=32, boxes=boxes, options=options))


def test_ragged_batch_of_mixed_forms(device):
    parts = [scene(32, 43, 3, device), scene(50, 32, 6, device, 1), scene(32, 32, 0, device, 2)]
    parts += [scene(32, 40, 2, device, 3), scene(33, 32, 2, device, 4)]
    images = [image for image, _ in parts]
    masks = [masks for _, masks in parts]
    masks[1] = forms(masks[1])["rle"]
    masks[3] = masks[3].float() * 0.5
    masks[4] = PackedMasks.pack(masks[4])
    images[4] = images[4] / 255.0
    modes = ["blur_reverse_mask", "circle", "mask"]
    options = RenderOptions(sigma=3.0)
    assert_equal_but_for_resizing(*both(images, masks, modes, size=32, options=options))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.uint8])
def test_dtypes(dtype, device):
    image, masks = scene(24, 31, 3, device, seed=7)
    normalize = None if dtype == torch.uint8 else "clip"
    keywords = {"size": 24, "normalize": normalize, "options": RenderOptions(sigma=4.0)}
    exact = render_batch(
        image, masks, ONE_OF_EACH, dtype=torch.float64, backend="torch", **keywords
    )
    errors = []
    for backend in ("triton", "torch"):
        ours = render_batch(image, masks, ONE_OF_EACH, dtype=dtype, backend=backend, **keywords)
        assert ours.dtype == dtype
        unit = 255 if dtype == torch.uint8 else 1
        errors.append((ours.double() - exact * unit).abs().max())
    # The interpreter cuts bfloat16 off where a GPU rounds it.
    cut = 2 if dtype == torch.bfloat16 and device.type == "cpu" else 1
    assert errors[0] <= 2 * cut * errors[1] + 1e-4


def test_several_modes_equal_one_at_a_time(device):
    image, masks = scene(24, 31, 3, device, seed=8)
    together = render_batch(image, masks, WHOLE, size=24, backend="triton")
    for mode, pictures in zip(WHOLE, together, strict=True):
        alone = render_batch(image, masks, mode, size=24, backend="triton")
        assert torch.equal(alone, pictures), mode


def test_selected_pixels_are_those_of_the_planes(device):
    image, masks = scene(24, 31, 33, device, seed=9)
    ours = render_batch(image, masks, "blur_reverse_mask", normalize="clip", backend="triton")
    inside, outside = ours[2], ours[1]  # the full and the empty mask
    assert torch.equal(ours, torch.where(masks[:, None], inside, outside))


def test_what_it_does_not_draw_is_said(device):
    image, masks = scene(20, 20, 2, device)
    keywords = {"size": 16, "dtype": torch.float64}
    with pytest.raises(RuntimeError, match=r"'triton' is not available: .*float64"):
        render_batch(image, masks, "mask", backend="triton", **keywords)
    assert render_batch(image, masks, "mask", **keywords).shape == (2, 3, 16, 16)
