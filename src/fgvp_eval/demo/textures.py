"""Colours, surface textures and backgrounds of the demo scenes."""

import math

import numpy as np
from PIL import Image, ImageDraw

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 38, 38),
    "orange": (240, 138, 28),
    "yellow": (246, 222, 52),
    "green": (48, 160, 62),
    "cyan": (62, 204, 216),
    "blue": (44, 78, 208),
    "purple": (126, 48, 168),
    "pink": (246, 134, 188),
}
TEXTURES: tuple[str, ...] = ("plain", "striped", "dotted", "checkered")


def texture_patch(
    texture: str, colour: str, side: int, period: float, rng: np.random.Generator
) -> np.ndarray:
    """Fill one square patch with a textured colour.

    Args:
        texture: one of `TEXTURES`.
        colour: a key of `COLOURS`; the shade is varied a little.
        side: patch side D in pixels.
        period: repetition length of the pattern in pixels, > 0.
        rng: source of shade, phase and direction.

    Returns:
        float32 [D, D, 3] in 0..255.

    Raises:
        ValueError: for an unknown texture.
    """
    base = np.asarray(COLOURS[colour], dtype=np.float32) + rng.uniform(-14, 14, 3)
    # The second tone is a shade of the first, so that the colour word stays true of both.
    second = base * 0.30 if rng.random() < 0.6 else base * 0.25 + 255.0 * 0.75
    axis = np.arange(side, dtype=np.float32) - side / 2.0
    angle = rng.uniform(0.0, math.pi) if texture == "striped" else rng.uniform(-0.35, 0.35)
    phase = rng.uniform(0.0, 1.0, 2)
    u = (math.cos(angle) * axis[None, :] + math.sin(angle) * axis[:, None]) / period + phase[0]
    v = (-math.sin(angle) * axis[None, :] + math.cos(angle) * axis[:, None]) / period + phase[1]
    # Patterns are signed fields; the clipped slope is their anti-aliasing.
    slope = period / 3.0
    if texture == "plain":
        share = np.zeros((side, side), np.float32)
    elif texture == "striped":
        share = np.clip(0.5 + slope * np.sin(2 * math.pi * u), 0, 1)
    elif texture == "checkered":
        waves = np.sin(math.pi * u) * np.sin(math.pi * v)
        share = np.clip(0.5 + 1.5 * slope * waves, 0, 1)
    elif texture == "dotted":
        distance = np.hypot(u - np.floor(u) - 0.5, v - np.floor(v) - 0.5)
        share = np.clip(0.5 + period * (0.30 - distance), 0, 1)
    else:
        raise ValueError(f"texture must be one of {', '.join(TEXTURES)}, got {texture!r}")
    share = share[..., None]  # [D, D, 1]
    return np.clip(base * (1.0 - share) + second * share, 0, 255).astype(np.float32)


def _muted_colour(rng: np.random.Generator) -> np.ndarray:
    """A greyish colour, so that backgrounds are not mistaken for objects."""
    return rng.uniform(60, 205) + rng.uniform(-28, 28, 3)  # [3]


def _smooth_noise(width: int, height: int, cell: int, rng: np.random.Generator) -> np.ndarray:
    """Bicubically enlarged white noise, float32 [H, W], about -1..1."""
    small = rng.uniform(-1, 1, (height // cell + 2, width // cell + 2)).astype(np.float32)
    large = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(large, dtype=np.float32)


def background(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """A gradient with cloudy or woven texture and thin clutter.

    Returns:
        float32 [H, W, 3] in 0..255.
    """
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    direction = rng.uniform(0, 2 * math.pi)
    ramp = 0.5 + 0.35 * (math.cos(direction) * x + math.sin(direction) * y)
    ramp = np.clip(ramp, 0, 1)[..., None]  # [H, W, 1]
    picture = _muted_colour(rng) * (1 - ramp) + _muted_colour(rng) * ramp  # [H, W, 3]
    kind = rng.integers(3)
    if kind == 0:
        cloud = _smooth_noise(width, height, int(rng.integers(6, 24)), rng)
        picture = picture + rng.uniform(10, 34) * cloud[..., None]
    elif kind == 1:
        wave_length = rng.uniform(5, 18)
        wave = np.sin(
            2 * math.pi * (x * width / 2 * rng.uniform(-1, 1) + y * height / 2) / wave_length
        )
        picture = picture + rng.uniform(5, 20) * wave[..., None]
    return _with_clutter(np.clip(picture, 0, 255), rng)


def _with_clutter(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw thin lines, arcs and specks; none of them is ever annotated."""
    height, width = picture.shape[:2]
    canvas = Image.fromarray(picture.astype(np.uint8))
    draw = ImageDraw.Draw(canvas)
    for _ in range(int(rng.integers(3, 14))):
        tone = tuple(int(v) for v in np.clip(_muted_colour(rng), 0, 255))
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        kind = rng.integers(3)
        if kind == 0:
            dx, dy = rng.uniform(-40, 40, 2)
            draw.line((x, y, x + dx, y + dy), fill=tone, width=int(rng.integers(1, 3)))
        elif kind == 1:
            r = rng.uniform(1, 4)
            draw.ellipse((x - r, y - r, x + r, y + r), fill=tone)
        else:
            r = rng.uniform(6, 26)
            start = rng.uniform(0, 360)
            draw.arc((x - r, y - r, x + r, y + r), start, start + rng.uniform(40, 160), fill=tone)
    return np.asarray(canvas, dtype=np.float32)  # [H, W, 3]
