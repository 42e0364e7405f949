"""Referring expressions: what is said of an object, and whether it is said of that one only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from fgvp_eval.demo.scenes import ObjectAttributes, SceneObject

ATTRIBUTES: tuple[str, ...] = ("size", "colour", "texture", "shape")
# Words for each texture before the noun, and phrases after it.
TEXTURE_BEFORE: dict[str, tuple[str, ...]] = {
    "plain": ("plain", "solid"),
    "striped": ("striped", "stripy"),
    "dotted": ("dotted", "spotted"),
    "checkered": ("checkered", "checked"),
}
TEXTURE_AFTER: dict[str, str] = {
    "striped": "with stripes",
    "dotted": "with dots",
    "checkered": "with checks",
}
SIZE_WORDS: dict[str, tuple[str, ...]] = {
    "small": ("small", "little"),
    "large": ("large", "big"),
}
NOUNS_WITHOUT_SHAPE: tuple[str, ...] = ("object", "thing", "one", "shape")
MIN_RELATION_GAP = 0.12
SIDES: tuple[str, ...] = ("left", "right", "top", "bottom")


@dataclass(frozen=True)
class Expression:
    """A sentence about one object.

    Attributes:
        raw: the sentence, in mixed case as people type it.
        attributes: the attribute values it states, by attribute name.
        side: "left", "right", "top" or "bottom" if it needs a location, else None.
        anchor: index of the object a relation refers to, if there is one.
    """

    raw: str
    attributes: Mapping[str, str]
    side: str | None = None
    anchor: int | None = None


def is_true_of(stated: Mapping[str, str], attributes: ObjectAttributes) -> bool:
    """Whether an object has all the attribute values that are stated."""
    return all(getattr(attributes, name) == value for name, value in stated.items())


def telling_subsets(objects: Sequence[SceneObject], targets: Sequence[int]) -> list[dict[str, str]]:
    """All attribute subsets true of the target objects and of no other object.

    Args:
        objects: the objects of a scene.
        targets: indices of objects that share all their attributes (usually just one).
    """
    own = objects[targets[0]].attributes
    found = []
    for count in range(1, len(ATTRIBUTES) + 1):
        for names in combinations(ATTRIBUTES, count):
            stated = {name: getattr(own, name) for name in names}
            fitting = [k for k, o in enumerate(objects) if is_true_of(stated, o.attributes)]
            if sorted(fitting) == sorted(targets):
                found.append(stated)
    return found


def phrase(stated: Mapping[str, str], rng: np.random.Generator) -> str:
    """Put attribute values into words, without article, in one of several orders."""
    noun = stated.get("shape") or str(rng.choice(NOUNS_WITHOUT_SHAPE))
    size = str(rng.choice(SIZE_WORDS[stated["size"]])) if "size" in stated else ""
    colour = stated.get("colour", "")
    texture, after = "", ""
    if "texture" in stated:
        value = stated["texture"]
        if value in TEXTURE_AFTER and rng.random() < 0.25:
            after = TEXTURE_AFTER[value]
        else:
            texture = str(rng.choice(TEXTURE_BEFORE[value]))
    before = [colour, texture] if rng.random() < 0.6 else [texture, colour]
    draw = rng.random()
    if colour and draw < 0.08:
        words = [size, texture, noun, after, "that is", colour]
    elif texture and draw < 0.14:
        words = [size, colour, noun, "that is", texture]
    else:
        words = [size, *before, noun, after]
    return " ".join(word for word in words if word)


def as_typed(text: str, rng: np.random.Generator) -> str:
    """Give a sentence an article or none, some capitals, and now and then a full stop."""
    if rng.random() < 0.45 and not text.startswith("the "):
        text = f"the {text}"
    draw = rng.random()
    if draw < 0.25:
        text = text[0].upper() + text[1:]
    elif draw < 0.30:
        text = text.upper()
    return text + "." if rng.random() < 0.12 else text


def describe(
    objects: Sequence[SceneObject], target: int, count: int, rng: np.random.Generator
) -> list[Expression]:
    """Up to `count` different sentences that are true of one object only.

    Short subsets come first half of the time, as people leave out what is not needed.
    """
    subsets = telling_subsets(objects, [target])
    if not subsets:
        raise ValueError(f"object {target} has a twin; use describe_by_location")
    found: dict[str, Expression] = {}
    for _ in range(20):
        shortest = min(len(s) for s in subsets)
        pool = [s for s in subsets if len(s) == shortest] if rng.random() < 0.5 else subsets
        stated = pool[int(rng.integers(len(pool)))]
        text = phrase(stated, rng)
        found.setdefault(text, Expression(as_typed(text, rng), stated))
        if len(found) >= count:
            break
    return list(found.values())[:count]


def side_words(side: str, noun_phrase: str, rng: np.random.Generator) -> str:
    """Add a location to a noun phrase: "left red star", "red star on the left"."""
    forms: tuple[str, ...]
    if side in ("left", "right"):
        forms = (
            f"{side} {noun_phrase}",
            f"{noun_phrase} on the {side}",
            f"{side}most {noun_phrase}",
            f"{noun_phrase} on {side} side",
            f"{side} most {noun_phrase}",
        )
    else:
        other = {"top": "upper", "bottom": "lower"}[side]
        forms = (
            f"{side} {noun_phrase}",
            f"{noun_phrase} at the {side}",
            f"{other} {noun_phrase}",
            f"{side}most {noun_phrase}",
        )
    return str(forms[int(rng.integers(len(forms)))])


def relative_side(first: SceneObject, second: SceneObject, size: tuple[int, int]) -> str:
    """Side of `first` as seen from `second`, along the axis in which they differ more.

    Args:
        first, second: two objects of one scene.
        size: picture (width, height).
    """
    dx = (first.centre[0] - second.centre[0]) / size[0]
    dy = (first.centre[1] - second.centre[1]) / size[1]
    if abs(dx) >= abs(dy):
        return "left" if dx < 0 else "right"
    return "top" if dy < 0 else "bottom"


def describe_by_location(
    objects: Sequence[SceneObject],
    twins: tuple[int, int],
    target: int,
    size: tuple[int, int],
    count: int,
    rng: np.random.Generator,
) -> list[Expression]:
    """Up to `count` sentences that tell one twin from the other by where it is.

    Args:
        objects: the objects of a scene.
        twins: indices of two objects with the same attributes.
        target: the twin that is meant.
        size: picture (width, height).
        count: sentences wanted.
        rng: source of wording.
    """
    other = twins[0] if target == twins[1] else twins[1]
    side = relative_side(objects[target], objects[other], size)
    subsets = telling_subsets(objects, twins)
    anchors = _telling_anchors(objects, twins, target, other, side, size)
    found: dict[str, Expression] = {}
    for _ in range(20):
        stated = subsets[int(rng.integers(len(subsets)))]
        if anchors and rng.random() < 0.35:
            anchor = anchors[int(rng.integers(len(anchors)))]
            options = telling_subsets(objects, [anchor])
            link = {"left": "left of", "right": "right of", "top": "above", "bottom": "below"}[side]
            landmark = phrase(options[int(rng.integers(len(options)))], rng)
            text = f"{phrase(stated, rng)} {link} the {landmark}"
            found.setdefault(text, Expression(as_typed(text, rng), stated, side, anchor))
        else:
            text = side_words(side, phrase(stated, rng), rng)
            found.setdefault(text, Expression(as_typed(text, rng), stated, side))
        if len(found) >= count:
            break
    return list(found.values())[:count]


def _telling_anchors(
    objects: Sequence[SceneObject],
    twins: tuple[int, int],
    target: int,
    other: int,
    side: str,
    size: tuple[int, int],
) -> list[int]:
    """Objects that lie between the twins along the axis of `side`, clear of both."""
    axis = 0 if side in ("left", "right") else 1
    low, high = sorted(objects[k].centre[axis] for k in (target, other))
    gap = MIN_RELATION_GAP * size[axis]
    return [
        k
        for k, item in enumerate(objects)
        if k not in twins and low + gap < item.centre[axis] < high - gap
    ]
