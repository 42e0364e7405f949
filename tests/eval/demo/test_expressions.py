"""Sentences are true of one object only, checked from their words alone."""

import re

import numpy as np
import pytest

from fgvp_eval.demo.expressions import describe, describe_by_location, telling_subsets
from fgvp_eval.demo.scenes import SceneObject, generate_scene
from fgvp_eval.demo.tokenizer import WORDS

COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink")
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "diamond", "heart", "crescent")
# An independent reading of the words; nothing here comes from the generator.
MEANING = {
    "small": ("size", "small"),
    "little": ("size", "small"),
    "large": ("size", "large"),
    "big": ("size", "large"),
    "plain": ("texture", "plain"),
    "solid": ("texture", "plain"),
    "striped": ("texture", "striped"),
    "stripy": ("texture", "striped"),
    "stripes": ("texture", "striped"),
    "dotted": ("texture", "dotted"),
    "spotted": ("texture", "dotted"),
    "dots": ("texture", "dotted"),
    "checkered": ("texture", "checkered"),
    "checked": ("texture", "checkered"),
    "checks": ("texture", "checkered"),
    **{c: ("colour", c) for c in COLOURS},
    **{s: ("shape", s) for s in SHAPES},
}
PLACE = {
    "left": (0, -1),
    "leftmost": (0, -1),
    "right": (0, 1),
    "rightmost": (0, 1),
    "top": (1, -1),
    "topmost": (1, -1),
    "upper": (1, -1),
    "above": (1, -1),
    "bottom": (1, 1),
    "bottommost": (1, 1),
    "lower": (1, 1),
    "below": (1, 1),
}


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def fitting(words: list[str], objects: tuple[SceneObject, ...]) -> list[int]:
    """Objects of which every attribute word is true."""
    stated = [MEANING[word] for word in words if word in MEANING]
    assert stated
    return [
        k
        for k, item in enumerate(objects)
        if all(getattr(item.attributes, name) == value for name, value in stated)
    ]


@pytest.mark.parametrize("seed", range(25))
def test_attribute_sentences_are_true_of_one_object(seed: int) -> None:
    scene, rng = generate_scene(seed), np.random.default_rng(seed)
    for target in range(len(scene.objects)):
        sentences = describe(scene.objects, target, 3, rng)
        assert 1 <= len(sentences) <= 3
        for sentence in sentences:
            words = words_of(sentence.raw)
            assert fitting(words, scene.objects) == [target], sentence.raw
            assert not set(words) & set(PLACE)


@pytest.mark.parametrize("seed", range(25))
def test_location_sentences_need_and_find_their_side(seed: int) -> None:
    scene, rng = generate_scene(seed, twins=True), np.random.default_rng(seed)
    height, width = scene.image.shape[:2]
    for target in (0, 1):
        for sentence in describe_by_location(
            scene.objects, (0, 1), target, (width, height), 3, rng
        ):
            head, link, anchor_text = _split_relation(sentence.raw)
            assert sorted(fitting(head, scene.objects)) == [0, 1], sentence.raw
            axis, sign = PLACE[next(w for w in (link or head) if w in PLACE)]
            places = [item.centre[axis] for item in scene.objects[:2]]
            if anchor_text is None:
                assert sign * (places[target] - places[1 - target]) > 0, sentence.raw
            else:
                (anchor,) = fitting(anchor_text, scene.objects)
                middle = scene.objects[anchor].centre[axis]
                assert sign * (places[target] - middle) > 0, sentence.raw
                assert sign * (places[1 - target] - middle) < 0, sentence.raw


def _split_relation(raw: str) -> tuple[list[str], list[str], list[str] | None]:
    match = re.search(r"^(.*) (left of|right of|above|below) the (.*)$", raw.lower())
    if match is None:
        return words_of(raw), [], None
    return words_of(match[1]), words_of(match[2]), words_of(match[3])


def test_both_kinds_of_location_sentence_occur() -> None:
    rng, anchored = np.random.default_rng(0), []
    for seed in range(20):
        scene = generate_scene(seed, twins=True)
        size = (scene.image.shape[1], scene.image.shape[0])
        found = describe_by_location(scene.objects, (0, 1), 0, size, 3, rng)
        anchored += [sentence.anchor is not None for sentence in found]
    assert set(anchored) == {True, False}


def test_every_word_is_in_the_vocabulary() -> None:
    rng = np.random.default_rng(0)
    for seed in range(15):
        scene = generate_scene(seed, twins=True)
        size = (scene.image.shape[1], scene.image.shape[0])
        found = describe_by_location(scene.objects, (0, 1), 1, size, 3, rng)
        for target in range(2, len(scene.objects)):
            found += describe(scene.objects, target, 3, rng)
        for sentence in found:
            assert set(words_of(sentence.raw)) <= set(WORDS)


def test_describe_refuses_a_twin() -> None:
    scene = generate_scene(0, twins=True)
    assert telling_subsets(scene.objects, [0]) == []
    with pytest.raises(ValueError, match="twin"):
        describe(scene.objects, 0, 1, np.random.default_rng(0))
