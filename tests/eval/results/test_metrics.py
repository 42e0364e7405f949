import math

import numpy as np
import pytest

from fgvp_eval.data.boxes import iou_matrix, xyxy_from_xywh
from fgvp_eval.data.records import Box, Prediction
from fgvp_eval.results.metrics import measure
from fgvp_eval.scoring.choice import judge


def plain_iou(a: Box, b: Box) -> float:
    """Intersection over union, written down once more, box by box."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area_a, area_b = (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])
    union = area_a + area_b - width * height
    return width * height / union if union else 0.0


def plain_wilson(correct: int, n: int) -> tuple[float, float]:
    z = 1.959963984540054
    share = correct / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return centre - half, centre + half


def random_boxes(count: int, seed: int) -> list[Box]:
    corners = np.random.default_rng(seed).integers(0, 12, (count, 2, 2))
    low, high = corners.min(axis=1), corners.max(axis=1)
    return [
        (float(a), float(b), float(c), float(d)) for (a, b), (c, d) in zip(low, high, strict=True)
    ]


def prediction(correct: bool, share: float) -> Prediction:
    box = (0.0, 0.0, 1.0, 1.0)
    return Prediction("s", "i", "t", "m", (box,), (0.0,), 0, box, 1.0, correct, share)


def test_iou_against_a_plain_transcription() -> None:
    a, b = random_boxes(20, 0), random_boxes(15, 1)
    expected = [[plain_iou(x, y) for y in b] for x in a]
    np.testing.assert_allclose(iou_matrix(a, b), expected)


def test_iou_has_no_extra_pixel_and_defines_empty_boxes() -> None:
    assert iou_matrix([(0, 0, 2, 2)], [(1, 0, 3, 2)])[0, 0] == pytest.approx(1 / 3)
    assert iou_matrix([(1, 1, 1, 1)], [(1, 1, 1, 1)])[0, 0] == 0.0
    assert xyxy_from_xywh((1.5, 2.0, 3.0, 4.0)) == (1.5, 2.0, 4.5, 6.0)


def test_half_is_not_more_than_half() -> None:
    gold = [(0.0, 0.0, 2.0, 1.0)]
    assert judge([1.0], [(0.0, 0.0, 1.0, 1.0)], gold).iou == 0.5
    assert not judge([1.0], [(0.0, 0.0, 1.0, 1.0)], gold).correct
    assert judge([1.0], [(0.0, 0.0, 1.001, 1.0)], gold).correct


def test_ties_go_to_the_first_candidate() -> None:
    boxes = [(0.0, 0.0, 1.0, 1.0), (5.0, 5.0, 6.0, 6.0), (7.0, 7.0, 8.0, 8.0)]
    assert judge([0.0, 2.0, 2.0], boxes, boxes[2:]).pred == 1


def test_any_gold_box_counts_and_the_closest_is_reported() -> None:
    golds = [(0.0, 0.0, 1.0, 1.0), (5.0, 5.0, 7.0, 7.0)]
    choice = judge([0.0, 1.0], [(20.0, 20.0, 21.0, 21.0), (5.0, 5.0, 7.0, 6.5)], golds)
    assert (choice.correct, choice.gold_xyxy, choice.iou) == (True, golds[1], 0.75)
    assert choice.share_correct == 0.5


@pytest.mark.parametrize(("correct", "n"), [(0, 1), (1, 1), (3, 7), (50, 100), (4321, 10834)])
def test_accuracy_and_interval(correct: int, n: int) -> None:
    found = measure([prediction(k < correct, 0.25) for k in range(n)])
    assert (found.n, found.correct, found.accuracy) == (n, correct, correct / n)
    assert found.interval_95 == pytest.approx(plain_wilson(correct, n), abs=1e-9)


def test_chance_and_ceiling_are_means_over_sentences() -> None:
    found = measure([prediction(True, share) for share in (0.0, 0.5, 1.0, 0.2)])
    assert found.chance == pytest.approx(1.7 / 4)
    assert found.ceiling == 0.75


def test_nothing_scored_is_not_zero_percent() -> None:
    found = measure([])
    assert (found.n, found.accuracy, found.interval_95, found.chance) == (0, None, None, None)


def ranked(
    scores: list[float], right: list[bool], image: str = "i", before: int | None = None
) -> Prediction:
    """A sentence whose candidates are right or wrong as told."""
    gold = (0.0, 0.0, 4.0, 4.0)
    boxes = tuple(gold if good else (9.0, 9.0, 10.0, 10.0 + k) for k, good in enumerate(right))
    return Prediction(
        "s", image, "t", "m", boxes, tuple(scores), **vars(judge(scores, boxes, [gold])),
        pred_before_post=before,
    )  # fmt: skip


def test_recall_counts_the_best_k() -> None:
    found = measure(
        [
            ranked([4, 3, 2, 1, 0, 0], [True, False, False, False, False, False]),
            ranked([4, 3, 2, 1, 0, 0], [False, False, True, False, False, True]),
            ranked([1, 1, 1, 1, 1, 1], [False, False, False, False, False, True]),
            ranked([1, 0], [False, False]),
        ]
    )
    assert found.recall_at == {1: 0.25, 2: 0.25, 3: 0.5, 5: 0.5}
    assert found.recall_at[1] == found.accuracy
    assert found.ceiling == 0.75


def test_every_miss_has_one_cause() -> None:
    found = measure(
        [
            ranked([1, 0], [True, False], before=1),
            ranked([1, 0], [False, False], before=0),
            ranked([1, 0], [False, True], before=1),
            ranked([1, 0], [False, True], before=0),
            ranked([1, 0], [False, True]),
        ]
    )
    assert found.misses == {"no_candidate": 1, "post_flipped": 1, "ranked_wrong": 2}
    assert sum(found.misses.values()) == found.n - found.correct


def test_clustered_interval_is_wider_where_images_agree() -> None:
    predictions = [
        ranked([1, 0], [image % 2 == 0, True], image=str(image))
        for image in range(40)
        for _ in range(5)
    ]
    found = measure(predictions)
    assert found.interval_95 is not None
    assert found.interval_95_clustered is not None
    wilson, clustered = (
        high - low for low, high in (found.interval_95, found.interval_95_clustered)
    )
    assert clustered > 1.8 * wilson
