"""Images and colour effects on the drawing canvas, in plain torch: the two planes of a mode.

Everything here is in levels 0-255, floating point.
"""

from __future__ import annotations

from functools import cached_property

import torch
import torch.nn.functional as F

from fgvp_kernels.axis_operators import blur_image
from fgvp_kernels.frames import Size
from fgvp_kernels.modes import Effect
from fgvp_kernels.options import Luma, RenderOptions

# ITU-R BT.601 luma of R, G, B.
BT601 = (0.299, 0.587, 0.114)


def resize_image(image: torch.Tensor, size: Size, dtype: torch.dtype) -> torch.Tensor:
    """Antialiased bilinear resize, as Pillow does it.

    Args:
        image: ``[3, H, W]``, uint8 levels or float in [0, 1].
        size: (h, w).
        dtype: Floating point type to work in.

    Returns:
        ``[3, h, w]`` levels of type ``dtype``; whole levels where ``image`` has them, as a
        picture that Pillow resized would have.
    """
    whole = image.dtype == torch.uint8
    levels = image[None] if whole else image[None].to(dtype) * 255.0  # [1, 3, H, W]
    if tuple(image.shape[1:]) != size:
        if whole and (image.device.type != "cpu" or min(size) == 1):
            # Only the CPU resizes bytes, and it fails on a side of 1 (torch 2.14). Pillow resizes
            # columns first and rounds in between.
            columns = _antialiased(levels.to(dtype), (image.shape[1], size[1]))
            levels = _antialiased((columns + 0.5).floor(), size)
            levels = (levels + 0.5).floor()
        else:
            levels = _antialiased(levels, size)
    return levels[0].to(dtype)


def _antialiased(levels: torch.Tensor, size: Size) -> torch.Tensor:
    if size[1] == 1:
        # On the CPU torch 2.14 resizes the rows of a picture one pixel wide wrongly.
        return F.interpolate(levels.mT, size[::-1], mode="bilinear", antialias=True).mT
    return F.interpolate(levels, size, mode="bilinear", antialias=True)


def luma(levels: torch.Tensor, weights: Luma) -> torch.Tensor:
    """Grey of ``levels [3, h, w]``, in all three channels."""
    red, green, blue = BT601 if weights == "bt601" else BT601[::-1]
    grey = red * levels[0] + green * levels[1] + blue * levels[2]  # [h, w]
    return grey.expand(3, -1, -1)


class Canvas:
    """The resized image and, made when first asked for, its blur and its grey."""

    def __init__(self, levels: torch.Tensor, options: RenderOptions) -> None:
        self.levels = levels  # [3, h, w]
        self.options = options

    @cached_property
    def blurred(self) -> torch.Tensor:
        """``[3, h, w]``."""
        return blur_image(self.levels, self.options.sigma, self.options.blur)

    def changed(
        self, effect: Effect, line_color: torch.Tensor, tint_color: torch.Tensor
    ) -> torch.Tensor:
        """The picture under an effect.

        Args:
            effect: What is done to every pixel.
            line_color, tint_color: float levels ``[1, 3]`` or ``[n, 3]``.

        Returns:
            ``[1, 3, h, w]``, or ``[n, 3, h, w]`` where it depends on a colour that differs between
            candidates; h = w = 1 where it is one colour.
        """
        plain = self.levels[None]  # [1, 3, h, w]
        alpha = self.options.alpha
        if effect is Effect.OUTLINE:
            return line_color[:, :, None, None]
        if effect is Effect.TINT:
            return (1.0 - alpha) * plain + alpha * tint_color[:, :, None, None]
        if effect is Effect.FILL:
            return tint_color[:, :, None, None]
        if effect is Effect.GREY:
            return luma(self.levels, self.options.luma)[None]
        if effect is Effect.BLUR:
            return self.blurred[None]
        return plain
