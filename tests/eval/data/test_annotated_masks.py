import math
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from fgvp_eval.data.annotated_masks import annotated_masks
from fgvp_eval.data.records import Annotation
from fgvp_eval.errors import DataError

SIZE = (6, 8)


def draw(segmentation: Any) -> torch.Tensor:
    return annotated_masks([Annotation(5, (0.0, 0.0, 1.0, 1.0), segmentation)], SIZE)[0]


def square() -> np.ndarray:
    mask = np.zeros(SIZE, dtype=bool)
    mask[1:4, 2:5] = True
    return mask


TRIANGLE = [1, 1, 5, 1, 1, 5]
SQUARE = coco_mask.encode(np.asfortranarray(square().astype(np.uint8)))["counts"].decode()


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
        (None, "segmentation of annotation 5 must be polygons or RLE, got None"),
        ([], "annotation 5 is broken: it has no polygon of three or more corners"),
        ([[1, 1, 2, 2]], "annotation 5 is broken: it has no polygon of three or more corners"),
        ({"size": [8, 6], "counts": [48]}, r"must be the image's, \[6, 8\], got \[8, 6\]"),
        ({"size": [6, math.inf], "counts": [48]}, r"must be the image's, \[6, 8\], got \[6, inf\]"),
        ({"counts": [48]}, r"broken: its size must be the image's, \[6, 8\], got None"),
        ({"size": [6, 8], "counts": [40]}, "runs .* that add up to H·W = 48, .* add up to 40"),
        ({"size": [6, 8], "counts": [50, -2]}, "must be runs >= 0 that add up to H·W"),
        ({"size": [6, 8], "counts": [10**30]}, "is no COCO run-length code"),
        (
            {"size": [6, 8], "counts": [40.0, 8.0]},
            r"counts must be integers, got \[40.0, 8.0\]",
        ),
        ({"size": [6, 8], "counts": []}, "add up to H·W"),
        ({"size": [6, 8], "counts": ""}, "add up to H·W"),
        ({"size": [6, 8], "counts": None}, "counts"),
        ({"size": [6, 8], "counts": SQUARE[:-1]}, "counts"),
        ({"size": [6, 8], "counts": "\x01" + SQUARE}, "a character outside '0' to 'o'"),
        ([3, 4], r"polygon 0 must be a list x, y, x, y, ..., got 3"),
        ([TRIANGLE, {"size": [6, 8], "counts": [48]}], "polygon 1 must be a list"),
        ([[*TRIANGLE, 1]], "polygon 0 must be pairs x, y, got 7 numbers"),
        *[
            ([TRIANGLE, [*TRIANGLE, 1, number]], "polygon 1 must be numbers from -6 to 12, got")
            for number in (None, "1", True, math.nan, math.inf, 1e308, -(10**400), 13, [1])
        ],
    ],
)
def test_broken_segmentations(segmentation: Any, match: str) -> None:
    with pytest.raises(DataError, match=match):
        draw(segmentation)


def test_no_annotation_is_no_mask() -> None:
    assert annotated_masks([], SIZE).shape == (0, 6, 8)
