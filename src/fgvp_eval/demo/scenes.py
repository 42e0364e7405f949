"""The demo scenes: textured shapes on a cluttered ground, made from a seed alone."""

from dataclasses import dataclass

import numpy as np

from fgvp_eval.demo.shapes import SHAPES, shape_coverage
from fgvp_eval.demo.textures import COLOURS, TEXTURES, background, texture_patch

SIZES: tuple[str, ...] = ("small", "large")
# Half extents as shares of the square root of the picture area; the gap keeps the words true.
SIZE_RANGES: dict[str, tuple[float, float]] = {"small": (0.105, 0.130), "large": (0.172, 0.210)}
MIN_VISIBLE = 0.72
MIN_OBJECTS, MAX_OBJECTS = 5, 8
MIN_TWIN_GAP = 0.28


@dataclass(frozen=True)
class ObjectAttributes:
    """What can be said of an object without looking at its neighbours."""

    shape: str
    colour: str
    texture: str
    size: str


@dataclass(frozen=True)
class SceneObject:
    """One annotated object.

    Attributes:
        attributes: its words.
        mask: bool [H, W], the visible part only.
        box_xywh: the tight box of `mask` in pixels; the right edge is x + w.
    """

    attributes: ObjectAttributes
    mask: np.ndarray
    box_xywh: tuple[int, int, int, int]

    @property
    def centre(self) -> tuple[float, float]:
        """Centre of the box in pixels (x, y)."""
        x, y, w, h = self.box_xywh
        return x + w / 2.0, y + h / 2.0


@dataclass(frozen=True)
class Scene:
    """A picture, uint8 [H, W, 3], and its objects in drawing order."""

    image: np.ndarray
    objects: tuple[SceneObject, ...]


@dataclass(frozen=True)
class _Placement:
    """A shape that has found its place: coverage float32 [D, D] at (top, left)."""

    attributes: ObjectAttributes
    coverage: np.ndarray
    top: int
    left: int
    radius: float

    def solid(self, height: int, width: int) -> np.ndarray:
        mask = np.zeros((height, width), bool)
        mask[self._window()] = self.coverage > 0.5
        return mask  # [H, W]

    def _window(self) -> tuple[slice, slice]:
        side = self.coverage.shape[0]
        return slice(self.top, self.top + side), slice(self.left, self.left + side)

    def paint(self, picture: np.ndarray, rng: np.random.Generator) -> None:
        """Blend the textured shape into float32 [H, W, 3], in place."""
        attributes, side = self.attributes, self.coverage.shape[0]
        period = max(6.0, self.radius * rng.uniform(0.55, 0.70))
        surface = texture_patch(attributes.texture, attributes.colour, side, period, rng)
        share = self.coverage[..., None]  # [D, D, 1]
        window = picture[self._window()]
        window[...] = window * (1.0 - share) + surface * share


def tight_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Tight box (x, y, w, h) of a non-empty bool mask [H, W]."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if rows.size == 0:
        raise ValueError("mask must have at least one true pixel, got none")
    x, y = int(columns[0]), int(rows[0])
    return x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1


def _draw_attributes(count: int, rng: np.random.Generator) -> list[ObjectAttributes]:
    """Distinct attribute records from small pools, so that neighbours share words."""
    shapes = rng.choice(SHAPES, 4, replace=False)
    colours = rng.choice(list(COLOURS), 3, replace=False)
    textures = rng.choice(TEXTURES, 3, replace=False)
    chosen: list[ObjectAttributes] = []
    while len(chosen) < count:
        candidate = ObjectAttributes(
            str(rng.choice(shapes)),
            str(rng.choice(colours)),
            str(rng.choice(textures)),
            str(rng.choice(SIZES)),
        )
        if candidate not in chosen:
            chosen.append(candidate)
    return chosen


def _place(
    attributes: ObjectAttributes,
    others: list[_Placement],
    width: int,
    height: int,
    twin: _Placement | None,
    rng: np.random.Generator,
) -> _Placement | None:
    """Find a place where every earlier object keeps its visible share; None if none is found."""
    scale = float(np.sqrt(width * height))
    radius = scale * rng.uniform(*SIZE_RANGES[attributes.size])
    coverage = shape_coverage(
        attributes.shape, radius, rng.uniform(-14, 14), rng.uniform(0.92, 1.09)
    )
    side = coverage.shape[0]
    solids = [other.solid(height, width) for other in others]
    occupied = np.any(solids, axis=0) if solids else np.zeros((height, width), bool)
    # Half of the objects may overlap as it comes; the others take the freest of a few places.
    tries = 1 if rng.random() < 0.5 else 4
    found: list[tuple[int, _Placement]] = []
    for _ in range(60):
        left, top = int(rng.integers(0, width - side + 1)), int(rng.integers(0, height - side + 1))
        place = _Placement(attributes, coverage, top, left, radius)
        if twin is not None:
            gap_x, gap_y = abs(left - twin.left) / width, abs(top - twin.top) / height
            if max(gap_x, gap_y) < MIN_TWIN_GAP:
                continue
        solid = place.solid(height, width)
        layers = [*solids, solid]
        if all(
            visible.sum() >= MIN_VISIBLE * layer.sum()
            for visible, layer in zip(_visible(layers), layers, strict=True)
        ):
            found.append((int((solid & occupied).sum()), place))
            if len(found) >= tries:
                break
    return min(found, key=lambda option: option[0])[1] if found else None


def _visible(layers: list[np.ndarray]) -> list[np.ndarray]:
    """Visible part of each bool layer [H, W]; a later layer covers the earlier ones."""
    covered = np.zeros_like(layers[0])
    visible: list[np.ndarray] = []
    for layer in reversed(layers):
        visible.append(layer & ~covered)
        covered |= layer
    return visible[::-1]


def _photograph(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Uneven light, a slight tint and sensor noise: float32 [H, W, 3] -> uint8 [H, W, 3]."""
    height, width = picture.shape[:2]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :, None]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None, None]
    light = rng.uniform(0.84, 1.10) + rng.uniform(-0.12, 0.12) * x + rng.uniform(-0.12, 0.12) * y
    tint = 1.0 + rng.uniform(-0.05, 0.05, 3)
    noise = rng.normal(0.0, rng.uniform(2.0, 7.0), picture.shape)
    return np.clip(picture * light * tint + noise, 0, 255).astype(np.uint8)


def generate_scene(seed: int, *, twins: bool = False) -> Scene:
    """Make one scene.

    Args:
        seed: any non-negative integer; the same seed gives the same scene.
        twins: give the first two objects the same attributes and places well apart, so that
            only a location tells them from each other.

    Returns:
        A scene with 5 to 8 objects, no two alike save the twins, in the order of drawing.
        The twins, where asked for, are objects 0 and 1.
    """
    rng = np.random.default_rng([seed, int(twins)])
    while True:
        long_side = int(rng.integers(152, 217))
        short_side = int(long_side * rng.uniform(0.66, 0.84))
        width, height = (long_side, short_side) if rng.random() < 0.7 else (short_side, long_side)
        wanted = int(rng.integers(MIN_OBJECTS, MAX_OBJECTS + 1))
        records = _draw_attributes(wanted, rng)
        if twins:
            records[1] = records[0]
        places: list[_Placement] = []
        for index, record in enumerate(records):
            twin = places[0] if twins and index == 1 and places else None
            place = _place(record, places, width, height, twin, rng)
            if place is None and twins and index < 2:
                break
            if place is not None:
                places.append(place)
        if len(places) >= MIN_OBJECTS:
            break
    picture = background(width, height, rng)
    for place in places:
        place.paint(picture, rng)
    masks = _visible([place.solid(height, width) for place in places])
    objects = tuple(
        SceneObject(place.attributes, mask, tight_box(mask))
        for place, mask in zip(places, masks, strict=True)
    )
    return Scene(_photograph(picture, rng), objects)
