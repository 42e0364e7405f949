"""All forms of one mask give the same pictures; SAM's logits are treated as SAM treats them."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fgvp_kernels import MaskLogits, PackedMasks, render_batch
from fgvp_kernels.coverage import tight_boxes_of
from fgvp_kernels.frames import bilinear_taps
from fgvp_kernels.mask_stacks import DenseMasks, PackedMaskStack

coco_mask = pytest.importorskip("pycocotools.mask")

SHAPE = (37, 53)
BITS = torch.zeros(2, 4, 1, dtype=torch.uint8)


@pytest.fixture
def image():
    return torch.randint(0, 256, (3, *SHAPE), dtype=torch.uint8)


@pytest.fixture
def masks():
    masks = torch.rand(7, *SHAPE) < torch.tensor([0, 0.01, 0.1, 0.5, 0.9, 1, 0.3])[:, None, None]
    masks[6, :, 20:] = False
    return masks


def forms(masks):
    columns_first = np.asfortranarray(masks.numpy().transpose(1, 2, 0).astype(np.uint8))
    rles = coco_mask.encode(columns_first)
    return {
        "uint8 0/1": masks.to(torch.uint8),
        "uint8 0/255": masks.to(torch.uint8) * 255,
        "numpy": masks.numpy(),
        "packed": PackedMasks.pack(masks),
        "packbits": PackedMasks(np.packbits(masks.numpy(), axis=-1), tuple(masks.shape)),
        "rle": rles,
        "rle text": [{"size": r["size"], "counts": r["counts"].decode()} for r in rles],
        "strided": masks.repeat_interleave(2, dim=2)[:, :, ::2],
    }


@pytest.mark.parametrize("order", ["resize_first", "render_first"])
@pytest.mark.parametrize("mode", ["blur_reverse_mask", "contour", "box_mask", "crop_mask"])
def test_all_forms_give_equal_pictures(image, masks, mode, order):
    keywords = {"size": 24, "order": order, "normalize": "clip"}
    expected = render_batch(image, masks, mode, **keywords)
    for name, form in forms(masks).items():
        assert torch.equal(render_batch(image, form, mode, **keywords), expected), name


def test_soft_masks_of_0_and_1_are_not_dilated_to_bits(image, masks):
    hard = render_batch(image, masks, "mask", size=24, dtype=torch.float32)
    soft = render_batch(image, masks.float(), "mask", size=24, dtype=torch.float32)
    assert not torch.equal(hard, soft)
    native = [render_batch(image, m, "mask", dtype=torch.float32) for m in (masks, masks.float())]
    torch.testing.assert_close(*native, rtol=0, atol=1e-6)


@pytest.mark.parametrize("order", ["resize_first", "render_first"])
@pytest.mark.parametrize("mode", ["mask", "crop_blur_reverse_mask", "contour"])
def test_soft_masks_may_have_any_precision(image, mode, order):
    soft = torch.randint(0, 9, (3, *SHAPE)) / 8  # exact in all of them
    keywords = {"size": 24, "order": order, "dtype": torch.float32}
    expected = render_batch(image, soft, mode, **keywords)
    for dtype, error in ((torch.float64, 1e-6), (torch.float16, 4e-4), (torch.bfloat16, 4e-3)):
        ours = render_batch(image, soft.to(dtype), mode, **keywords)
        torch.testing.assert_close(ours, expected, rtol=0, atol=error)


@pytest.mark.parametrize("target", [(37, 53), (20, 53), (21, 106), (80, 11), (74, 157)])
def test_binary_masks_are_resized_as_interpolate_and_threshold(masks, target):
    expected = F.interpolate(masks[:, None].float(), target, mode="bilinear")[:, 0] > 0
    assert torch.equal(DenseMasks(masks).on_canvas(0, 7, target).values, expected)


@pytest.mark.parametrize("source", [1, 2, 5, 37, 224, 640])
@pytest.mark.parametrize("target", [1, 2, 5, 37, 224, 336])
def test_taps_are_those_of_interpolate(source, target):
    taps = bilinear_taps(source, target)
    weights = torch.zeros(target, source)
    rows = torch.arange(target)
    weights[rows, taps.first] += 1 - taps.fraction
    weights[rows, taps.second] += taps.fraction
    eye = torch.eye(source)[:, None]  # [source, 1, source]
    expected = F.interpolate(eye, target, mode="linear", align_corners=False)[:, 0].T
    torch.testing.assert_close(weights, expected, rtol=0, atol=1e-4)
    assert ((taps.first != taps.second) == (taps.fraction > 0)).all()


def sam_masks(logits, input_size, size):
    """What ``Sam.postprocess_masks`` and a threshold at 0 give, written out."""
    side = max(input_size)
    maps = F.interpolate(logits[:, None], (side, side), mode="bilinear", align_corners=False)
    maps = maps[..., : input_size[0], : input_size[1]]
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)[:, 0] > 0


def test_logits_at_the_image_equal_sams_masks(image):
    logits = torch.randn(5, 16, 16)
    form = MaskLogits(logits, (45, 64), SHAPE, at="image")
    dense = sam_masks(logits, (45, 64), SHAPE)
    for mode in ("blur_reverse_mask", "circle", "crop_mask_tint"):
        ours = render_batch(image, form, mode, size=24)
        assert torch.equal(ours, render_batch(image, dense, mode, size=24))


def test_logits_at_the_canvas_are_thresholded_there(image):
    logits = torch.randn(5, 16, 16)
    ours = render_batch(image, MaskLogits(logits, (45, 64), SHAPE), "mask", size=(37, 53))
    dense = sam_masks(logits, (45, 64), SHAPE)
    assert torch.equal(ours, render_batch(image, dense, "mask"))
    smaller = render_batch(image, MaskLogits(logits, (45, 64), SHAPE), "mask", size=24)
    assert not torch.equal(smaller, render_batch(image, dense, "mask", size=24))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: PackedMasks(np.zeros((2, 4, 1), np.uint8), (2, 4)), ValueError, r"\(N, H, W\)"),
        (lambda: PackedMasks(np.zeros((2, 4, 2), np.uint8), (2, 4, 8)), ValueError, r"\[2, 4, 1\]"),
        (lambda: PackedMasks(np.zeros((2, 4, 1)), (2, 4, 8)), TypeError, "uint8, got float64"),
        (lambda: PackedMasks([1], (2, 4, 8)), TypeError, "tensor or an array, got list"),
        (lambda: PackedMasks(BITS, None), ValueError, r"shape must be \(N, H, W\), got None"),
        (
            lambda: PackedMasks(BITS, (2, 4.5, 8)),
            ValueError,
            r"shape must be \(N, H, W\), got \(2, 4.",
        ),
        (
            lambda: PackedMasks(BITS.to_sparse(), (2, 4, 8)),
            TypeError,
            "bits must be a dense tensor",
        ),
        (
            lambda: PackedMasks.pack([[True]]),
            TypeError,
            "masks must be a tensor or array, got list",
        ),
        (lambda: PackedMasks.pack(np.ones((2, 4))), ValueError, r"\[N, H, W\], got \[2, 4\]"),
        (lambda: MaskLogits(BITS.to(torch.float8_e5m2), (4, 4), (4, 4)), TypeError, "16, 32 or 64"),
        (
            lambda: MaskLogits(BITS.float().to("meta"), (4, 4), (4, 4)),
            TypeError,
            "dense .* a meta one",
        ),
        (lambda: MaskLogits(BITS.float(), (4, 4.5), (4, 4)), ValueError, "input_size must be"),
        (lambda: MaskLogits([1], (4, 4), (4, 4)), TypeError, "must be a tensor, got list"),
        (lambda: MaskLogits(torch.zeros(2, 3), (4, 4), (4, 4)), ValueError, r"\[N, h, w\]"),
        (lambda: MaskLogits(torch.zeros(2, 3, 3).int(), (4, 4), (4, 4)), TypeError, "floating"),
        (lambda: MaskLogits(torch.zeros(2, 3, 3), 4, (4, 4)), ValueError, "input_size must be"),
        (lambda: MaskLogits(torch.zeros(2, 3, 3), (4, 4), (0, 4)), ValueError, "image_size must"),
        (lambda: MaskLogits(torch.zeros(2, 3, 3), (4, 4), (4, 4), at="x"), ValueError, "'canvas'"),
    ],
)
def test_broken_forms_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("width", [64, 61, 8, 3, 1])
def test_boxes_of_packed_masks_are_those_of_dense_ones(width):
    masks = np.random.default_rng(width).random((40, 9, width)) < 0.02
    masks[0], masks[1], masks[2, 4, -1] = False, True, True
    packed = PackedMasks.pack(masks)
    packed.bits[:, :, -1] |= (1 << (-width % 8)) - 1  # beyond the width there are no pixels
    stack = PackedMaskStack(packed, torch.device("cpu"))
    assert torch.equal(stack.tight_boxes, tight_boxes_of(torch.from_numpy(masks)))
    covered = stack.dense_in_boxes(3, 40)
    assert np.array_equal(covered.values, masks[3:])
    assert torch.equal(covered.boxes, stack.tight_boxes[3:])
    assert np.array_equal(stack.dense(0, 40), masks)


def test_packed_masks_cost_a_cpu_no_more_than_twice_what_rle_does():
    masks = np.zeros((6, 1500, 2000), bool)
    masks[:, 300:700, 400:1000] = True
    forms = {
        "packed": PackedMasks.pack(masks),
        "rle": [coco_mask.encode(np.asfortranarray(mask, np.uint8)) for mask in masks],
    }
    image = torch.zeros(3, 1500, 2000, dtype=torch.uint8)
    seconds = {}
    for name, form in forms.items():
        spent = []
        for _ in range(4):
            start = time.process_time()
            render_batch(image, form, size=32)
            spent.append(time.process_time() - start)
        seconds[name] = min(spent)
    assert seconds["packed"] < 2 * seconds["rle"]


def test_windows_of_resized_masks_are_parts_of_them():
    masks = torch.rand(5, 60, 88, generator=torch.Generator().manual_seed(3)) > 0.98
    masks[2] = False
    for canvas in ((130, 190), (60, 210)):
        coverage = DenseMasks(masks).on_canvas(0, 5, canvas)
        whole = DenseMasks(masks.to(torch.float32)).on_canvas(0, 5, canvas).values > 0
        for part, rows, columns in (
            (slice(0, 5), slice(0, canvas[0]), slice(0, canvas[1])),
            (slice(1, 4), slice(7, 40), slice(100, 133)),
            (slice(2, 3), slice(0, 60), slice(189, 190)),
        ):
            expected = whole[part, rows, columns].numpy()
            assert np.array_equal(coverage.window(part, rows, columns), expected)
            few = coverage.of_rows(part.start, part.stop)
            assert torch.equal(few.values, whole[part])
