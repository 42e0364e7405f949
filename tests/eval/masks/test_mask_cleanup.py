import numpy as np
import pytest
import torch
from segment_anything.utils import amg

from fgvp_eval.masks.cleanup import area_at, clean_mask, clean_masks


def official(mask: np.ndarray, area: float) -> tuple[np.ndarray, bool]:
    """What segment-anything does, by OpenCV."""
    pytest.importorskip("cv2")
    mask, holes = amg.remove_small_regions(mask, area, mode="holes")
    mask, islands = amg.remove_small_regions(mask, area, mode="islands")
    return mask, holes or islands


def blobs(seed: int, size: tuple[int, int]) -> np.ndarray:
    """Regions of many sizes, which touch each other and the border."""
    noise = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.avg_pool2d(noise, 3, 1, 1)[0, 0]
    return (smooth > smooth.median()).numpy()


@pytest.mark.parametrize("area", [1, 3, 10, 40, 400])
@pytest.mark.parametrize("size", [(48, 64), (31, 7), (1, 20)])
def test_equals_segment_anything(size: tuple[int, int], area: int) -> None:
    for seed in range(5):
        mask = blobs(seed, size)
        expected, expected_change = official(mask, area)
        cleaned, changed = clean_mask(mask, area)
        np.testing.assert_array_equal(cleaned, expected)
        assert changed == expected_change


def test_a_hole_and_an_island_of_the_least_area_stay() -> None:
    mask = np.zeros((20, 20), dtype=bool)
    mask[2:12, 2:12] = True
    mask[4:6, 4:6] = False
    mask[15:17, 15:17] = True
    same, changed = clean_mask(mask, 4)
    assert not changed
    np.testing.assert_array_equal(same, mask)
    cleaned, changed = clean_mask(mask, 5)
    assert changed
    expected = np.zeros((20, 20), dtype=bool)
    expected[2:12, 2:12] = True
    np.testing.assert_array_equal(cleaned, expected)


def test_regions_that_touch_at_a_corner_are_one() -> None:
    mask = np.eye(6, dtype=bool)
    assert not clean_mask(mask, 6)[1]


def test_of_small_islands_the_largest_stays() -> None:
    mask = np.zeros((9, 9), dtype=bool)
    mask[1, 1] = mask[4, 4] = mask[4, 5] = mask[7, 7] = True
    cleaned, changed = clean_mask(mask, 10)
    assert changed
    assert np.argwhere(cleaned).tolist() == [[4, 4], [4, 5]]


@pytest.mark.parametrize("value", [False, True])
def test_a_mask_of_one_value_stays(value: bool) -> None:
    mask = np.full((6, 8), value)
    cleaned, changed = clean_mask(mask, 5)
    assert not changed
    np.testing.assert_array_equal(cleaned, mask)


def test_several_masks_at_once() -> None:
    masks = torch.from_numpy(np.stack([blobs(0, (20, 30)), np.ones((20, 30), dtype=bool)]))
    before = masks.clone()
    cleaned, changed = clean_masks(masks, 30)
    assert changed.tolist() == [True, False]
    np.testing.assert_array_equal(cleaned[0].numpy(), clean_mask(before[0].numpy(), 30)[0])
    assert torch.equal(masks, before)
    assert clean_masks(masks, 0)[0] is masks
    assert clean_masks(masks[:0], 30)[0].shape == (0, 20, 30)


def test_areas_are_those_of_long_side_1024() -> None:
    assert area_at((1024, 700), 400) == 400
    assert area_at((480, 640), 400) == pytest.approx(400 * 0.625**2)
