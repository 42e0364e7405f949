"""Outputs of more than 2³¹ elements, which 32-bit offsets would not reach."""

from __future__ import annotations

import pytest
import torch

from fgvp_kernels import render_batch

COUNT, SIDE, SIZE = 6400, 32, 336  # 6400 · 3 · 336² is 1 % more than 2³¹


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("mode", "order", "soft"),
    [
        ("blur_reverse_mask", "resize_first", False),
        ("mask", "resize_first", True),
        ("contour", "resize_first", False),
        ("blur_reverse_mask", "render_first", False),
        ("crop_mask", "resize_first", False),
    ],
)
def test_the_last_pictures_are_drawn_as_if_they_were_alone(mode, order, soft, device):
    generator = torch.Generator(device).manual_seed(0)
    image = torch.randint(
        0, 256, (3, SIDE, SIDE), dtype=torch.uint8, device=device, generator=generator
    )
    masks = torch.rand(COUNT, SIDE, SIDE, device=device, generator=generator)  # [N, H, W]
    masks = masks if soft else masks < 0.1
    keywords = {"size": SIZE, "order": order, "backend": "triton"}
    pictures = render_batch(image, masks, mode, **keywords)
    assert pictures.numel() > 1 << 31
    for few in (slice(0, 33), slice(COUNT - 33, COUNT)):
        assert torch.equal(pictures[few], render_batch(image, masks[few], mode, **keywords))
