"""Lines and shapes against OpenCV's own, with which the released FGVP code draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from fgvp_kernels import Mode, RenderOptions
from fgvp_kernels.regions import KEYPOINT_RADIUS, draw_shapes, outline_of, region_shapes
from tolerances import OPENCV_IOU_EACH, OPENCV_IOU_MEAN
from triton_cases import assert_equal_levels, both, loops_work, scene

cv2 = pytest.importorskip("cv2")

# Lines of one pixel round a curve are drawn otherwise by OpenCV 4.
WIDTHS = [2, 3, 4, 5, 6, 7, 8] + ([1] if int(cv2.__version__.split(".")[0]) >= 5 else [])


def random_boxes(count, side, rng):
    """Boxes of 4 pixels to the whole side on a log scale, some of which leave the picture."""
    sides = np.exp(rng.uniform(np.log(4), np.log(side), (count, 2)))
    centres = rng.uniform(0, side, (count, 2))
    return np.concatenate([centres - sides / 2, centres + sides / 2], 1).astype(np.float32)


def random_masks(count, side, rng):
    """Blobs with holes and islands, from specks to most of the picture."""
    noise = rng.normal(size=(count, side, side)).astype(np.float32)
    for mask in noise:
        ndimage.gaussian_filter(mask, rng.uniform(0.6, 5.0), output=mask)
        mask -= np.quantile(mask, rng.uniform(0.3, 0.98))
    return noise > 0


def by_opencv(mode, box, side, width):
    picture = np.zeros((side, side), np.uint8)
    inside = np.clip(box, 0, side - 1)
    radii = (inside[2:] - inside[:2]) / 2
    if mode.startswith("box"):
        x0, y0, x1, y1 = inside.astype(int).tolist()
        cv2.rectangle(picture, (x0, y0), (x1, y1), 1, width)
    elif mode == "keypoint":
        centre = ((box[:2] + box[2:]) / 2).astype(int)
        cv2.circle(picture, centre, int(KEYPOINT_RADIUS * side), 1, width)
    else:
        centre = (inside[:2] + radii).astype(int)
        cv2.ellipse(picture, centre, radii.astype(int), 0, 0, 360, 1, width)
    return picture > 0


def contours_by_opencv(mask, width):
    picture = mask.astype(np.uint8)
    contours, _ = cv2.findContours(picture, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    return cv2.drawContours(np.zeros_like(picture), contours, -1, 1, width) > 0


def assert_overlap(ours, theirs):
    both_on, either = (ours & theirs).sum((1, 2)), (ours | theirs).sum((1, 2))
    overlaps = np.where(either > 0, both_on / np.maximum(either, 1), 1.0)
    assert overlaps.mean() >= OPENCV_IOU_MEAN
    assert overlaps.min() >= OPENCV_IOU_EACH


def compare_shapes(mode, side, width, count):
    rng = np.random.default_rng(side + width)
    boxes = random_boxes(count, side, rng)
    some = torch.ones(count, dtype=torch.bool)
    shapes = region_shapes(
        Mode(mode).spec, torch.from_numpy(boxes), some, (side, side), width, side
    )
    thickness = -1 if mode.endswith("mask") else width
    theirs = np.stack([by_opencv(mode, box, side, thickness) for box in boxes])
    ours = draw_shapes(shapes, (side, side)).numpy()
    if mode.startswith("box"):
        assert (ours == theirs).all()
    assert_overlap(ours, theirs)


@pytest.mark.parametrize("side", [64, 224, 384])
@pytest.mark.parametrize("mode", ["box", "circle", "keypoint", "box_mask", "circle_mask"])
def test_shapes_are_opencvs(mode, side):
    compare_shapes(mode, side, 2, 500)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("mode", ["box", "circle", "keypoint"])
def test_lines_of_every_width_are_opencvs(mode, width):
    compare_shapes(mode, 96, width, 200)


@pytest.mark.parametrize("side", [64, 224, 384])
def test_contours_are_opencvs(side):
    masks = random_masks(500, side, np.random.default_rng(side))
    theirs = np.stack([contours_by_opencv(mask, 2) for mask in masks])
    assert (outline_of(torch.from_numpy(masks), 2).numpy() == theirs).all()


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 6, 7, 8, 15])
def test_contours_of_every_width_are_opencvs(width):
    masks = random_masks(60, 96, np.random.default_rng(width))
    masks[0], masks[1], masks[2, 40, 50] = True, False, True
    theirs = np.stack([contours_by_opencv(mask, width) for mask in masks])
    assert_overlap(outline_of(torch.from_numpy(masks), width).numpy(), theirs)


@pytest.mark.skipif(not loops_work(), reason="Triton's interpreter and NumPy disagree")
@pytest.mark.parametrize("width", [1, 3, 7])
@pytest.mark.parametrize("mode", ["contour", "circle", "box", "keypoint"])
def test_backends_draw_the_same_lines(mode, width, device):
    image, masks = scene(40, 53, 3, device, seed=width)
    boxes = torch.tensor([[3.5, 4.5, 40.0, 37.2], [-5, 20, 9, 29], [20, 30, 90, 99]], device=device)
    options = RenderOptions(line_width=width)
    ours, expected = both(image, masks, mode, boxes=boxes, options=options)
    assert_equal_levels(ours, expected)
