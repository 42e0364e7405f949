"""Gradients with respect to float images and soft masks."""

from __future__ import annotations

import pytest
import torch

from fgvp_kernels import Mode, RenderOptions, render_batch

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


def test_nothing_is_tracked_that_needs_no_gradient():
    image, masks = torch.rand(3, 5, 7), torch.rand(2, 5, 7)
    assert not render_batch(image, masks, size=4, normalize="clip").requires_grad


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
