"""Relations against recorded runs of the released code, and on cases that it does not define."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fgvp_eval.errors import UsageError
from fgvp_eval.scoring import entity_trees
from fgvp_eval.scoring.entity_trees import load_parser, parse_entities, parser_identity
from fgvp_eval.scoring.relations import phrases_of, relate, softmax
from fgvp_eval.scoring.spatial_relations import SPATIAL_WORDS, relation_named, speaks_of_location

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "data" / "relation_cases.json").read_text()
)
DEFINED = [case for case in CASES if not np.isnan(case["probs"]).any()]
BOXES_XYWH = [[0, 0, 10, 10], [20, 0, 20, 20], [50, 30, 8, 8]]


def from_table(scores: dict[str, list[float]]) -> Callable[[str], list[float]]:
    return lambda text: scores[text]


@pytest.mark.parametrize("case", DEFINED, ids=lambda case: case["caption"])
def test_distribution_equals_the_released_code(case: dict[str, Any]) -> None:
    found = relate(case["caption"], case["boxes_xywh"], from_table(case["logits"]))
    # Of a single candidate the released code gives its certainty twice.
    expected = case["probs"][: len(case["boxes_xywh"])]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert int(found.argmax()) == case["pred"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["caption"])
def test_phrases_are_known_before_anything_is_scored(case: dict[str, Any]) -> None:
    asked: list[str] = []

    def score_text(text: str) -> list[float]:
        asked.append(text)
        return case["logits"][text]  # type: ignore[no-any-return]

    relate(case["caption"], case["boxes_xywh"], score_text)
    assert set(asked) <= {case["caption"], *phrases_of(case["caption"])}
    if len(case["boxes_xywh"]) > 1:
        assert set(asked) == set(case["logits"])


def test_zero_by_zero_leaves_the_step_out() -> None:
    undefined = [case for case in CASES if case not in DEFINED]
    assert len(undefined) == 2
    for case in undefined:
        found = relate(case["caption"], case["boxes_xywh"], from_table(case["logits"]))
        assert np.isfinite(found).all()
        assert found.sum() > 0


def test_boxes_in_one_place_are_told_apart_by_the_text_only() -> None:
    scores = {"left dog": [1.0, 3.0], "dog": [0.5, 0.0]}
    caption = "left dog"
    for text in phrases_of(caption):
        scores.setdefault(text, [0.5, 0.0])
    found = relate(caption, [[0, 0, 4, 4], [0, 9, 4, 4]], from_table(scores))
    whole, phrase = softmax([1.0, 3.0]), softmax(scores[phrases_of(caption)[0]])
    np.testing.assert_allclose(found, whole * phrase)


def test_certain_and_contradicting_texts_leave_the_sentence() -> None:
    logits = {"man on the left": [0.0, 5000.0], "man": [5000.0, 0.0]}
    found = relate("man on the left", BOXES_XYWH[:2], from_table(logits))
    np.testing.assert_array_equal(found, [0.0, 1.0])


def test_size_prior_leaves_out_roots_but_not_what_they_relate_to() -> None:
    caption = "dog left of the cat"
    logits = {caption: [1.0, 0.0, 0.0], "dog": [0.0, 0.0, 0.0], "the cat": [0.0, 0.0, 9.0]}
    kept = np.array([True, True, False])
    found = relate(caption, BOXES_XYWH, from_table(logits), kept=kept)
    assert found[2] == 0.0
    # Both kept boxes are left of box 2, which can only be the cat.
    cat = softmax(logits["the cat"])
    related = np.array([0.5 * (cat[1] + cat[2]), 0.5 * cat[2], 0.0])
    expected = softmax(logits[caption], kept) * related / related.sum()
    np.testing.assert_allclose(found, expected)


def test_sentence_without_words_of_place_is_left_as_it_is() -> None:
    assert parse_entities("a brown dog with a hat") is None
    found = relate("a brown dog", BOXES_XYWH, lambda _: [1.0, 2.0, 3.0])
    np.testing.assert_allclose(found, softmax([1.0, 2.0, 3.0]))


@pytest.mark.parametrize("caption", ["", " ", "left", "and left of", "...", "in on at top under"])
def test_odd_sentences_have_a_defined_result(caption: str) -> None:
    found = relate(caption, BOXES_XYWH, lambda text: [0.0, 1.0, float(len(text) % 3)])
    assert np.isfinite(found).all()
    assert found.shape == (3,)


def holds(word: str, boxes: list[list[float]]) -> np.ndarray:
    named = relation_named([word])
    assert named is not None
    return named.holds(np.array(boxes, dtype=float))


def test_relations_of_boxes_against_a_plain_transcription() -> None:
    boxes = np.random.default_rng(0).integers(0, 9, (12, 4)).astype(float).tolist()
    plain: dict[str, Callable[[list[float], list[float]], float]] = {
        "left": lambda a, b: 2 * a[0] + a[2] < 2 * b[0] + b[2],
        "east": lambda a, b: 2 * a[0] + a[2] > 2 * b[0] + b[2],
        "behind": lambda a, b: 2 * a[1] + a[3] < 2 * b[1] + b[3],
        "under": lambda a, b: 2 * a[1] + a[3] > 2 * b[1] + b[3],
        "closer": lambda a, b: a[2] * a[3] > b[2] * b[3],
        "further": lambda a, b: a[2] * a[3] < b[2] * b[3],
    }
    for word, of_two in plain.items():
        expected = [[float(of_two(a, b)) for b in boxes] for a in boxes]
        np.testing.assert_array_equal(holds(word, boxes), expected)


def test_inside_is_a_share_and_defined_without_area() -> None:
    boxes: list[list[float]] = [[0, 0, 4, 4], [2, 0, 4, 4], [9, 9, 0, 3]]
    expected = [[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 0.0]]
    np.testing.assert_array_equal(holds("inside", boxes), expected)


def test_inside_is_no_superlative_and_leftmost_no_relation() -> None:
    assert not SPATIAL_WORDS[-1].superlatives
    assert relation_named(["leftmost"]) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("man on left", True), ("upper star", True), ("red star", False), ("bigger star", False)],
)
def test_words_of_place(text: str, expected: bool) -> None:
    assert speaks_of_location(text.split()) == expected


def test_parser_tells_its_versions() -> None:
    identity = parser_identity()
    assert identity["kind"] == "parser"
    assert str(identity["name"]).startswith("en_core_web_sm")
    assert identity["spacy"]


@pytest.mark.parametrize("missing", ["spacy", "model"])
def test_missing_spacy_is_one_line_with_the_cure(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    names = ["spacy"] if missing == "spacy" else list(entity_trees.MODEL_NAMES)
    for name in names:
        monkeypatch.setitem(sys.modules, name, None)
    load_parser.cache_clear()
    try:
        with pytest.raises(UsageError) as caught:
            load_parser()
    finally:
        load_parser.cache_clear()
    message = str(caught.value)
    assert "\n" not in message
    assert 'pip install "fgvp-kernels[relations]"' in message
    assert "python -m spacy download en_core_web_sm" in message
