"""Outlines of the demo shapes and their anti-aliased coverage."""

import math

import numpy as np
from PIL import Image, ImageDraw

SHAPES: tuple[str, ...] = (
    "circle",
    "square",
    "triangle",
    "star",
    "cross",
    "ring",
    "diamond",
    "heart",
    "crescent",
)
SUPERSAMPLING = 4

Outline = list[tuple[float, float]]


def _regular(corners: int, radius: float = 1.0, first: float = -90.0) -> Outline:
    """Corners of a regular polygon; `first` is the direction of corner 0 in degrees."""
    angles = [math.radians(first + 360.0 * k / corners) for k in range(corners)]
    return [(radius * math.cos(a), radius * math.sin(a)) for a in angles]


def _star() -> Outline:
    outer, inner = _regular(5), _regular(5, radius=0.45, first=-54.0)
    return [corner for pair in zip(outer, inner, strict=True) for corner in pair]


def _heart() -> Outline:
    steps = [2.0 * math.pi * k / 48 for k in range(48)]
    return [
        (
            math.sin(t) ** 3,
            -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 16.0
            - 0.1,
        )
        for t in steps
    ]


def _cross(arm: float = 0.34) -> Outline:
    quarter = [(-arm, -1.0), (arm, -1.0), (arm, -arm)]
    corners: Outline = []
    for _ in range(4):
        corners += quarter
        quarter = [(-y, x) for x, y in quarter]
    return corners


def outlines(shape: str) -> tuple[Outline, Outline | None]:
    """Outline of a shape in the unit frame [-1, 1]², and the outline cut out of it, if any.

    Args:
        shape: one of `SHAPES`.

    Returns:
        (filled, cut): the y axis points down, as in pictures.

    Raises:
        ValueError: for an unknown shape.
    """
    circle = _regular(64)
    if shape == "circle":
        return [(0.92 * x, 0.92 * y) for x, y in circle], None
    if shape == "square":
        return [(-0.82, -0.82), (0.82, -0.82), (0.82, 0.82), (-0.82, 0.82)], None
    if shape == "triangle":
        return [(0.0, -0.95), (1.0, 0.85), (-1.0, 0.85)], None
    if shape == "star":
        return _star(), None
    if shape == "cross":
        return _cross(), None
    if shape == "ring":
        return circle, [(0.52 * x, 0.52 * y) for x, y in circle]
    if shape == "diamond":
        return [(0.0, -1.0), (0.78, 0.0), (0.0, 1.0), (-0.78, 0.0)], None
    if shape == "heart":
        return _heart(), None
    if shape == "crescent":
        return circle, [(0.80 * x + 0.52, 0.80 * y) for x, y in circle]
    raise ValueError(f"shape must be one of {', '.join(SHAPES)}, got {shape!r}")


def shape_coverage(shape: str, radius: float, angle: float, aspect: float = 1.0) -> np.ndarray:
    """Coverage of a shape on the smallest odd square patch that holds it.

    Args:
        shape: one of `SHAPES`.
        radius: half the extent of the unit frame, in pixels, > 0.
        angle: rotation in degrees, clockwise.
        aspect: horizontal stretch; the vertical one is its inverse.

    Returns:
        float32 [D, D] in 0..1, the shape's frame centred in the patch.
    """
    half = math.ceil(radius * max(aspect, 1.0 / aspect) * 1.15) + 1
    side = 2 * half + 1
    canvas = Image.new("L", (side * SUPERSAMPLING, side * SUPERSAMPLING), 0)
    draw = ImageDraw.Draw(canvas)
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    centre = side * SUPERSAMPLING / 2.0
    scale = radius * SUPERSAMPLING
    for outline, fill in zip(outlines(shape), (255, 0), strict=True):
        if outline is None:
            continue
        stretched = [(x * aspect, y / aspect) for x, y in outline]
        draw.polygon(
            [
                (centre + scale * (cosine * x - sine * y), centre + scale * (sine * x + cosine * y))
                for x, y in stretched
            ],
            fill=fill,
        )
    return np.asarray(canvas.reduce(SUPERSAMPLING), dtype=np.float32) / 255.0  # [D, D]
