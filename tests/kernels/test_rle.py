"""Run lengths against pycocotools, and what is said about broken ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
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


def plain_runs(counts):
    """Runs of a compressed string or of ints, one number after the other; None if broken."""
    if not isinstance(counts, (str, bytes)):
        return list(counts)
    runs, number, place = [], 0, 0
    for code in counts.encode() if isinstance(counts, str) else counts:
        code -= 48
        if not 0 <= code < 64 or place == 12:
            return None
        number |= (code & 31) << 5 * place
        place += 1
        if not code & 32:
            number -= (code >> 4) << 5 * place
            runs.append(number + runs[-2] if len(runs) > 2 else number)
            number = place = 0
    return None if place else runs


def plain_mask(counts, size):
    """The mask that ``counts`` mean, or None if they mean none."""
    runs = plain_runs(counts)
    if not runs or min(runs) < 0 or sum(runs) != size[0] * size[1]:
        return None
    pixels = [i % 2 == 1 for i, run in enumerate(runs) for _ in range(run)]
    return np.array(pixels).reshape(size[::-1]).T


def check_counts(counts, size, expected):
    """Assert that ``counts`` are decoded to the expected mask, or refused where there is none."""
    rle = {"size": list(size), "counts": counts}
    if expected is not None:
        assert np.array_equal(decoded(rle, size), expected)
        return
    with pytest.raises(ValueError, match=r"m\['counts'\]"):
        runs_of(rle, "m", size)


def as_form(form, counts):
    if isinstance(counts, (str, bytes)) or form is None:
        return counts
    return form(counts)


FORMS = [None, tuple, np.array, torch.tensor, lambda runs: np.array(runs, np.uint64)]


@st.composite
def changed_counts(draw):
    """Counts of a mask with some characters or numbers put in, taken out or changed."""
    size = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    mask = random_mask(*size, draw(st.sampled_from([0.0, 0.1, 0.5, 1.0])), draw(st.integers(0, 9)))
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    kind = draw(st.sampled_from(["bytes", "str", "numbers"]))
    counts = runs_of(rle, "m", size).tolist() if kind == "numbers" else list(rle["counts"])
    values = st.sampled_from([*range(48, 112), 0, 10, 31, 47, 112, 127])
    if kind == "numbers":
        values = st.sampled_from([*range(-3, 82), 2**31, 2**62, 2**63 - 1, -(2**63)])
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(counts)))
        new = draw(st.lists(values, max_size=4))
        counts[at : at + draw(st.integers(0, 4))] = new
    if kind == "bytes":
        return size, bytes(counts)
    return size, counts if kind == "numbers" else bytes(counts).decode()


@settings(derandomize=True, max_examples=400, deadline=None)
@given(changed_counts(), st.sampled_from(FORMS))
def test_changed_counts_are_a_mask_or_refused(case, form):
    size, counts = case
    expected = plain_mask(counts, size)
    try:
        given_counts = as_form(form, counts)
    except OverflowError:  # no such numbers in that form
        given_counts = counts
    check_counts(given_counts, size, expected)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(
    st.one_of(
        st.sampled_from([[12], [0, 12], "<", b"0<", "\x00", ""]),
        st.text(max_size=9),
        st.binary(max_size=9),
        st.lists(st.one_of(st.integers(), st.floats(), st.none(), st.booleans()), max_size=5),
        st.lists(st.lists(st.integers(0, 9), max_size=3), max_size=3),
        st.one_of(st.none(), st.integers(), st.floats(), st.dictionaries(st.text(), st.none())),
    )
)
def test_any_counts_are_a_mask_or_refused(counts):
    numbers = isinstance(counts, list) and all(isinstance(run, int) for run in counts)
    readable = numbers or isinstance(counts, (str, bytes))
    check_counts(counts, (3, 4), plain_mask(counts, (3, 4)) if readable else None)


@pytest.mark.parametrize(
    ("rle", "error", "message"),
    [
        ("text", TypeError, r"masks\[3\] must be a COCO RLE dict .* got str"),
        ({"size": [4, 4]}, TypeError, r"must be a COCO RLE dict"),
        ({"size": [4, 5], "counts": [20]}, ValueError, r"\[H, W\] = \[4, 4\]; got \[4, 5\]"),
        ({"size": None, "counts": [16]}, ValueError, r"\['size'\] must be .* got None"),
        ({"size": 16, "counts": [16]}, ValueError, r"\['size'\] must be .* got 16"),
        ({"size": ["4", "4"], "counts": [16]}, ValueError, r"\['size'\] must be"),
        ({"size": np.eye(2), "counts": [16]}, ValueError, r"\['size'\] must be"),
        ({"size": [4, 4], "counts": [3, 5]}, ValueError, r"add up to H·W = 16, got 2 runs .* 8"),
        ({"size": [4, 4], "counts": [20, -4]}, ValueError, r"must be runs >= 0"),
        ({"size": [4, 4], "counts": [2**62] * 3 + [2**62 + 16]}, ValueError, r"must be runs >= 0"),
        ({"size": [4, 4], "counts": [15.5, 0.5]}, ValueError, r"no COCO run-le.* 'float'"),
        ({"size": [4, 4], "counts": np.array([16.0])}, ValueError, r"must be integers, got float"),
        ({"size": [4, 4], "counts": ["16"]}, ValueError, r"no COCO run-length code: 'str'"),
        ({"size": [4, 4], "counts": np.ones(16, bool)}, ValueError, r"must be integers, got bool"),
        ({"size": [4, 4], "counts": None}, ValueError, r"a string or one row of numbers"),
        ({"size": [4, 4], "counts": torch.ones(1, device="meta")}, ValueError, r"no COCO run-le"),
        ({"size": [4, 4], "counts": "01P"}, ValueError, r"no COCO run-length code: it ends"),
        ({"size": [4, 4], "counts": "\0" * 4}, ValueError, r"a character outside"),
        ({"size": [4, 4], "counts": "ä"}, ValueError, r"no COCO run-length code"),
        ({"size": [4, 4], "counts": b" "}, ValueError, r"a character outside"),
        ({"size": [4, 4], "counts": "o" * 20 + "0"}, ValueError, r"more than 60 bits"),
        ({"size": [4, 4], "counts": ""}, ValueError, r"got 0 runs that add up to 0"),
        ({"size": [4, 4], "counts": [[16]]}, ValueError, r"no COCO run-length code: 'list'"),
        ({"size": [4, 4], "counts": [2**64]}, ValueError, r"no COCO run-length code: .* too"),
    ],
)
def test_broken_rles_are_named(rle, error, message):
    with pytest.raises(error, match=message):
        runs_of(rle, "masks[3]", (4, 4))
