"""Scenes of composed objects: coloured shapes put together, each of them a part that has a name."""

from dataclasses import dataclass

import numpy as np

from fgvp_eval.demo.scenes import tight_box
from fgvp_eval.demo.shapes import shape_coverage
from fgvp_eval.demo.textures import TEXTURES, background, texture_patch

_LEAST_PART_PIXELS = 60  # a part covered down to fewer pixels is drawn, but not annotated


@dataclass(frozen=True)
class PartPlan:
    """A shape of an object, in the object's own frame, [-1, 1]² with y downwards.

    Attributes:
        name: its name, colour and shape in words that the demo CLIP knows.
        colour, shape: keys of the demo's colours and shapes.
        places: centre x, centre y and radius of each piece; a part may have several.
        aspect: horizontal stretch of the shape; the vertical one is its inverse.
    """

    name: str
    colour: str
    shape: str
    places: tuple[tuple[float, float, float], ...]
    aspect: float = 1.0


@dataclass(frozen=True)
class PartMask:
    """A part as it is seen.

    Attributes:
        name: its name.
        pieces: bool [P, H, W], the visible pixels of each of its pieces; none is empty.
    """

    name: str
    pieces: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """All pieces together, bool [H, W]."""
        return np.asarray(self.pieces.any(axis=0))


@dataclass(frozen=True)
class ComposedObject:
    """An object of a scene.

    Attributes:
        name: its category.
        mask: bool [H, W], all its visible pixels.
        box_xywh: the tight box of `mask`; the right edge is x + w.
        parts: its visible parts, in drawing order.
    """

    name: str
    mask: np.ndarray
    box_xywh: tuple[int, int, int, int]
    parts: tuple[PartMask, ...]


# Later parts cover earlier ones. Names have underscores and a sense in brackets, as PACO's do.
PLANS: dict[str, tuple[PartPlan, ...]] = {
    "cart": (
        PartPlan("blue_square", "blue", "square", ((0.0, 0.1, 0.62),), 1.35),
        PartPlan("yellow_ring", "yellow", "ring", ((-0.5, 0.66, 0.3), (0.5, 0.66, 0.3))),
        PartPlan("red_triangle", "red", "triangle", ((0.0, -0.6, 0.36),)),
    ),
    "badge_(emblem)": (
        PartPlan("purple_circle", "purple", "circle", ((0.0, 0.0, 0.95),)),
        PartPlan("yellow_star", "yellow", "star", ((0.0, -0.12, 0.48),)),
        PartPlan("red_heart", "red", "heart", ((0.0, 0.56, 0.26),)),
    ),
    "kite": (
        PartPlan("green_diamond", "green", "diamond", ((0.0, -0.2, 0.78),)),
        PartPlan("orange_circle", "orange", "circle", ((0.0, -0.3, 0.3),)),
        PartPlan("pink_crescent", "pink", "crescent", ((-0.55, 0.66, 0.3),)),
        PartPlan("cyan_cross", "cyan", "cross", ((0.55, 0.66, 0.3),)),
    ),
    "tower": (
        PartPlan("cyan_square", "cyan", "square", ((0.0, 0.45, 0.58),)),
        PartPlan("red_square", "red", "square", ((0.0, 0.5, 0.26),)),
        PartPlan("orange_triangle", "orange", "triangle", ((0.0, -0.4, 0.52),)),
    ),
    "gem": (PartPlan("pink_diamond", "pink", "diamond", ((0.0, 0.0, 0.9),)),),
}


def generate_parts_scene(seed: int) -> tuple[np.ndarray, tuple[ComposedObject, ...]]:
    """Make one scene.

    Args:
        seed: any non-negative integer; the same seed gives the same scene.

    Returns:
        A picture, uint8 [H, W, 3], and its two or three objects, which do not overlap.
    """
    rng = np.random.default_rng([seed, 77])
    count = int(rng.integers(2, 4))
    cell = int(rng.integers(110, 131))
    width, height = count * cell, int(cell * rng.uniform(1.0, 1.25))
    picture = background(width, height, rng)
    names = rng.choice(list(PLANS), count, replace=False)
    objects = []
    for column, name in enumerate(names):
        extent = cell * (rng.uniform(0.2, 0.34) if name == "gem" else rng.uniform(0.38, 0.44))
        x = column * cell + cell / 2 + rng.uniform(-0.04, 0.04) * cell
        y = rng.uniform(extent, height - extent)
        objects.append(_draw_object(str(name), picture, (float(x), float(y)), extent, rng))
    noisy = picture + rng.normal(0.0, rng.uniform(2.0, 6.0), picture.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8), tuple(objects)


def _draw_object(
    name: str,
    picture: np.ndarray,
    centre: tuple[float, float],
    extent: float,
    rng: np.random.Generator,
) -> ComposedObject:
    """Paint an object into float32 [H, W, 3], in place; `extent` is half its frame in pixels."""
    drawn: list[tuple[str, np.ndarray]] = []  # name and bool [H, W] of each piece
    for plan in PLANS[name]:
        texture = str(rng.choice(TEXTURES))
        for dx, dy, radius in plan.places:
            spot = (centre[0] + dx * extent, centre[1] + dy * extent)
            piece = _draw_piece(plan, texture, picture, spot, radius * extent, rng)
            drawn = [(owner, mask & ~piece) for owner, mask in drawn]
            drawn.append((plan.name, piece))
    whole = np.any(np.stack([mask for _, mask in drawn]), axis=0)
    parts = []
    for plan in PLANS[name]:
        pieces = [mask for owner, mask in drawn if owner == plan.name and mask.any()]
        if sum(int(piece.sum()) for piece in pieces) >= _LEAST_PART_PIXELS:
            parts.append(PartMask(plan.name, np.stack(pieces)))
    return ComposedObject(name, whole, tight_box(whole), tuple(parts))


def _draw_piece(
    plan: PartPlan,
    texture: str,
    picture: np.ndarray,
    spot: tuple[float, float],
    radius: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Paint one shape, cut at the border of the picture; returns its pixels, bool [H, W]."""
    height, width = picture.shape[:2]
    coverage = shape_coverage(plan.shape, radius, rng.uniform(-6, 6), plan.aspect)  # [D, D]
    side = coverage.shape[0]
    period = max(5.0, radius * rng.uniform(0.55, 0.70))
    surface = texture_patch(texture, plan.colour, side, period, rng)  # [D, D, 3]
    left, top = round(spot[0] - side / 2), round(spot[1] - side / 2)
    rows = slice(max(top, 0), min(top + side, height))
    columns = slice(max(left, 0), min(left + side, width))
    inner = (
        slice(rows.start - top, rows.stop - top),
        slice(columns.start - left, columns.stop - left),
    )
    share = coverage[inner][..., None]
    picture[rows, columns] = picture[rows, columns] * (1 - share) + surface[inner] * share
    mask = np.zeros((height, width), bool)
    mask[rows, columns] = coverage[inner] > 0.5
    return mask
