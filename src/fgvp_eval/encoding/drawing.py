"""How each visual prompt of a run is drawn: this package's way, or that of a published row."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fgvp_eval.options.presets import Drawing
from fgvp_kernels import Mode, RenderOptions
from fgvp_kernels.modes import Effect

_OFFICIAL_FRAME = 384
_SHADE_ALPHA = 127 / 255  # of ReCLIP's red tint


@dataclass(frozen=True)
class DrawStyle:
    """How one mode is drawn.

    Attributes:
        options: Colours, blur and greys.
        order: ``resize_first`` or ``render_first``, as of ``render_batch``.
        frame: Side of the square that is drawn, which is then resized to the model's input,
            bilinear without antialiasing; None draws at the model's input.
    """

    options: RenderOptions
    order: str = "resize_first"
    frame: int | None = None

    def drawn_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the size to draw at for a model's input ``(h, w)``.

        A frame over twice the input would be resized without seeing every pixel, so that small
        models get their pictures drawn at their own size.
        """
        if self.frame is None or self.frame > 2 * min(size):
            return size
        return (self.frame, self.frame)

    def colored(self, color: str) -> DrawStyle:
        """Return the style with another colour of tints, fills and outlines."""
        options = replace(self.options, tint_color=color, line_color=color)
        return replace(self, options=options)


def image_seed(seed: int, pixels: NDArray[np.uint8]) -> int:
    """Return the seed of an image's random colours.

    Images get colours of their own, which do not depend on the order or the process in which they
    are drawn.

    Args:
        seed: Of the run.
        pixels: ``[H, W, 3]``, the image.
    """
    digest = hashlib.sha256(f"{seed} {pixels.shape}".encode())
    digest.update(pixels.tobytes())
    return int.from_bytes(digest.digest()[:7], "big")


def _frame_text(style: DrawStyle) -> str:
    if style.order == "render_first":
        return "image, original size"
    if style.frame is None:
        return "short side = CLIP size"
    return f"short side = {style.frame}, or the CLIP size if below {style.frame // 2}"


def blur_facts(styles: Mapping[str, DrawStyle]) -> dict[str, Any]:
    """Return what tells one blur from another, for the record of a run.

    Args:
        styles: The style of each mode; a published row has one kind of blur.
    """
    style = next(iter(styles.values()))
    frames = {
        _frame_text(other)
        for mode, other in styles.items()
        if Mode(mode).spec.effect is Effect.BLUR
    }
    return {
        "kind": style.options.blur,
        "sigma": style.options.sigma,
        "frame": ", ".join(sorted(frames)) or "short side = CLIP size",
    }


def draw_styles(
    modes: Sequence[str], drawing: Drawing | None, seed: int, color: str | None = None
) -> dict[str, DrawStyle]:
    """Return the style of every mode.

    Args:
        modes: Canonical mode names.
        drawing: Whose way: of the released FGVP code (``"fgvp"``), of ReCLIP (``"reclip"``), or
            None for this package's own.
        seed: Seed of random colours.
        color: A colour's name or ``"random"``, for tints, fills and outlines; None for the
            style's own.
    """
    own = DrawStyle(RenderOptions(seed=seed))
    fgvp = DrawStyle(RenderOptions.official(seed=seed), frame=_OFFICIAL_FRAME)
    reclip = DrawStyle(
        RenderOptions.official(seed=seed, tint_color="cpt_red", alpha=_SHADE_ALPHA),
        order="render_first",
    )
    styles = {}
    for mode in modes:
        if drawing is None:
            style = own
        else:
            # The crop of FGVP's commands is ReCLIP's, cut from the original image.
            style = reclip if drawing == "reclip" or mode == Mode.CROP.value else fgvp
        styles[mode] = style if color is None else style.colored(color)
    return styles
