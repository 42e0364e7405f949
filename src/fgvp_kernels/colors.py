"""Colours of tints and lines: names, RGB triples, random ones, or one for each candidate."""

from __future__ import annotations

from collections.abc import Sequence

import torch

ColorLike = str | Sequence[int] | torch.Tensor

RANDOM = "random"

# RGB, 0-255. The names and values of the released FGVP code.
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


def check_color(name: str, color: object) -> None:
    """Raise TypeError or ValueError, naming the option, unless ``color`` is a colour."""
    if isinstance(color, str):
        if color != RANDOM and color not in PALETTE:
            raise ValueError(
                f"{name} must be one of {', '.join([*PALETTE, RANDOM])}, "
                f"an RGB triple or an [N, 3] tensor; got {color!r}"
            )
    elif isinstance(color, torch.Tensor):
        if color.ndim != 2 or color.shape[1] != 3:
            raise ValueError(f"{name} as a tensor must be [N, 3], got {list(color.shape)}")
        if color.dtype == torch.bool or color.is_complex():
            raise TypeError(f"{name} as a tensor must hold RGB levels 0-255, got {color.dtype}")
        if color.numel() and not (color.min() >= 0 and color.max() <= 255):
            raise ValueError(f"{name} as a tensor must hold RGB levels between 0 and 255")
    elif isinstance(color, Sequence):
        levels = list(color)
        if len(levels) != 3 or not all(isinstance(level, int) for level in levels):
            raise ValueError(f"{name} as a triple must be three ints, got {color!r}")
        if not all(0 <= level <= 255 for level in levels):
            raise ValueError(f"{name} must have levels between 0 and 255, got {color!r}")
    else:
        raise TypeError(
            f"{name} must be a name, an RGB triple or an [N, 3] tensor, got {type(color).__name__}"
        )


def resolve_color(name: str, color: ColorLike, count: int, seed: int) -> torch.Tensor:
    """Return the levels of ``color`` for ``count`` candidates.

    Args:
        name: The option's name, for messages.
        color: A colour that :func:`check_color` accepts.
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
            generator = torch.Generator().manual_seed(int(seed))
            return torch.randint(0, 256, (count, 3), generator=generator).to(torch.float32)
        color = PALETTE[color]
    return torch.tensor([list(color)], dtype=torch.float32)  # [1, 3]
