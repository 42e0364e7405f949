"""Post-processing against a direct, slow transcription of its rules on random inputs."""

import math
from typing import Any

import numpy as np
import pytest

from fgvp_eval.data.records import Box, Prediction
from fgvp_eval.errors import UsageError
from fgvp_eval.scoring.caption_bank import CaptionBank
from fgvp_eval.scoring.postprocess import (
    SentenceLogits,
    aggregate_modes,
    final_scores,
    large_enough,
)

CAPTION = "man left of the woman"
PHRASES = ("man", "the woman")
MODES = ("crop", "contour", "none")


def random_logits(seed: int, modes: int = 3, candidates: int = 5) -> SentenceLogits:
    rng = np.random.default_rng(seed)

    def draw() -> Any:
        return rng.normal(0, 2, (modes, candidates)).astype(np.float32)

    return SentenceLogits(draw(), draw(), {text: draw() for text in PHRASES})


def random_boxes(seed: int, candidates: int = 5) -> list[Box]:
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 60, (candidates, 2))
    sizes = rng.integers(1, 40, (candidates, 2))
    return [
        (float(x), float(y), float(x + w), float(y + h))
        for (x, y), (w, h) in zip(corners, sizes, strict=True)
    ]


def slow_softmax(values: list[float], kept: list[bool]) -> list[float]:
    powers = [math.exp(value) if keep else 0.0 for value, keep in zip(values, kept, strict=True)]
    return [power / sum(powers) for power in powers]


def slow_scores(
    logits: SentenceLogits, boxes: list[Box], post: str, aggregate: str, kept: list[bool] | None
) -> list[float]:
    """Subtract, then aggregate the modes, then relate: one candidate and one mode at a time."""
    modes, count = logits.sentence.shape

    def one_each(of_modes: Any) -> list[float]:
        result = []
        for n in range(count):
            terms = []
            for k in range(modes):
                value = float(of_modes[k, n])
                if "S" in post:
                    assert logits.negatives is not None
                    value -= float(logits.negatives[k, n])
                terms.append(value)
            result.append(sum(terms) if aggregate == "sum" else max(terms))
        return result

    sentence = one_each(logits.sentence)
    everything = [True] * count
    if "R" not in post:
        return sentence if kept is None else slow_softmax(sentence, kept)
    assert logits.phrases is not None
    whole = slow_softmax(sentence, kept or everything)
    man = slow_softmax(one_each(logits.phrases["man"]), kept or everything)
    woman = slow_softmax(one_each(logits.phrases["the woman"]), everything)
    left = [
        man[i]
        * sum(
            woman[j] for j in range(count) if boxes[i][0] + boxes[i][2] < boxes[j][0] + boxes[j][2]
        )
        for i in range(count)
    ]
    if sum(left) == 0:  # no kept box is left of another
        return [whole[i] * man[i] for i in range(count)]
    return [whole[i] * left[i] / sum(left) for i in range(count)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("aggregate", ["sum", "max"])
@pytest.mark.parametrize("post", ["none", "S", "R", "RS"])
@pytest.mark.parametrize("size_prior", [0.0, 0.05])
def test_against_a_direct_transcription(
    seed: int, aggregate: Any, post: Any, size_prior: float
) -> None:
    logits, boxes = random_logits(seed), random_boxes(seed)
    kept = large_enough(boxes, (80, 100), size_prior)
    found = final_scores(CAPTION, logits, boxes, post=post, aggregate=aggregate, kept=kept)
    expected = slow_scores(
        logits, boxes, post, aggregate, None if kept is None else [bool(keep) for keep in kept]
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_size_prior_is_strict_and_keeps_all_when_none_is_left() -> None:
    boxes = [(0.0, 0.0, 10.0, 5.0), (0.0, 0.0, 10.0, 6.0), (3.0, 3.0, 4.0, 4.0)]
    found = large_enough(boxes, (10, 100), 0.05)
    assert found is not None
    assert found.tolist() == [False, True, False]
    all_small = large_enough(boxes[2:] * 2, (10, 100), 0.05)
    assert all_small is not None
    assert all_small.tolist() == [True, True]
    assert large_enough(boxes, (10, 100), 0.0) is None


def test_candidate_that_is_left_out_is_never_chosen() -> None:
    logits = SentenceLogits(np.array([[9.0, 1.0, 2.0]], dtype=np.float32))
    scores = final_scores("dog", logits, random_boxes(0, 3), kept=np.array([False, True, True]))
    assert (scores[0], int(scores.argmax())) == (0.0, 2)


def test_subtraction_comes_before_the_maximum() -> None:
    logits = SentenceLogits(
        np.array([[5.0, 0.0], [0.0, 1.0]], dtype=np.float32),
        np.array([[5.0, 0.0], [0.0, 0.0]], dtype=np.float32),
    )
    found = final_scores("dog", logits, random_boxes(0, 2), post="S", aggregate="max")
    np.testing.assert_array_equal(found, [0.0, 1.0])
    np.testing.assert_array_equal(aggregate_modes(logits.sentence, "max"), [5.0, 1.0])


@pytest.mark.parametrize(
    ("post", "match"), [("S", "needs the logits of negatives"), ("R", "of the phrase 'man'")]
)
def test_logits_that_are_missing_are_named(post: Any, match: str) -> None:
    bare = SentenceLogits(random_logits(0).sentence)
    with pytest.raises(ValueError, match=match):
        final_scores(CAPTION, bare, random_boxes(0), post=post)


def test_stored_logits_come_back_exactly() -> None:
    logits = random_logits(7)
    box = (0.0, 0.0, 1.0, 1.0)
    plain = Prediction("s", "i", "t", "m", (box,), (0.0,), 0, box, 1.0, True, 1.0)
    assert SentenceLogits.stored(plain) is None
    stored = logits.stored_in(plain, MODES, pred_before_post=2, kept=np.array([True, False]))
    assert (stored.pred_before_post, stored.kept) == (2, (True, False))
    back = SentenceLogits.stored(stored)
    assert back is not None
    for found, expected in zip(back.arrays(), logits.arrays(), strict=True):
        np.testing.assert_array_equal(found, expected)
    without = SentenceLogits(logits.sentence).stored_in(plain, MODES, pred_before_post=0, kept=None)
    assert set(without.record()) - set(plain.record()) == {"pred_before_post", "scores_by_mode"}


def test_bank_of_all_sentences_is_one_mean_with_repetitions() -> None:
    bank = CaptionBank("demo", ["a", "b", "a"], None, 0)
    first, second = bank.negatives_of("x"), bank.negatives_of("y")
    assert first == second
    assert first.captions == ("a", "b", "a")


def test_drawn_negatives_depend_on_seed_and_sentence_only() -> None:
    captions = [f"caption {k}" for k in range(50)]
    bank = CaptionBank("demo", captions, 20, 3)
    drawn = bank.negatives_of("demo:1:1").captions
    bank.negatives_of("demo:2:2")
    assert bank.negatives_of("demo:1:1").captions == drawn
    assert CaptionBank("demo", captions, 20, 3).negatives_of("demo:1:1").captions == drawn
    assert len(set(drawn)) == 20
    assert bank.negatives_of("demo:2:2").captions != drawn
    assert CaptionBank("demo", captions, 20, 4).negatives_of("demo:1:1").captions != drawn


def test_more_negatives_than_sentences_are_refused() -> None:
    with pytest.raises(UsageError, match="--negatives 4: demo has only 3 sentences to draw from"):
        CaptionBank("demo", ["a", "b", "c"], 4, 0)
