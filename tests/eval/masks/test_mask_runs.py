import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from segment_anything.utils.amg import mask_to_rle_pytorch

from fgvp_eval.masks.runs import MaskRuns


def masks(size: tuple[int, int]) -> torch.Tensor:
    """Noise, rectangles, and masks that are all set, all unset, or set at a corner."""
    stack = torch.rand(7, *size) > torch.linspace(0.05, 0.95, 7)[:, None, None]
    stack[1] = False
    stack[2] = True
    stack[3] = False
    stack[3, 0, 0] = True
    stack[4] = False
    stack[4, -1, -1] = True
    return stack


@pytest.mark.parametrize("size", [(9, 14), (1, 1), (1, 30), (30, 1), (64, 300)])
def test_runs_are_those_of_segment_anything(size: tuple[int, int]) -> None:
    stack = masks(size)
    runs = MaskRuns.encode(stack)
    assert len(runs) == 7
    assert runs.to_coco() == mask_to_rle_pytorch(stack)
    assert torch.equal(runs.decode(), stack)


def test_coco_reads_them() -> None:
    stack = masks((20, 33))
    for mask, rle in zip(stack, MaskRuns.encode(stack).to_coco(), strict=True):
        decoded = coco_mask.decode(coco_mask.frPyObjects(rle, 20, 33))
        np.testing.assert_array_equal(decoded.astype(bool), mask.numpy())


@pytest.mark.parametrize("index", [[5, 0, 1, 1, 6], [2], []])
def test_selected_masks_come_in_the_order_asked_for(index: list[int]) -> None:
    stack = masks((11, 8))
    chosen = torch.tensor(index, dtype=torch.int64)
    assert torch.equal(MaskRuns.encode(stack).select(chosen).decode(), stack[chosen])


def test_joined_parts_equal_the_whole() -> None:
    stack = masks((11, 8))
    parts = [MaskRuns.encode(part) for part in (stack[:3], stack[:0], stack[3:])]
    assert torch.equal(MaskRuns.join(parts).decode(), stack)


def test_no_mask() -> None:
    runs = MaskRuns.encode(torch.zeros(0, 5, 6, dtype=torch.bool))
    assert (len(runs), runs.to_coco()) == (0, [])
    assert runs.decode().shape == (0, 5, 6)
