"""The keypoint's ring is drawn about the pixel in which the exact centre of the box lies."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from fgvp_kernels import render_batch
from fgvp_kernels.regions import centre_boxes
from triton_cases import loops_work

BACKENDS = [
    "torch",
    pytest.param("triton", marks=pytest.mark.skipif(not loops_work(), reason="interpreter")),
]


def exact_pixel(low, high, image, canvas):
    return int((Fraction(low) + Fraction(high)) / 2 * Fraction(canvas, image))


@pytest.mark.parametrize("whole", [True, False])
def test_centres_are_exact(whole):
    generator = torch.Generator().manual_seed(1)
    for _ in range(300):
        height, width, h, w = torch.randint(1, 1500, (4,), generator=generator).tolist()
        boxes = torch.rand(20, 4, generator=generator) * 1.2 - 0.1
        boxes *= torch.tensor([width, height, width, height])
        boxes = (boxes.round() if whole else (boxes * 256).round() / 256).sort(1).values
        expected = [
            [exact_pixel(x0, x1, width, w), exact_pixel(y0, y1, height, h)] * 2
            for x0, y0, x1, y1 in boxes.tolist()
        ]
        assert centre_boxes(boxes, (height, width), (h, w)).tolist() == expected


# Box, image, S and a box whose centre is clearly in the same pixel; the centre's row (or column) is
# a whole number, which float32 misses.
WHOLE = [
    ((22, 30, 437, 270), (300, 451), 144, (22, 31, 437, 271)),
    ((30, 22, 270, 437), (451, 300), 144, (31, 22, 271, 437)),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("box", "size", "side", "near"), WHOLE)
def test_a_whole_centre_is_met(box, size, side, near, backend, device):
    image = torch.zeros(3, *size, dtype=torch.uint8, device=device)
    masks = torch.ones(2, *size, dtype=torch.bool, device=device)
    boxes = torch.tensor([box, near], dtype=torch.float32, device=device)
    first, second = render_batch(
        image, masks, "official:keypoint", boxes=boxes, size=side, backend=backend
    )
    assert first.any()
    assert torch.equal(first, second)


@pytest.mark.skipif(not loops_work(), reason="Triton's interpreter and NumPy disagree")
def test_backends_agree_on_random_boxes(device):
    image = torch.zeros(3, 75, 50, dtype=torch.uint8, device=device)
    boxes = (torch.rand(60, 4) * 70 - 10).round().sort(1).values.to(device)
    boxes[0] = torch.tensor([-1e30, -7e20, 3e10, 1e30])
    masks = torch.ones(60, 75, 50, dtype=torch.bool, device=device)
    ours, expected = (
        render_batch(image, masks, "keypoint", boxes=boxes, size=24, backend=backend)
        for backend in ("triton", "torch")
    )
    assert torch.equal(ours, expected)
