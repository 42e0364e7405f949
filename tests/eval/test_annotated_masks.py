from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from fgvp_eval.errors import DataError
from fgvp_eval.masks.annotated import annotated_masks
from fgvp_eval.records import Annotation

SIZE = (6, 8)


def draw(segmentation: Any) -> torch.Tensor:
    return annotated_masks([Annotation(5, (0.0, 0.0, 1.0, 1.0), segmentation)], SIZE)[0]


def square() -> np.ndarray:
    mask = np.zeros(SIZE, dtype=bool)
    mask[1:4, 2:5] = True
    return mask


@pytest.mark.parametrize(
    "segmentation",
    [
        [[2, 1, 5, 1, 5, 4, 2, 4]],
        [[2, 1, 4, 1, 4, 4, 2, 4], [4, 1, 5, 1, 5, 4, 4, 4], [0, 0, 7, 5]],
        {"size": [6, 8], "counts": [13, 3, 3, 3, 3, 3, 20]},
        coco_mask.encode(np.asfortranarray(square().astype(np.uint8))),
        {
            "size": [6, 8],
            "counts": coco_mask.encode(np.asfortranarray(square().astype(np.uint8)))[
                "counts"
            ].decode(),
        },
    ],
    ids=["polygon", "two polygons and a line", "runs", "compressed bytes", "compressed"],
)
def test_all_forms_draw_the_same(segmentation: Any) -> None:
    mask = draw(segmentation)
    assert mask.dtype == torch.bool
    np.testing.assert_array_equal(mask.numpy(), square())


@pytest.mark.parametrize(
    ("segmentation", "match"),
    [
        (None, "segmentation of annotation 5 must be polygons or RLE, got NoneType"),
        ([], "annotation 5 has no polygon of three or more corners"),
        ([[1, 1, 2, 2]], "annotation 5 has no polygon of three or more corners"),
        (
            {"size": [8, 6], "counts": [48]},
            r"broken: ValueError: its size is \(8, 6\), the image's",
        ),
        ({"size": [6, 8], "counts": [40]}, "its runs cover 40 of 48 pixels"),
        ({"counts": [48]}, "segmentation of annotation 5 is broken: KeyError: 'size'"),
        ([3, 4], "segmentation of annotation 5 is broken: TypeError"),
    ],
)
def test_broken_segmentations(segmentation: Any, match: str) -> None:
    with pytest.raises(DataError, match=match):
        draw(segmentation)


def test_no_annotation_is_no_mask() -> None:
    assert annotated_masks([], SIZE).shape == (0, 6, 8)
