"""The steps of part detection against brute force and direct transcriptions of the protocol."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from fgvp_eval.data.parts_records import PartResult
from fgvp_eval.scoring.assignment import assign, subtract_negatives
from fgvp_eval.tasks.parts.candidates import GoldParts, annotated_candidates, found_candidates
from fgvp_eval.tasks.parts.crops import crop_around, mask_iou, share_inside, tight_boxes_xyxy
from fgvp_eval.tasks.parts.metrics import measure_parts


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 5), (5, 2), (4, 4), (1, 6)])
@pytest.mark.parametrize("seed", range(4))
def test_hungarian_is_the_best_of_all_assignments(shape: tuple[int, int], seed: int) -> None:
    texts, candidates = shape
    cosines = np.random.default_rng(seed).normal(size=shape)
    chosen = assign(cosines, "hungarian")
    given = [index for index in chosen if index is not None]
    assert len(given) == len(set(given)) == min(shape)
    cost = sum(math.exp(-cosines[t, n]) for t, n in enumerate(chosen) if n is not None)
    if texts <= candidates:
        ways = itertools.permutations(range(candidates), texts)
        best = min(sum(math.exp(-cosines[t, n]) for t, n in enumerate(way)) for way in ways)
    else:
        ways = itertools.permutations(range(texts), candidates)
        best = min(sum(math.exp(-cosines[t, n]) for n, t in enumerate(way)) for way in ways)
    assert cost == pytest.approx(best)


def test_argmax_takes_the_first_of_those_that_tie() -> None:
    cosines = np.array([[0.1, 0.3, 0.3], [0.2, 0.2, 0.2]])
    assert assign(cosines, "argmax") == [1, 0]


@pytest.mark.parametrize("how", ["argmax", "hungarian"])
def test_no_candidates(how: str) -> None:
    assert assign(np.zeros((2, 0)), how) == [None, None]  # type: ignore[arg-type]


def test_negatives_are_all_other_phrases() -> None:
    bank = np.random.default_rng(0).normal(size=(5, 3))  # [B, N]
    own = np.array([4, 1])
    got = subtract_negatives(bank[own], bank, own)
    for row, index in enumerate(own):
        others = [bank[k] for k in range(5) if k != index]
        np.testing.assert_allclose(got[row], bank[index] - np.mean(others, axis=0))
    alone = np.ones((1, 3))
    np.testing.assert_array_equal(subtract_negatives(alone, alone, np.array([0])), alone)


@pytest.mark.parametrize(
    ("box_xywh", "window"),
    [
        ((40.0, 30.0, 20.0, 10.0), (39, 29, 61, 41)),
        ((0.0, 0.0, 100.0, 80.0), (0, 0, 100, 80)),
        ((90.0, 70.0, 10.0, 10.0), (89, 69, 100, 80)),
        ((-20.0, -20.0, 10.0, 10.0), (0, 0, 1, 1)),
        ((150.0, 120.0, 10.0, 10.0), (99, 79, 100, 80)),
    ],
)
def test_crop_is_a_tenth_larger_and_inside_the_image(
    box_xywh: tuple[float, float, float, float], window: tuple[int, int, int, int]
) -> None:
    crop = crop_around(box_xywh, (80, 100))
    assert (crop.left, crop.top, crop.right, crop.bottom) == window
    box = (1.0, 2.0, 3.0, 4.0)
    assert crop.to_crop(crop.to_image(box)) == box


def test_masks_mostly_outside_the_object_are_dropped() -> None:
    masks = np.zeros((4, 10, 10), dtype=bool)
    masks[0, 0:10, 0:5] = True  # 50 pixels, 35 of them in the upper seven rows: just enough
    masks[1, 0:10, 0:5] = True
    masks[1, 0, 0] = False  # 34 of 49
    masks[2, 2:4, 2:4] = True
    box_xyxy = (0.0, 0.0, 10.0, 7.0)
    np.testing.assert_allclose(share_inside(masks, box_xyxy), [0.7, 34 / 49, 1.0, 0.0])
    orders = set()
    for seed in range(8):
        found = found_candidates(masks, box_xyxy, (seed,))
        large_first = bool(found.masks[0].sum() > found.masks[1].sum())
        order = [0, 2] if large_first else [2, 0]
        np.testing.assert_array_equal(found.masks, masks[order])
        boxes = {0: (0, 0, 5, 10), 2: (2, 2, 4, 4)}
        assert found.boxes_xyxy == tuple(boxes[index] for index in order)
        orders.add(large_first)
    assert len(orders) == 2
    none = found_candidates(masks[:0], box_xyxy, (0,))
    assert (len(none.masks), none.boxes_xyxy) == (0, ())


def test_mask_overlap_counts_pixels_outside_the_crop() -> None:
    rng = np.random.default_rng(0)
    whole = rng.random((3, 12, 12)) < 0.4
    found = np.zeros((2, 12, 12), dtype=bool)
    found[:, 2:9, 3:10] = rng.random((2, 7, 7)) < 0.5
    expected = [[(a & b).sum() / (a | b).sum() for b in whole] for a in found]
    areas = whole.sum(axis=(1, 2)).astype(float)
    got = mask_iou(found[:, 2:9, 3:10], whole[:, 2:9, 3:10], areas)
    np.testing.assert_allclose(got, expected)
    assert mask_iou(found[:0, 2:9, 3:10], whole[:, 2:9, 3:10], areas).shape == (0, 3)


def gold(count: int) -> GoldParts:
    masks = np.zeros((count, 8, 4 * count), dtype=bool)
    for index in range(count):
        masks[index, 1:7, 4 * index : 4 * index + 3] = True
    return GoldParts(masks, masks.sum(axis=(1, 2)).astype(float), tight_boxes_xyxy(masks))


def test_order_of_annotated_candidates_says_nothing() -> None:
    """Where all scores tie, neither way of assignment may find the right answer by its order."""
    right = {"argmax": 0, "hungarian": 0}
    for object_id in range(400):
        candidates = annotated_candidates(gold(4), (0, object_id))
        assert sorted(candidates.part_of) == [0, 1, 2, 3]
        for index, part in enumerate(candidates.part_of):
            np.testing.assert_array_equal(candidates.masks[index], gold(4).masks[part])
            assert candidates.boxes_xyxy[index] == gold(4).boxes_xyxy[part]
        for how in right:
            chosen = assign(np.zeros((4, 4)), how)  # type: ignore[arg-type]
            right[how] += sum(candidates.part_of[pred] == t for t, pred in enumerate(chosen))
    assert right["argmax"] == 400  # exactly chance: one of four
    assert right["hungarian"] == pytest.approx(400, abs=80)


def test_order_of_annotated_candidates_is_seeded() -> None:
    orders = [tuple(annotated_candidates(gold(5), (s, 1)).part_of) for s in (0, 0, 1, 2, 3)]
    assert orders[0] == orders[1]
    assert len(set(orders)) > 1


def results(protocol: str, seed: int) -> list[PartResult]:
    rng = np.random.default_rng(seed)
    found = []
    for object_id in range(30):
        parts = int(rng.integers(1, 6))
        boxes = np.zeros((int(rng.integers(0, 9)), 4))
        for part in range(parts):
            box_iou, mask_iou_ = rng.random(2)
            found.append(
                PartResult(
                    sample_id=f"s:{object_id}:{part}",
                    image=f"i{object_id // 3}",
                    object_id=object_id,
                    text="a rim of a mug",
                    protocol=protocol,
                    input="object",
                    mode="crop",
                    assignment="argmax",
                    parts=parts,
                    candidates_xyxy=boxes,
                    scores=np.zeros(len(boxes)),
                    pred=0,
                    gold_xyxy=(0.0, 0.0, 1.0, 1.0),
                    box_iou=float(box_iou),
                    mask_iou=float(mask_iou_),
                    correct=bool(box_iou > 0.5),
                    share_correct=1 / parts if protocol == "naming" else float(rng.random()),
                    best_box_iou=float(max(box_iou, rng.random())),
                    best_mask_iou=float(max(mask_iou_, rng.random())),
                )
            )
    return found


@pytest.mark.parametrize("protocol", ["naming", "detection"])
@pytest.mark.parametrize("least", [1, 2])
def test_metrics_against_a_transcription(protocol: str, least: int) -> None:
    rows = [row for row in results(protocol, 1) if row.parts >= least]
    got = measure_parts(results(protocol, 1), seed=0, least_parts=least)
    n = len(rows)
    things = sorted({row.object_id for row in rows})
    assert (got.parts, got.objects) == (n, len(things))
    assert got.correct == sum(row.correct for row in rows)
    assert got.share == pytest.approx(sum(row.correct for row in rows) / n)
    per_object, chance = 0.0, 0.0
    for thing in things:
        own = [row.correct for row in rows if row.object_id == thing]
        per_object += sum(own) / len(own) / len(things)
        chance += 1 / len(own) / len(things)
    assert got.share_of_objects == pytest.approx(per_object)
    if protocol == "naming":
        assert got.chance_of_objects == pytest.approx(chance)
        assert got.chance == pytest.approx(len(things) / n)
    else:
        assert got.chance == pytest.approx(sum(row.share_correct for row in rows) / n)
    assert got.mask_share == pytest.approx(sum(row.mask_iou > 0.5 for row in rows) / n)
    assert got.mean_box_iou == pytest.approx(sum(row.box_iou for row in rows) / n)
    assert got.mean_mask_iou == pytest.approx(sum(row.mask_iou for row in rows) / n)
    assert got.oracle_share == pytest.approx(sum(row.best_box_iou > 0.5 for row in rows) / n)
    assert got.oracle_mask_share == pytest.approx(sum(row.best_mask_iou > 0.5 for row in rows) / n)
    counts = [next(len(r.candidates_xyxy) for r in rows if r.object_id == t) for t in things]
    assert got.candidates == pytest.approx(sum(counts) / len(counts))
    assert got.interval_95 is not None
    assert got.share is not None
    assert got.interval_95[0] < got.share < got.interval_95[1]


def test_metrics_of_nothing() -> None:
    got = measure_parts([], seed=0)
    assert (got.parts, got.objects, got.share, got.interval_95) == (0, 0, None, None)
