"""The Triton backend against the torch backend: every mode, mask form, fit and awkward shape.

Without a GPU the kernels run in Triton's interpreter, on the same tests.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import triton
import triton.language as tl
from pycocotools import mask as coco_mask

from fgvp_kernels import MaskLogits, Mode, PackedMasks, RenderOptions, render_batch
from tolerances import TRITON_MAX, TRITON_RESIZED_MAX, TRITON_RESIZED_SHARE


@triton.jit
def _count_kernel(count_ptr, out_ptr):
    total = 0
    for _ in range(tl.load(count_ptr)):
        total += 1
    tl.store(out_ptr, total)


def loops_work() -> bool:
    """Triton 3.6's interpreter cannot loop up to a loaded number under NumPy 2.4 and later."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    count = torch.full((2,), 3, dtype=torch.int32, device=device)
    try:
        _count_kernel[(1,)](count, count[1:])
    except Exception as error:
        if "converted to Python scalars" in str(error):
            return False
        raise
    return count[1] == 3


pytestmark = pytest.mark.skipif(not loops_work(), reason="Triton's interpreter and NumPy disagree")

WHOLE = [mode.value for mode in Mode if not mode.spec.crop]
CROPS = [mode.value for mode in Mode if mode.spec.crop]
ONE_OF_EACH = ["blur_reverse_mask", "mask", "grayscale_reverse_mask", "contour", "circle", "none"]


def scene(height, width, count, device, seed=0):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)
    masks = torch.rand(count, height, width, generator=generator) < 0.08
    if count > 2:
        masks[1], masks[2] = False, True
    return image.to(device), masks.to(device)


def both(images, masks, mode, **keywords):
    """Levels of the Triton and the torch backend, float32."""
    keywords = {"dtype": torch.float32} | keywords
    pictures = [
        render_batch(images, masks, mode, backend=backend, **keywords).float()
        for backend in ("triton", "torch")
    ]
    return [picture * 255 for picture in pictures]


def assert_equal_levels(ours, expected):
    assert (ours - expected).abs().max() <= TRITON_MAX


def assert_equal_but_for_resizing(ours, expected):
    """The two resize the image with weights of different precision: a few levels round apart."""
    difference = (ours - expected).abs()
    assert difference.max() <= TRITON_RESIZED_MAX
    assert (difference > TRITON_MAX).float().mean() <= TRITON_RESIZED_SHARE


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


def forms(masks):
    columns_first = masks.cpu().numpy().transpose(1, 2, 0).astype("uint8", order="F")
    rles = coco_mask.encode(columns_first)
    plain = []
    for mask in masks.cpu():
        flat = mask.T.flatten()
        edges = torch.nonzero(flat[1:] != flat[:-1]).flatten() + 1
        edges = [0, *edges.tolist(), flat.numel()]
        runs = [stop - start for start, stop in pairwise(edges)]
        runs = [0, *runs] if flat[0] else runs
        # Runs of no length, which say the same.
        counts = [runs[0], 0, 0, *runs[1:], 0] if len(runs) > 1 else runs
        plain.append({"size": list(mask.shape), "counts": counts})
    return {
        "uint8": masks.to(torch.uint8) * 255,
        "strided": masks.repeat_interleave(2, dim=1)[:, ::2],
        "packed": PackedMasks.pack(masks),
        "rle": rles,
        "rle plain": plain,
    }


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


@pytest.mark.parametrize("mode", ["box_mask", "contour"])
def test_regions_of_soft_masks_in_a_batch(mode, device):
    parts = [scene(24, 31, 3, device), scene(24, 31, 2, device, 1)]
    masks = [masks * 0.5 for _, masks in parts]
    assert_equal_levels(*both([image for image, _ in parts], masks, mode, size=24))


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


@pytest.mark.parametrize(
    ("mode", "keywords", "reason"),
    [(mode, {}, "modes that crop") for mode in CROPS]
    + [
        ("mask", {"order": "render_first"}, "render_first"),
        ("mask", {"options": RenderOptions(fit="object_crop")}, "object_crop"),
        ("mask", {"options": RenderOptions(tint_color="random")}, "colours that differ"),
        ("mask", {"dtype": torch.float64}, "float64"),
    ],
)
def test_what_it_does_not_draw_is_said(mode, keywords, reason, device):
    image, masks = scene(20, 20, 2, device)
    with pytest.raises(RuntimeError, match=f"'triton' is not available: .*{reason}"):
        render_batch(image, masks, mode, size=16, backend="triton", **keywords)
    assert render_batch(image, masks, mode, size=16, **keywords).shape == (2, 3, 16, 16)
