"""Gradients with respect to float images and soft masks."""

from __future__ import annotations

import pytest
import torch
from test_ops import op_arguments

from fgvp_kernels import Mode, RenderOptions, render_batch
from triton_cases import loops_work

MODES = [mode.value for mode in Mode]


@pytest.mark.parametrize("order", ["resize_first", "render_first"])
@pytest.mark.parametrize("mode", MODES)
def test_gradcheck(mode, order):
    image = torch.rand(3, 5, 7, dtype=torch.float64, requires_grad=True)
    masks = torch.rand(2, 5, 7, dtype=torch.float64)
    masks[0, :2] = 0
    masks.requires_grad_()
    options = RenderOptions(sigma=1.5)

    def draw(image, masks):
        return render_batch(
            image,
            masks,
            mode,
            boxes=[[1, 1, 6, 5], [0, 0, 4, 4]],
            size=6,
            order=order,
            options=options,
            dtype=torch.float64,
        )

    # Finite differences must not meet the clamp of the bicubic resize or leave [0, 1].
    with torch.no_grad():
        image.mul_(0.2).add_(0.4)
        masks.mul_(0.5).add_(0.25)
    assert torch.autograd.gradcheck(draw, (image, masks), atol=1e-6)


@pytest.mark.parametrize("fit", ["squash", "center_crop", "pad", "object_crop"])
def test_gradcheck_of_binary_masks(fit):
    image = (torch.rand(3, 5, 8, dtype=torch.float64) * 0.4 + 0.3).requires_grad_()
    masks = torch.rand(2, 5, 8) < 0.4
    options = RenderOptions(sigma=1.5, fit=fit)

    def draw(image):
        return render_batch(
            image, masks, "blur_reverse_mask", size=5, options=options, dtype=torch.float64
        )

    assert torch.autograd.gradcheck(draw, (image,), atol=1e-6)


def test_nothing_is_tracked_that_needs_no_gradient(device):
    image, masks = torch.rand(3, 5, 7, device=device), torch.rand(2, 5, 7, device=device)
    assert not render_batch(image, masks, size=4, normalize="clip").requires_grad
    tracked = image.clone().requires_grad_()
    assert not render_batch(tracked, masks, size=4, dtype=torch.uint8).requires_grad
    with torch.no_grad():
        assert not render_batch(tracked, masks, size=4, normalize="clip").requires_grad


@pytest.mark.skipif(not loops_work(), reason="Triton's interpreter and NumPy disagree")
@pytest.mark.parametrize("which", ["images", "masks"])
def test_triton_says_where_gradients_are(which, device):
    leaves = {
        "images": torch.rand(3, 16, 21, device=device),
        "masks": torch.rand(2, 16, 21, device=device),
    }
    leaves[which].requires_grad_()
    keywords = {"size": 12, "normalize": "clip"}
    message = r"'triton' is not available: it does not draw this: gradients \(backend 'torch' has"
    with pytest.raises(RuntimeError, match=message):
        render_batch(**leaves, backend="triton", **keywords)
    render_batch(**leaves, backend="triton", size=12, dtype=torch.uint8)
    with torch.no_grad():
        assert not render_batch(**leaves, backend="triton", **keywords).requires_grad
    render_batch(**leaves, **keywords).sum().backward()
    assert leaves[which].grad.abs().sum() > 0


@pytest.mark.skipif(not loops_work(), reason="Triton's interpreter and NumPy disagree")
def test_the_operator_has_the_same_gradients_whatever_drew(device):
    image, masks = torch.rand(3, 9, 13, device=device), torch.rand(2, 9, 13, device=device)
    gradients = []
    for backend in ("torch", "triton"):
        leaves = image.clone().requires_grad_(), masks.clone().requires_grad_()
        arguments = [*op_arguments(*leaves)[:-2], torch.float32, backend]
        torch.ops.fgvp.render(*arguments).sum().backward()
        gradients.append([leaf.grad for leaf in leaves])
    for in_torch, after_triton in zip(*gradients, strict=True):
        assert torch.equal(in_torch, after_triton)


@pytest.mark.parametrize("order", ["resize_first", "render_first"])
def test_gradients_after_a_call_in_inference_mode(order):
    """What is kept between calls must be of use to both."""
    masks = torch.rand(2, 9, 13) < 0.3
    keywords = {"size": 7, "order": order, "normalize": "clip", "options": RenderOptions(sigma=2.7)}
    with torch.inference_mode():
        plain = render_batch(torch.ones(3, 9, 13), masks, MODES, **keywords)
    image = torch.ones(3, 9, 13, requires_grad=True)
    pictures = render_batch(image, masks, MODES, **keywords)
    pictures.sum().backward()
    torch.testing.assert_close(pictures, plain)
    assert image.grad.abs().sum() > 0
