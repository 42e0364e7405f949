"""Gradients of the Triton backend against those of autograd through the torch backend."""

from __future__ import annotations

import pytest
import torch
from test_ops import op_arguments

from fgvp_kernels import Mode, PackedMasks, RenderOptions, render_batch
from fgvp_kernels.backends import torch_backend
from tolerances import TRITON_GRADIENT
from triton_cases import forms, loops_work, scene

pytestmark = pytest.mark.skipif(not loops_work(), reason="Triton's interpreter and NumPy disagree")

WHOLE = [mode.value for mode in Mode if not mode.spec.crop]


def float_scene(height, width, count, device, soft, seed=0):
    image, masks = scene(height, width, count, device, seed)
    image = image / 255.0
    return image, masks * torch.rand(masks.shape, device=device) if soft else masks


def gradients(backend, images, masks, mode, dtype=torch.float32, **keywords):
    """Gradients of a weighted sum of all pictures, with respect to all float inputs."""
    inputs = [*images, *(part for part in masks if isinstance(part, torch.Tensor))]
    leaves = {
        id(tensor): tensor.clone().to(dtype).requires_grad_()
        for tensor in inputs
        if tensor.is_floating_point()
    }
    images = [leaves.get(id(image), image) for image in images]
    masks = [leaves.get(id(part), part) for part in masks]
    pictures = render_batch(images, masks, mode, backend=backend, dtype=dtype, **keywords)
    weights = torch.linspace(-9, 9, pictures.numel(), device=pictures.device).sin()
    (pictures * weights.reshape(pictures.shape)).sum().backward()
    grads = [leaf.grad for leaf in leaves.values()]
    return [torch.zeros(1, dtype=dtype) if grad is None else grad for grad in grads]


def assert_equal_gradients(images, masks, mode, **keywords):
    """Triton in float32 against torch in float64, relative to the largest gradient."""
    ours = gradients("triton", images, masks, mode, **keywords)
    exact = gradients("torch", images, masks, mode, dtype=torch.float64, **keywords)
    for mine, theirs in zip(ours, exact, strict=True):
        assert mine.dtype == torch.float32
        assert (mine - theirs).abs().max() <= TRITON_GRADIENT * theirs.abs().max().clamp(min=1)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("mode", WHOLE)
def test_modes(mode, soft, device):
    image, masks = float_scene(17, 25, 3, device, soft)
    options = RenderOptions(sigma=3.0, luma="bgr", alpha=0.3)
    assert_equal_gradients([image], [masks], mode, size=16, options=options)


@pytest.mark.parametrize("size", [None, 12, (20, 13), 40])
@pytest.mark.parametrize("fit", ["squash", "center_crop", "pad"])
def test_fits(fit, size, device):
    image, masks = float_scene(19, 30, 34, device, True, seed=1)
    options = RenderOptions(fit=fit, sigma=2.0)
    assert_equal_gradients(
        [image], [masks[[0, 33]]], "blur_reverse_mask", size=size, options=options
    )


@pytest.mark.parametrize("blur", ["gaussian", "pil"])
@pytest.mark.parametrize("sigma", [0.0, 0.7, 100.0])
def test_blurs(blur, sigma, device):
    image, masks = float_scene(20, 33, 2, device, True, seed=2)
    options = RenderOptions(blur=blur, sigma=sigma)
    assert_equal_gradients([image], [masks], "blur_mask", size=20, options=options)


def test_batch_of_several_modes(device):
    parts = [float_scene(17, 25, 34, device, False), float_scene(20, 16, 2, device, True, 4)]
    parts += [float_scene(16, 16, 3, device, True, 5), float_scene(16, 20, 1, device, True, 6)]
    images, masks = [image for image, _ in parts], [masks for _, masks in parts]
    images[2] = (images[2] * 255).to(torch.uint8)
    modes = ["blur_reverse_mask", "mask", "circle_mask", "blur_mask"]
    keywords = {"size": 16, "options": RenderOptions(sigma=4.0), "normalize": "clip"}
    assert_equal_gradients(images, masks, modes, **keywords)


@pytest.mark.parametrize("form", ["packed", "rle"])
def test_binary_masks_of_other_forms(form, device):
    image, masks = float_scene(17, 25, 4, device, False, seed=7)
    other = forms(masks)[form]
    keywords = {"size": 16, "options": RenderOptions(sigma=4.0)}
    ours = gradients("triton", [image], [other], "blur_reverse_mask", **keywords)
    expected = gradients("triton", [image], [masks], "blur_reverse_mask", **keywords)
    assert torch.equal(ours[0], expected[0])
    assert isinstance(other, PackedMasks) == (form == "packed")


def test_tiny_gradients_survive(device):
    image, masks = float_scene(17, 25, 3, device, True, seed=8)
    found = []
    for scale in (1.0, 2.0**-40):
        leaves = image.clone().requires_grad_(), masks.clone().requires_grad_()
        pictures = render_batch(*leaves, size=16, dtype=torch.float32, backend="triton")
        (pictures * scale).sum().backward()
        found.append([leaf.grad / scale for leaf in leaves])
    for whole, scaled in zip(*found, strict=True):
        torch.testing.assert_close(scaled, whole, rtol=1e-5, atol=0)


def test_equal_inputs_give_equal_gradients(device):
    image, masks = float_scene(18, 24, 3, device, True, seed=9)
    modes = ["blur_reverse_mask", "grayscale_mask", "circle_mask"]
    first, second = (gradients("triton", [image], [masks], modes, size=16) for _ in range(2))
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))


def test_inputs_changed_before_the_backward_pass_are_noticed(device):
    image, masks = float_scene(16, 16, 2, device, True)
    image.requires_grad_()
    weights = image * 1.0
    pictures = render_batch(weights, masks, dtype=torch.float32, backend="triton")
    weights.mul_(0.5)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        pictures.sum().backward()


def test_nothing_is_tracked_that_needs_no_gradient(device):
    image, masks = float_scene(16, 16, 2, device, True)
    assert not render_batch(image, masks, backend="triton", normalize="clip").requires_grad
    tracked = image.clone().requires_grad_()
    assert not render_batch(tracked, masks, backend="triton", dtype=torch.uint8).requires_grad
    with torch.no_grad():
        assert not render_batch(tracked, masks, backend="triton", normalize="clip").requires_grad


APART = [
    ("crop_mask", {}, "modes that crop"),
    ("mask", {"order": "render_first"}, "order='render_first'"),
    ("mask", {"options": RenderOptions(fit="object_crop")}, "fit='object_crop'"),
    ("mask", {"options": RenderOptions(tint_color="random")}, "colours that differ"),
]


@pytest.mark.parametrize(("mode", "keywords", "reason"), APART, ids=[case[2] for case in APART])
def test_what_is_drawn_apart_has_its_gradients_in_torch(mode, keywords, reason, device):
    image, masks = float_scene(16, 21, 2, device, True)
    leaf = image.clone().requires_grad_()
    keywords = {"size": 12, "normalize": "clip"} | keywords
    expected_error = f"'triton' is not available: .*gradients .*{reason}"
    with pytest.raises(RuntimeError, match=expected_error):
        render_batch(leaf, masks, mode, backend="triton", **keywords)
    with torch.no_grad():
        render_batch(leaf, masks, mode, backend="triton", **keywords)
    render_batch(leaf, masks, mode, **keywords).sum().backward()
    assert leaf.grad.abs().sum() > 0


def test_the_operator_walks_back_in_torch_what_is_drawn_apart(device):
    image, masks = float_scene(9, 13, 2, device, True)
    found = []
    for backend in ("torch", "triton"):
        leaf = image.clone().requires_grad_()
        arguments = [*op_arguments(leaf, masks)[:-2], torch.float32, backend]
        arguments[5], arguments[7] = "crop_mask,mask", "render_first"
        torch.ops.fgvp.render(*arguments).square().sum().backward()
        found.append(leaf.grad)
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-4)


def test_the_operator_walks_back_in_triton_where_it_draws_there(device, monkeypatch):
    image, masks = float_scene(9, 13, 2, device, True)
    found = []
    for backend in ("torch", "triton"):
        leaves = image.clone().requires_grad_(), masks.clone().requires_grad_()
        arguments = [*op_arguments(*leaves)[:-2], torch.float32, backend]
        if backend == "triton":
            monkeypatch.setattr(torch_backend, "render", None)
            monkeypatch.setattr("fgvp_kernels.ops.render_in_torch", None)
        (torch.ops.fgvp.render(*arguments) ** 2).sum().backward()
        found.append([leaf.grad for leaf in leaves])
    for expected, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
