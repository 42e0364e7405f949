"""The generator: same seed, same scene; masks and boxes of the visible parts."""

import numpy as np
import pytest

from fgvp_eval.demo.scenes import (
    MAX_OBJECTS,
    MIN_OBJECTS,
    MIN_TWIN_GAP,
    SIZE_RANGES,
    generate_scene,
    tight_box,
)
from fgvp_eval.demo.shapes import SHAPES, shape_coverage
from fgvp_eval.demo.textures import TEXTURES, texture_patch

SEEDS = range(12)


def test_same_seed_gives_the_same_scene() -> None:
    first, second = generate_scene(3), generate_scene(3)
    np.testing.assert_array_equal(first.image, second.image)
    assert [o.attributes for o in first.objects] == [o.attributes for o in second.objects]
    for a, b in zip(first.objects, second.objects, strict=True):
        np.testing.assert_array_equal(a.mask, b.mask)


def test_other_seed_gives_another_scene() -> None:
    first, second = generate_scene(3), generate_scene(4)
    assert first.image.shape != second.image.shape or (first.image != second.image).any()


def test_sizes_and_orientations_vary() -> None:
    shapes = [generate_scene(seed).image.shape[:2] for seed in range(30)]
    assert len(set(shapes)) > 20
    assert {h > w for h, w in shapes} == {True, False}
    assert max(max(s) for s in shapes) <= 224


@pytest.mark.parametrize("seed", SEEDS)
def test_masks_are_disjoint_and_boxes_tight(seed: int) -> None:
    scene = generate_scene(seed)
    assert MIN_OBJECTS <= len(scene.objects) <= MAX_OBJECTS
    masks = np.stack([item.mask for item in scene.objects])
    assert masks.dtype == bool
    assert masks.shape[1:] == scene.image.shape[:2]
    assert masks.sum(0).max() == 1
    for item in scene.objects:
        x, y, w, h = item.box_xywh
        inside = item.mask[y : y + h, x : x + w]
        assert inside.sum() == item.mask.sum() > 0
        assert inside[0].any()
        assert inside[-1].any()
        assert inside[:, 0].any()
        assert inside[:, -1].any()


def test_attribute_records_are_distinct_save_twins() -> None:
    for seed in SEEDS:
        records = [item.attributes for item in generate_scene(seed).objects]
        assert len(set(records)) == len(records)
        twins = generate_scene(seed, twins=True)
        records = [item.attributes for item in twins.objects]
        assert records[0] == records[1]
        assert len(set(records)) == len(records) - 1


def test_twins_stand_well_apart() -> None:
    for seed in SEEDS:
        scene = generate_scene(seed, twins=True)
        height, width = scene.image.shape[:2]
        (x0, y0), (x1, y1) = (item.centre for item in scene.objects[:2])
        # Occlusion moves the centre of the visible part, so some of the gap may be lost.
        assert max(abs(x0 - x1) / width, abs(y0 - y1) / height) > MIN_TWIN_GAP - 0.12


def test_size_words_leave_a_gap() -> None:
    assert SIZE_RANGES["small"][1] * 1.3 < SIZE_RANGES["large"][0]


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_stay_inside_their_patch(shape: str) -> None:
    coverage = shape_coverage(shape, 20.0, 14.0, 1.09)
    assert 0.0 <= coverage.min() < coverage.max() == 1.0
    border = np.concatenate([coverage[0], coverage[-1], coverage[:, 0], coverage[:, -1]])
    assert border.max() == 0.0


@pytest.mark.parametrize("texture", TEXTURES)
def test_textures_have_the_range_and_shape_of_a_picture(texture: str) -> None:
    patch = texture_patch(texture, "blue", 31, 8.0, np.random.default_rng(0))
    assert patch.shape == (31, 31, 3)
    assert patch.min() >= 0.0
    assert patch.max() <= 255.0
    assert (np.ptp(patch, axis=(0, 1)).max() > 20.0) == (texture != "plain")


def test_unknown_names_are_errors_that_list_the_choices() -> None:
    with pytest.raises(ValueError, match="circle, square"):
        shape_coverage("blob", 10.0, 0.0)
    with pytest.raises(ValueError, match="plain, striped"):
        texture_patch("furry", "red", 9, 4.0, np.random.default_rng(0))


def test_tight_box_refuses_an_empty_mask() -> None:
    with pytest.raises(ValueError, match="at least one true pixel"):
        tight_box(np.zeros((4, 4), bool))
