"""Colours of tints and lines: names, RGB triples, random ones, or one for each candidate."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from numbers import Integral

import torch
from PIL import ImageColor

from fgvp_kernels.device_tables import HOST, kept
from fgvp_kernels.value_checks import check_dense, nearest, shown

ColorLike = str | Sequence[int] | torch.Tensor

RANDOM = "random"

# RGB, 0-255. The names and values of the released FGVP code, some of which CSS gives others.
PALETTE: dict[str, tuple[int, int, int]] = {
    "red": (255, 0, 0),
    "cpt_red": (240, 0, 30),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "purple": (128, 0, 128),
    "yellow": (255, 255, 0),
    "cyan": (0, 255, 255),
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "grey": (124, 116, 104),
}


def to_color(name: str, color: object) -> ColorLike:
    """Return ``color`` as a name of ``PALETTE``, ``"random"``, a triple of ints or a tensor.

    Args:
        name: The option's name, for messages.
        color: One of those, or ``"#ff8800"``, or one of CSS's names; names in any case.

    Raises:
        TypeError, ValueError: ``color`` is no colour.
    """
    if isinstance(color, str):
        return _named_color(name, color)
    if isinstance(color, torch.Tensor):
        check_dense(name, color)
        if color.ndim != 2 or color.shape[1] != 3:
            raise ValueError(f"{name} as a tensor must be [N, 3], got {list(color.shape)}")
        if color.dtype == torch.bool or color.is_complex():
            raise TypeError(f"{name} as a tensor must hold RGB levels 0-255, got {color.dtype}")
        rows = color.detach().to(torch.float32)  # some dtypes have no minimum
        if rows.numel() and not (rows.min() >= 0 and rows.max() <= 255):
            raise ValueError(f"{name} as a tensor must hold RGB levels between 0 and 255")
        return color
    if isinstance(color, Sequence):
        levels = list(color)
        if len(levels) != 3 or not all(
            isinstance(level, Integral) and not isinstance(level, bool) for level in levels
        ):
            raise ValueError(f"{name} as a triple must be three ints, got {shown(color)}")
        if not all(0 <= level <= 255 for level in levels):
            raise ValueError(f"{name} must have levels between 0 and 255, got {shown(color)}")
        return tuple([int(level) for level in levels])
    raise TypeError(
        f"{name} must be a name, '#rrggbb', an RGB triple or an [N, 3] tensor, "
        f"got {type(color).__name__}"
    )


def _named_color(name: str, color: str) -> ColorLike:
    word = color.lower()
    word = "grey" if word == "gray" else word
    if word == RANDOM or word in PALETTE:
        return word
    if word in ImageColor.colormap or word.startswith("#"):
        with suppress(ValueError):
            levels = ImageColor.getrgb(word)
            if len(levels) == 3:  # no alpha
                return levels
    names = [*(PALETTE | ImageColor.colormap), RANDOM]
    raise ValueError(
        f"{name} must be a name of ours or of CSS, '#rrggbb', {RANDOM!r}, an RGB triple or an "
        f"[N, 3] tensor; got {shown(color)}{nearest(word, names)}"
    )


def resolve_color(name: str, color: ColorLike, count: int, seed: int) -> torch.Tensor:
    """Return the levels of ``color`` for ``count`` candidates.

    Args:
        name: The option's name, for messages.
        color: What :func:`to_color` returns.
        count: Number of candidates of the call, ΣN.
        seed: Seed of ``"random"``.

    Returns:
        float32 levels 0-255: ``[1, 3]`` where all candidates share the colour, else
        ``[count, 3]``. On the CPU, except that a tensor stays on its device.
    """
    if isinstance(color, torch.Tensor):
        if len(color) != count:
            raise ValueError(
                f"{name} must have one row per candidate: expected [{count}, 3], "
                f"got {list(color.shape)}"
            )
        return color.detach().to(torch.float32)  # [ΣN, 3]
    if isinstance(color, str):
        if color == RANDOM:
            generator = torch.Generator(HOST).manual_seed(int(seed))
            levels = torch.randint(0, 256, (count, 3), generator=generator, device=HOST)
            return levels.to(torch.float32)
        color = PALETTE[color]
    row = tuple(color)
    return kept(
        ("levels of a colour", row),
        lambda: torch.tensor([row], dtype=torch.float32, device=HOST),  # [1, 3]
    )
