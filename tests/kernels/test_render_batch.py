"""The call as a whole: batches, several modes, colours, dtypes, ``out``, awkward inputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from fgvp_kernels import Mode, PackedMasks, RenderOptions, coverage, render_batch
from fgvp_kernels.modes import Region
from fgvp_kernels.torch_backend import image_drawing as torch_backend
from triton_cases import loops_work

MODES = [mode.value for mode in Mode]
MASKLESS = [mode.value for mode in Mode if mode.spec.region is not Region.MASK]
FITS = ["squash", "center_crop", "pad", "object_crop"]
ON_TRITON = pytest.param(
    "triton",
    marks=pytest.mark.skipif(not loops_work(), reason="Triton's interpreter and NumPy disagree"),
)


def pictures(height=30, width=44, count=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)
    masks = torch.rand(count, height, width, generator=generator) < 0.05
    return image, masks


def test_ragged_batch_equals_single_calls():
    parts = [pictures(30, 44, 4), pictures(51, 20, 0, 1), pictures(20, 20, 1, 2)]
    images, masks = zip(*parts, strict=True)
    batch = render_batch(images, masks, "circle_mask", size=24)
    single = [render_batch(*part, "circle_mask", size=24) for part in parts]
    assert batch.shape == (5, 3, 24, 24)
    assert torch.equal(batch, torch.cat(single))


def test_tensor_batch_equals_list():
    images = torch.randint(0, 256, (2, 3, 20, 30), dtype=torch.uint8)
    masks = torch.rand(2, 3, 20, 30) < 0.2
    boxes = torch.tensor([2.0, 3.0, 20.0, 18.0]).expand(2, 3, 4)
    batch = render_batch(images, masks, "box", boxes=boxes, size=16)
    assert torch.equal(batch, render_batch(list(images), list(masks), "B1", boxes=boxes, size=16))


@pytest.mark.parametrize("order", ["resize_first", "render_first"])
def test_several_modes_equal_one_at_a_time(order):
    image, masks = pictures()
    together = render_batch(image, masks, MODES, size=24, order=order, normalize="clip")
    assert together.shape == (len(MODES), 4, 3, 24, 24)
    for mode, picture in zip(MODES, together, strict=True):
        alone = render_batch(image, masks, mode, size=24, order=order, normalize="clip")
        assert torch.equal(picture, alone), mode
    assert render_batch(image, masks, ["none"], size=8).shape == (1, 4, 3, 8, 8)


def test_image_forms_are_equal():
    image, masks = pictures()
    array = image.permute(1, 2, 0).numpy()
    expected = render_batch(image, masks, size=24)
    for form in (array, array[:, ::-1][:, ::-1], Image.fromarray(array)):
        assert torch.equal(render_batch(form, masks, size=24), expected)
    floats = render_batch(image / 255.0, masks, size=24)
    assert (floats.int() - expected.int()).abs().max() <= 1
    grey = Image.fromarray(array[:, :, 0])
    assert torch.equal(render_batch(grey, masks), render_batch(grey.convert("RGB"), masks))


def test_float_images_are_not_rounded():
    image = torch.full((3, 8, 8), 0.3, dtype=torch.float64)
    picture = render_batch(image, torch.ones(1, 8, 8), "none", size=4, dtype=torch.float64)
    torch.testing.assert_close(picture, torch.full_like(picture, 0.3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("mode", ["blur_reverse_mask", "contour"])
def test_dtypes(mode, dtype):
    image, masks = pictures()
    exact = render_batch(image, masks, mode, size=20, normalize="clip", dtype=torch.float64)
    ours = render_batch(image, masks, mode, size=20, normalize="clip", dtype=dtype)
    assert ours.dtype == dtype
    torch.testing.assert_close(ours.double(), exact, rtol=torch.finfo(dtype).eps, atol=1e-5)


def test_default_dtypes():
    image, masks = pictures()
    assert render_batch(image, masks).dtype == torch.uint8
    assert render_batch(image, masks, normalize="clip").dtype == torch.float32


def test_normalize():
    image, masks = pictures()
    plain = render_batch(image, masks, size=20, dtype=torch.float32)
    assert plain.min() >= 0
    assert plain.max() <= 1
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    ours = render_batch(image, masks, size=20, normalize=(mean, std))
    expected = (plain - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)


def test_out_is_written_and_returned():
    image, masks = pictures()
    expected = render_batch(image, masks, size=20, normalize="clip", dtype=torch.float16)
    out = torch.full_like(expected, float("nan"))
    result = render_batch(image, masks, size=20, normalize="clip", dtype=torch.float16, out=out)
    assert result is out
    assert torch.equal(out, expected)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("order", ["resize_first", "render_first"])
def test_every_pixel_of_out_is_written(fit, order):
    image, masks = pictures()
    out = torch.full((len(MODES), 4, 3, 20, 24), float("nan"))
    options = RenderOptions(fit=fit)
    render_batch(
        image, masks, MODES, size=(20, 24), order=order, options=options, dtype=out.dtype, out=out
    )
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("mode", MODES)
def test_inputs_are_unchanged(mode):
    image, masks = pictures()
    boxes = torch.tensor([[-3.0, 2, 60, 20]] * 4)
    color = torch.rand(4, 3) * 255
    inputs = (image, masks, boxes, color)
    copies = [tensor.clone() for tensor in inputs]
    options = RenderOptions(tint_color=color, line_color=color)
    for order in ("resize_first", "render_first"):
        render_batch(image, masks, mode, boxes=boxes, size=16, order=order, options=options)
    for tensor, copy in zip(inputs, copies, strict=True):
        assert torch.equal(tensor, copy)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("order", ["resize_first", "render_first"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 5), (30, 44)], ids=str)
def test_awkward_candidates(mode, order, shape):
    image, _ = pictures(*shape)
    empty, full = torch.zeros(1, *shape, dtype=torch.bool), torch.ones(1, *shape, dtype=torch.bool)
    masks = torch.cat([empty, full])
    for size in (1, 13, None):
        keywords = {"size": size, "order": order, "dtype": torch.float32}
        result = render_batch(image, masks, mode, **keywords)
        assert torch.isfinite(result).all()
        none = render_batch(image, masks[:0], mode, **keywords)
        assert none.shape == (0, *result.shape[1:])


@pytest.mark.parametrize("order", ["resize_first", "render_first"])
def test_empty_and_full_masks_show_the_plain_planes(order):
    image, _ = pictures()
    masks = torch.stack([torch.zeros(30, 44), torch.ones(30, 44)]).bool()
    keywords = {"size": 24, "order": order, "normalize": "clip"}
    plain = render_batch(image, masks, "none", **keywords)
    outside = render_batch(image, masks, "blur_reverse_mask", **keywords)
    inside = render_batch(image, masks, "blur_mask", **keywords)
    torch.testing.assert_close(outside[1], plain[1], rtol=0, atol=1e-5)
    torch.testing.assert_close(inside[0], plain[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(inside[1], outside[0], rtol=0, atol=1e-5)
    for mode in ("contour", "box", "circle", "keypoint", "box_mask", "circle_mask"):
        unmarked = render_batch(image, masks[:1], mode, **keywords)
        torch.testing.assert_close(unmarked[0], plain[0], rtol=0, atol=1e-5)


def test_chunks_do_not_show(monkeypatch):
    image, masks = pictures(count=9)
    colors = torch.rand(9, 3) * 255
    options = RenderOptions(tint_color=colors, line_color="random")
    expected = render_batch(image, masks, MODES, size=24, options=options)
    monkeypatch.setattr(torch_backend, "_CHUNK_BYTES", 400_000)
    assert torch.equal(render_batch(image, masks, MODES, size=24, options=options), expected)


@pytest.mark.parametrize("order", ["resize_first", "render_first"])
def test_boxes_do_not_show(monkeypatch, order):
    """Small pictures are drawn whole, large ones a candidate's box at a time."""
    image, masks = pictures(count=5)
    masks[0] = False
    options = RenderOptions(tint_color=torch.rand(5, 3) * 255)
    for keywords in ({"size": 24}, {"size": 24, "options": options}, {}):
        whole = render_batch(image, masks, MODES, order=order, **keywords)
        with monkeypatch.context() as patch:
            patch.setattr(coverage, "_SMALL_CANVAS", 0)
            boxed = render_batch(image, masks, MODES, order=order, **keywords)
        assert torch.equal(boxed, whole)


@pytest.mark.filterwarnings("error")
def test_read_only_arrays_are_taken_without_a_warning():
    image, masks = pictures()
    boxes = np.tile(np.float32([3, 2, 20, 18]), (4, 1))
    array, bits, pixels = image.permute(1, 2, 0).numpy().copy(), masks.numpy(), masks.numpy() * 255
    packed = np.packbits(bits, axis=-1)
    planes = np.ascontiguousarray(array.transpose(2, 0, 1)).transpose(1, 2, 0)
    expected = render_batch(image, masks, "circle", boxes=boxes, size=24)
    for given in (array, bits, pixels, packed, planes, boxes):
        given.flags.writeable = False
    for form in (bits, pixels.astype(np.uint8), PackedMasks(packed, bits.shape)):
        drawn = render_batch(planes, form, "circle", boxes=boxes[::-1], size=24)
        assert torch.equal(drawn, expected)
    assert torch.equal(render_batch(array, masks, "circle", boxes=boxes, size=24), expected)


def test_sides_may_be_integers_of_numpy():
    image, masks = pictures()
    options = RenderOptions(sigma=np.float32(3), line_width=np.int64(2), seed=np.int64(1))
    options = replace(options, line_color="random")
    drawn = render_batch(image, masks, "contour", size=np.int64(24), options=options)
    assert drawn.shape[2:] == (24, 24)


def test_colors():
    image, masks = pictures(count=3)
    masks[:] = True

    def drawn(color):
        options = RenderOptions(tint_color=color, alpha=1.0)
        return render_batch(image, masks, "mask", options=options)[:, :, 0, 0]

    assert drawn("blue").tolist() == [[0, 0, 255]] * 3
    assert drawn((1, 2, 3)).tolist() == [[1, 2, 3]] * 3
    rows = torch.tensor([[9, 8, 7], [6, 5, 4], [3, 2, 1]])
    assert torch.equal(drawn(rows).int(), rows.int())
    assert torch.equal(drawn("random"), drawn("random"))
    assert len(drawn("random").unique(dim=0)) == 3


def test_colors_of_a_batch_go_by_candidate():
    parts = [pictures(count=2), pictures(count=1, seed=1)]
    images, masks = zip(*parts, strict=True)
    colors = torch.tensor([[10, 0, 0], [20, 0, 0], [30, 0, 0]])
    options = RenderOptions(tint_color=colors, alpha=1.0)
    batch = render_batch(images, [mask | True for mask in masks], "mask", options=options)
    assert batch[:, 0, 0, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize("order", ["resize_first", "render_first"])
@pytest.mark.parametrize("fit", ["squash", "object_crop"])
def test_colors_of_candidates_in_every_mode(fit, order):
    image, masks = pictures(count=3)
    colors = torch.tensor([[250, 0, 9], [0, 240, 100], [30, 60, 200]])
    for mode in MODES:
        options = RenderOptions(tint_color=colors, line_color=colors, fit=fit, sigma=4.0)
        together = render_batch(image, masks, mode, size=24, order=order, options=options)
        for i in range(3):
            own = RenderOptions(
                tint_color=colors[i : i + 1], line_color=colors[i : i + 1], fit=fit, sigma=4.0
            )
            alone = render_batch(image, masks[i : i + 1], mode, size=24, order=order, options=own)
            assert (together[i].int() - alone[0].int()).abs().max() <= 1, mode


def test_line_width():
    image = torch.zeros(3, 41, 41, dtype=torch.uint8)
    masks = torch.zeros(1, 41, 41, dtype=torch.bool)
    masks[0, 10:31, 10:31] = True
    for width, thickness in [(1, 1), (2, 3), (3, 5), (4, 5)]:  # as OpenCV draws them
        options = RenderOptions(line_width=width)
        for mode in ("contour", "box"):
            line = render_batch(image, masks, mode, options=options)[0, 0, 20, :25] == 255
            assert line.sum() == thickness, (mode, width)


@pytest.mark.parametrize("backend", ["torch", ON_TRITON])
@pytest.mark.parametrize("order", ["resize_first", "render_first"])
def test_windows_of_crops_do_not_go_by_the_mask(backend, order, device):
    image, masks = (tensor.to(device) for tensor in pictures(19, 31, 3))
    masks[1] = False
    boxes = torch.tensor([[1.0, 2, 30, 11]] * 3, device=device)
    drawn = render_batch(
        image, masks, "crop", boxes=boxes, size=8, order=order, backend=backend,
        options=RenderOptions(fit="object_crop"),
    )  # fmt: skip
    assert (drawn == drawn[0]).all()


@pytest.mark.parametrize(
    ("backend", "fit", "order"),
    [
        *[("torch", f, o) for f in FITS for o in ("resize_first", "render_first")],
        pytest.param("triton", "squash", "resize_first", marks=ON_TRITON.marks),
        pytest.param("triton", "object_crop", "render_first", marks=ON_TRITON.marks),
    ],
)
def test_boxes_are_enough_for_modes_that_draw_no_mask(backend, fit, order, device):
    image, masks = (tensor.to(device) for tensor in pictures(17, 23, 2))
    boxes = torch.tensor([[2.5, 1.2, 16.7, 15], [-4, -3, 5, 9.5]], device=device)
    modes = MASKLESS if backend == "torch" else MASKLESS[1:4] + MASKLESS[-4:]
    keywords = {
        "boxes": boxes, "size": (9, 12), "order": order, "backend": backend,
        "options": RenderOptions(fit=fit, sigma=3.0, tint_color="random"),
    }  # fmt: skip
    alone = render_batch(image, None, modes, **keywords)
    for some in (masks,) if backend == "triton" else (masks, torch.zeros_like(masks)):
        assert torch.equal(alone, render_batch(image, some, modes, **keywords))


def test_boxes_without_masks_in_a_batch():
    (first, masks), (second, _) = pictures(), pictures(20, 31, seed=1)
    boxes = [[[1, 2, 20, 20]] * 4, [5, 6, 18, 17.5]]
    keywords = {"boxes": boxes, "size": 16}
    drawn = render_batch([first, second], None, "circle", **keywords)
    assert torch.equal(
        drawn, render_batch([first, second], [masks, torch.zeros(20, 31)], "circle", **keywords)
    )
    assert torch.equal(drawn, render_batch([first, second], [masks, None], "circle", **keywords))
    assert render_batch(first, None, "box", boxes=[], size=16).shape == (0, 3, 16, 16)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode not in MASKLESS])
def test_modes_that_draw_the_mask_need_one(mode):
    image, _ = pictures()
    with pytest.raises(ValueError, match=f"masks must be given for mode '{mode}', .* got None"):
        render_batch(image, None, ["box", mode], boxes=[[1, 2, 20, 20]])
    with pytest.raises(ValueError, match="masks must be given where boxes are not, got None"):
        render_batch(image, None, mode)


def test_forms_of_single_masks_are_equal():
    image, masks = pictures()
    expected = render_batch(image, masks, size=24)
    kinds = {"bool": masks, "bytes": masks.to(torch.uint8) * 255, "soft": masks * 0.75}
    for name, stack in kinds.items():
        drawn = render_batch(image, stack, size=24)
        arrays = [mask.numpy() for mask in stack]
        dicts = [{"segmentation": mask, "bbox": [0, 0, 1, 1], "area": 5} for mask in arrays]
        for form in (list(stack), tuple(stack), arrays, dicts):
            assert torch.equal(render_batch(image, form, size=24), drawn), name
        for one in (stack[1], arrays[1], arrays[1:2]):
            assert torch.equal(render_batch(image, one, size=24), drawn[1:2]), name
    rles = [{"size": [30, 44], "counts": runs} for runs in map(runs_in, masks.numpy())]
    for form in (rles, [{"segmentation": rle} for rle in rles]):
        assert torch.equal(render_batch(image, form, size=24), expected)
    assert torch.equal(render_batch(image, rles[1], size=24), expected[1:2])


def runs_in(mask):
    """Runs of a mask, column by column."""
    values = np.concatenate([[False], mask.T.ravel(), [~mask[-1, -1]]])
    edges = np.flatnonzero(values[1:] != values[:-1])
    return np.diff(edges, prepend=0).tolist()


def test_forms_of_single_masks_in_a_batch():
    parts = [pictures(seed=1), pictures(20, 31, 3, seed=2)]
    images, masks = zip(*parts, strict=True)
    together = render_batch(images, masks, size=16)
    assert torch.equal(render_batch(images, [list(stack) for stack in masks], size=16), together)
    first = render_batch(images, [stack[0] for stack in masks], size=16)  # one for each image
    assert torch.equal(first, together[[0, 4]])
    three = render_batch(images[1], masks[1][:3], size=16)  # [3, H, W] of one image
    assert torch.equal(three, together[4:])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_arrays_of_floats_are_images(dtype):
    image, masks = pictures()
    array = (image.permute(1, 2, 0).numpy() / 255).astype(dtype)
    expected = render_batch(torch.from_numpy(array).permute(2, 0, 1), masks, size=24)
    assert torch.equal(render_batch(array, masks, size=24), expected)


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        # open_clip's OPENAI_DATASET_MEAN and _STD, IMAGENET_MEAN and _STD, INCEPTION_MEAN and _STD
        ("clip", (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
        ("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("siglip", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    ],
)
def test_names_of_statistics(name, mean, std):
    image, masks = pictures()
    drawn = render_batch(image, masks, size=8, normalize=name)
    assert torch.equal(drawn, render_batch(image, masks, size=8, normalize=(mean, std)))


def test_boxes_in_the_first_pixel_are_not_taken_for_normalised():
    image, masks = pictures(count=2)
    boxes = [[0, 0, 1, 1], [0, 0, 0, 0]]
    drawn = render_batch(image, masks, "box", boxes=boxes, size=16)
    assert torch.equal(drawn, render_batch(image, None, "box", boxes=np.float64(boxes), size=16))
    small = [[0, 0, 0.5, 1], [0, 0, 20, 20]]  # one of which is larger
    assert render_batch(image, masks, "box", boxes=small, size=16).shape == (2, 3, 16, 16)
    pixel = torch.zeros(3, 1, 1, dtype=torch.uint8)
    assert render_batch(pixel, None, "box", boxes=[0, 0, 0.5, 0.5], size=16).shape[0] == 1


def test_numpy_masks_and_boxes():
    image, masks = pictures()
    boxes = np.array([[1, 2, 20, 20]] * 4)
    ours = render_batch(image, masks.numpy(), "box", boxes=boxes, size=16)
    expected = render_batch(image, masks, "box", boxes=torch.tensor(boxes), size=16)
    assert torch.equal(ours, expected)


def test_device_argument_moves_everything():
    image, masks = pictures()
    assert render_batch(image, masks, device="cpu", size=8).device.type == "cpu"
