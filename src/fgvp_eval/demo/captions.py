"""Training captions: any true statement about an object, unique in its scene or not."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from fgvp_eval.demo.expressions import ATTRIBUTES, phrase, side_words
from fgvp_eval.demo.scenes import SIZES, ObjectAttributes, SceneObject
from fgvp_eval.demo.shapes import SHAPES
from fgvp_eval.demo.textures import COLOURS, TEXTURES

TEMPLATE = "a photo of {}"
# How often a caption states an attribute; shape and colour are what people name first.
STATED_SHARE: dict[str, float] = {"size": 0.35, "colour": 0.65, "texture": 0.55, "shape": 0.75}
CHOICES: dict[str, tuple[str, ...]] = {
    "size": SIZES,
    "colour": tuple(COLOURS),
    "texture": TEXTURES,
    "shape": SHAPES,
}
UNSTATED = -1
# A caption with a side is written only for objects at least this far from the middle, and
# counts as wrong only of objects that lie clearly more to the other side.
SIDE_MARGIN, SIDE_GAP = 0.08, 0.12


@dataclass(frozen=True)
class Caption:
    """A caption and what it states.

    Attributes:
        text: lower-case sentence.
        stated: value index of each of `ATTRIBUTES`, or `UNSTATED`.
        axis: 0 or 1 where a side along x or y is stated, else `UNSTATED`.
        direction: +1 for right and bottom, -1 for left and top, 0 without a side.
    """

    text: str
    stated: tuple[int, ...]
    axis: int = UNSTATED
    direction: int = 0


def attribute_indices(attributes: ObjectAttributes) -> tuple[int, ...]:
    """Value index of each of `ATTRIBUTES`."""
    return tuple(CHOICES[name].index(getattr(attributes, name)) for name in ATTRIBUTES)


def relative_centre(item: SceneObject) -> tuple[float, float]:
    """Centre of the box as shares of the picture's width and height."""
    height, width = item.mask.shape
    return item.centre[0] / width, item.centre[1] / height


def write_caption(
    attributes: ObjectAttributes,
    centre: tuple[float, float],
    rng: np.random.Generator,
    location_share: float,
) -> Caption:
    """Write one caption.

    Args:
        attributes: the object's attributes.
        centre: its relative centre (x, y), 0..1.
        rng: source of wording.
        location_share: probability of a location word where the object is off the middle.
    """
    names = [name for name in ATTRIBUTES if rng.random() < STATED_SHARE[name]]
    if not names:
        names = [str(rng.choice(["colour", "texture", "shape"]))]
    stated = {name: getattr(attributes, name) for name in names}
    text = phrase(stated, rng)
    axis, direction = UNSTATED, 0
    if rng.random() < location_share:
        chosen = int(rng.integers(2))
        offset = centre[chosen] - 0.5
        if abs(offset) > SIDE_MARGIN:
            axis, direction = chosen, int(np.sign(offset))
            side = (("left", "right"), ("top", "bottom"))[axis][direction > 0]
            text = side_words(side, text, rng)
    if rng.random() < 0.45:
        text = f"the {text}"
    if rng.random() < 0.6:
        text = TEMPLATE.format(text)
    indices = attribute_indices(attributes)
    return Caption(
        text,
        tuple(indices[k] if name in stated else UNSTATED for k, name in enumerate(ATTRIBUTES)),
        axis,
        direction,
    )


def could_be_true(
    captions: Sequence[Caption], attributes: torch.Tensor, centres: torch.Tensor
) -> torch.Tensor:
    """Which captions fit which objects; such pairs must not be pushed apart.

    Args:
        captions: N captions, caption k written for object k.
        attributes: int64 [N, 4], value indices of the objects.
        centres: float32 [N, 2], relative centres of the objects.

    Returns:
        bool [N, N], row: object, column: caption; the diagonal is true.
    """
    stated = torch.tensor([caption.stated for caption in captions])  # [N, 4]
    fits = ((stated[None] == UNSTATED) | (stated[None] == attributes[:, None])).all(-1)  # [N, N]
    for column, caption in enumerate(captions):
        if caption.axis != UNSTATED:
            along = centres[:, caption.axis] - centres[column, caption.axis]  # [N]
            # Objects further to the stated side fit even better, so only the other way counts.
            fits[:, column] &= caption.direction * along > -SIDE_GAP
    return fits
