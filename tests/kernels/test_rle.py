"""Run lengths against pycocotools, and what is said about broken ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fgvp_kernels.rle import decode_runs, runs_of, tight_box

coco_mask = pytest.importorskip("pycocotools.mask")


def decoded(rle, size):
    mask = np.zeros(size, bool)
    decode_runs(runs_of(rle, "m", size), mask)
    return mask


def random_mask(height, width, density, seed):
    return np.random.default_rng(seed).random((height, width)) < density


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    density=st.sampled_from([0.0, 0.01, 0.3, 0.5, 0.99, 1.0]),
    seed=st.integers(0, 5),
)
def test_compressed_and_plain_counts_decode_to_the_mask(height, width, density, seed):
    mask = random_mask(height, width, density, seed)
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    text = {"size": rle["size"], "counts": rle["counts"].decode()}
    for form in (rle, text):
        assert np.array_equal(decoded(form, mask.shape), mask)
    plain = {"size": [height, width], "counts": runs_of(rle, "m", mask.shape).tolist()}
    assert np.array_equal(decoded(plain, mask.shape), mask)
    x, y, w, h = coco_mask.toBbox(rle)
    if mask.any():
        assert tight_box(runs_of(rle, "m", mask.shape), mask.shape) == (x, y, x + w, y + h)
    recoded = coco_mask.frPyObjects(plain, height, width)
    assert recoded["counts"] == rle["counts"]


def test_long_runs():
    mask = np.zeros((3000, 4000), bool)
    mask[1000:2000, 1500:1501] = True
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert np.array_equal(decoded(rle, mask.shape), mask)


@pytest.mark.parametrize(
    ("rle", "error", "message"),
    [
        ("text", TypeError, r"masks\[3\] must be a COCO RLE dict .* got str"),
        ({"size": [4, 4]}, TypeError, r"must be a COCO RLE dict"),
        ({"size": [4, 5], "counts": [20]}, ValueError, r"\[H, W\] = \[4, 4\]; got \[4, 5\]"),
        ({"size": [4, 4], "counts": [3, 5]}, ValueError, r"add up to H·W = 16, got 2 runs .* 8"),
        ({"size": [4, 4], "counts": [20, -4]}, ValueError, r"must be runs >= 0"),
        ({"size": [4, 4], "counts": "01P"}, ValueError, r"no COCO run-length code: it ends"),
        ({"size": [4, 4], "counts": "ä"}, ValueError, r"no COCO run-length code"),
        ({"size": [4, 4], "counts": b" "}, ValueError, r"a character outside"),
        ({"size": [4, 4], "counts": "o" * 20 + "0"}, ValueError, r"more than 60 bits"),
        ({"size": [4, 4], "counts": ""}, ValueError, r"got 0 runs that add up to 0"),
        ({"size": [4, 4], "counts": [[16]]}, ValueError, r"must be runs >= 0"),
    ],
)
def test_broken_rles_are_named(rle, error, message):
    with pytest.raises(error, match=message):
        runs_of(rle, "masks[3]", (4, 4))
