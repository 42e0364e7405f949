"""Boxes that say where a region can be: nothing may lie outside them."""

from __future__ import annotations

import pytest
import torch

from fgvp_kernels import Mode
from fgvp_kernels.coverage import tight_boxes_of
from fgvp_kernels.modes import Region
from fgvp_kernels.regions import draw_shapes, outline_boxes, outline_of, region_shapes

CANVAS = (31, 44)
SHAPES = [m for m in Mode if m.spec.region in (Region.BOX, Region.CIRCLE, Region.POINT)]


def contains(boxes: torch.Tensor, bits: torch.Tensor) -> bool:
    tight = tight_boxes_of(bits)
    empty = tight[:, 2] == 0
    around = (boxes[:, :2] <= tight[:, :2]).all(1) & (boxes[:, 2:] >= tight[:, 2:]).all(1)
    return bool((around | empty).all())


@pytest.mark.parametrize("mode", SHAPES)
@pytest.mark.parametrize("width", [1, 2, 5])
def test_boxes_of_shapes_hold_them(mode, width):
    corners = torch.rand(200, 4) * torch.tensor([70.0, 50.0, 70.0, 50.0]) - 10
    boxes = torch.cat([corners[:, :2], torch.maximum(corners[:, 2:], corners[:, :2])], 1)
    some = torch.rand(200) < 0.9
    shapes = region_shapes(mode.spec, boxes, some, CANVAS, width, 31)
    bits, found = draw_shapes(shapes, CANVAS), shapes.boxes(CANVAS)
    assert contains(found, bits)
    assert not bits[~some].any()
    # Near the smallest box (an arc may leave the canvas), or selecting would touch too much.
    tight = tight_boxes_of(bits)
    drawn = tight[:, 2] > 0
    assert (found[drawn] - tight[drawn]).abs().max() <= 4


@pytest.mark.parametrize("width", [1, 2, 5])
def test_boxes_of_outlines_hold_them(width):
    masks = torch.rand(60, *CANVAS) < torch.rand(60, 1, 1) ** 6
    found = outline_boxes(tight_boxes_of(masks), width, CANVAS)
    assert contains(found, outline_of(masks, width))
    assert not found[~masks.any(2).any(1)].any()
