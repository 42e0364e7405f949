"""Relations in the released arithmetic, against a transcription of it and against its recordings.

The transcription follows the released code operation by operation, in its types: torch's softmax of
float32, tables of relations in float64 filled pair by pair, and NumPy's rules between the two.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fgvp_eval.data.records import Prediction
from fgvp_eval.scoring import relations
from fgvp_eval.scoring.entity_trees import Entity, Link
from fgvp_eval.scoring.postprocess import SentenceLogits, final_scores
from fgvp_eval.scoring.relations import relate

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "data" / "relation_cases.json").read_text()
)
Pair = Callable[[Any, Any], float]


def middle(box: Any, axis: int) -> float:
    return float((box[axis] + box[axis + 2]) + box[axis])  # twice, as far edge plus near edge


def share_inside(a: Any, b: Any) -> float:
    left, top = max(a[0], b[0]), max(a[1], b[1])
    right = max(left, min(a[0] + a[2], b[0] + b[2]))
    bottom = max(top, min(a[1] + a[3], b[1] + b[3]))
    return float((right - left) * (bottom - top) / (a[2] * a[3]))


# One word of each relation; a relation is told by the first row whose word is among the link's.
PAIRS: list[tuple[str, Pair]] = [
    ("west", lambda a, b: middle(a, 0) < middle(b, 0)),
    ("east", lambda a, b: middle(a, 0) > middle(b, 0)),
    ("north", lambda a, b: middle(a, 1) < middle(b, 1)),
    ("south", lambda a, b: middle(a, 1) > middle(b, 1)),
    ("larger", lambda a, b: a[2] * a[3] > b[2] * b[3]),
    ("further", lambda a, b: a[2] * a[3] < b[2] * b[3]),
    ("inside", share_inside),
]


def table(words: tuple[str, ...], boxes: Any, superlative: bool = False) -> Any:
    for word, holds in PAIRS[:-1] if superlative else PAIRS:
        if word in words:
            return np.array([[float(holds(a, b)) for b in boxes] for a in boxes])
    return None


def shares_of(logits: Any, kept: Any) -> Any:
    shares = np.zeros(len(logits), dtype=np.float32)
    chosen = [index for index in range(len(logits)) if kept[index]]
    shares[chosen] = torch.tensor(logits, dtype=torch.float32)[chosen].softmax(-1).numpy()
    return shares


def entity_shares(entity: Entity, boxes: Any, logits: Any, kept: Any) -> Any:
    """The released walk: first what it relates to, then its own text, then the products."""
    text, factors = entity.text, []
    for link in entity.links:
        holds = table(link.words, boxes)
        if holds is None:
            text = link.phrase
        else:
            of_other = entity_shares(link.entity, boxes, logits, [True] * len(boxes))
            factors.append(np.sum(of_other[np.newaxis, :] * holds, axis=-1))
    shares = shares_of(logits[text], kept)
    for factor in factors:
        shares = shares * factor
        shares = shares / np.sum(shares)
    best, second = shares[np.argsort(-shares)[:2]]
    if best < float("inf") * second:
        for words in entity.superlatives:
            holds = table(words, boxes, superlative=True)
            if holds is not None:
                pairs = shares[:, np.newaxis] * shares[np.newaxis, :]
                shares = np.sum(pairs * holds, axis=1)
                shares = shares / np.sum(shares)
    return shares


class Draw:
    """A random tree of entities, with boxes and logits for each of its texts."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.texts = ["sentence"]
        self.entity = self._entity(depth=3)
        count = int(self.rng.integers(2, 12))
        # Whole numbers, so that some boxes tie.
        self.boxes_xywh = self.rng.integers(1, 20, (count, 4)).astype(float)
        # Sums of eight logits of CLIP differ by tens; what underflows lies 104 below the highest.
        spread = self.rng.choice([1.0, 20.0, 60.0, 300.0])
        self.logits = {
            text: self.rng.normal(0, spread, count).astype(np.float32) for text in self.texts
        }
        self.kept = self.rng.random(count) < self.rng.choice([0.5, 1.0])
        self.kept[self.rng.integers(count)] = True

    def _text(self) -> str:
        self.texts.append(f"text {len(self.texts)}")
        return self.texts[-1]

    def _words(self) -> tuple[str, ...]:
        some = ["of", "with", *(word for word, _ in PAIRS)]
        return tuple(str(word) for word in self.rng.choice(some, self.rng.integers(1, 3)))

    def _entity(self, depth: int) -> Entity:
        links = [
            Link(self._words(), self._entity(depth - 1), self._text())
            for _ in range(self.rng.integers(0, 3) if depth else 0)
        ]
        said = tuple(self._words() for _ in range(self.rng.integers(0, 3)))
        return Entity(self._text(), tuple(links), said)


@pytest.fixture
def draws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Draw]:
    """A thousand of them; the parser gives the tree of the one that is looked at."""

    def draw(seed: int) -> Draw:
        drawn = Draw(seed)
        monkeypatch.setattr(relations, "parse_entities", lambda caption: drawn.entity)
        return drawn

    return map(draw, range(1000))


def test_a_thousand_random_trees_equal_a_transcription(draws: Iterator[Draw]) -> None:
    undefined, empty, mended = 0, 0, 0
    for drawn in draws:
        given = ("sentence", drawn.boxes_xywh, drawn.logits.__getitem__)
        with np.errstate(all="ignore"):
            whole = shares_of(drawn.logits["sentence"], drawn.kept)
            of_entity = entity_shares(drawn.entity, drawn.boxes_xywh, drawn.logits, drawn.kept)
            expected = (whole * of_entity).astype(np.float64)
        found = relate(*given, kept=drawn.kept, as_released=True)
        np.testing.assert_array_equal(found, expected)  # NaN equals NaN
        undefined += np.isnan(expected).any()
        empty += not expected.any()
        defined = relate(*given, kept=drawn.kept)
        assert np.isfinite(defined).all()
        assert defined.any()
        mended += int(defined.argmax()) != int(found.argmax())
    # What the two arithmetics differ in was there to be compared.
    assert min(undefined, empty, mended) > 50


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["caption"])
def test_recordings_of_the_released_code(case: dict[str, Any]) -> None:
    score_text = case["logits"].__getitem__
    found = relate(case["caption"], case["boxes_xywh"], score_text, as_released=True)
    # Of a single candidate the released code gives its certainty twice.
    expected = case["probs"][: len(case["boxes_xywh"])]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)  # NaN equals NaN
    assert int(found.argmax()) == case["pred"]


def test_scores_that_are_nan_choose_the_first_and_are_null_in_json() -> None:
    case = next(case for case in CASES if np.isnan(case["probs"]).any())
    x, y, w, h = np.array(case["boxes_xywh"], dtype=float).T
    boxes_xyxy = [tuple(box) for box in np.stack([x, y, x + w, y + h], axis=1).tolist()]
    texts = {text: np.array([row], dtype=np.float32) for text, row in case["logits"].items()}
    logits = SentenceLogits(texts[case["caption"]], None, texts)
    scores = final_scores(case["caption"], logits, boxes_xyxy, post="R", as_released=True)
    assert np.isnan(scores).all()
    values = tuple(scores.tolist())
    box = boxes_xyxy[0]
    stored = Prediction("s", "i", "t", "m", tuple(boxes_xyxy), values, 0, box, 1.0, True, 1.0)
    text = json.dumps(stored.record(), allow_nan=False)
    assert json.loads(text)["scores"] == [None] * len(values)
    back = Prediction.from_record(json.loads(text))
    np.testing.assert_array_equal(back.scores, values)
