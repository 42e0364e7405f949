"""Pixel frames: where a prompt is drawn, and how that frame becomes the output.

``resize_first`` scales the image to a *canvas*, draws there, and fits the canvas into the output
by two-tap bilinear sampling or by cutting a window. ``render_first`` draws on the image itself
and resizes the drawing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from fgvp_kernels.device_tables import kept
from fgvp_kernels.options import Fit

Size = tuple[int, int]  # (height, width) in pixels

# An axis so many times as long as what is shown of it, in a frame of more than so many pixels, is
# drawn in part only.
_THIN_RATIO, _THIN_PIXELS = 8, 1 << 20
# Pixels that a canvas or a scaled frame may have; more do not fit into 32-bit indices.
LARGEST_FRAME = 2**31 - 1

_Indices: TypeAlias = npt.NDArray[np.int64]
_Weights: TypeAlias = npt.NDArray[np.float32]


class Order(Enum):
    """Whether the image is resized before or after the prompt is drawn."""

    RESIZE_FIRST = "resize_first"
    RENDER_FIRST = "render_first"


@dataclass(frozen=True)
class Frame:
    """Sizes, all (height, width), that one image passes through.

    Attributes:
        image: The original image.
        canvas: Where the prompt is drawn.
        scaled: What the drawing is resampled to before a window is cut or zeros are added.
        output: The picture handed out.
        order: Which resampling leads from ``canvas`` to ``scaled``.
        fit: How ``scaled`` becomes ``output``.
    """

    image: Size
    canvas: Size
    scaled: Size
    output: Size
    order: Order
    fit: Fit

    @property
    def visible(self) -> Size:
        """The part of ``output`` that shows the image: all of it, except under ``"pad"``."""
        return (min(self.scaled[0], self.output[0]), min(self.scaled[1], self.output[1]))

    def is_thin(self, axis: int) -> bool:
        """Whether an axis (0 or 1) is far longer than what the output shows of it."""
        lengths = self.scaled if self.order is Order.RENDER_FIRST else self.canvas
        large = lengths[0] * lengths[1] > _THIN_PIXELS
        return large and lengths[axis] > _THIN_RATIO * self.visible[axis]

    @property
    def thin(self) -> bool:
        """Whether either axis is thin."""
        return self.is_thin(0) or self.is_thin(1)

    @property
    def moves(self) -> bool:
        """Whether every candidate is shown in a window about its own box."""
        return self.fit == "object_crop" and self.visible != self.scaled

    def window_origin(self, centre: tuple[float, float] | None = None) -> tuple[int, int]:
        """Top left corner (y, x) of the output window in ``scaled``.

        Args:
            centre: Where to centre the window, (y, x) in pixels of ``scaled``; the frame's own
                centre without it. A window that would leave the frame is pushed back inside.
        """
        if centre is None:
            rows, columns = self.scaled[0] - self.visible[0], self.scaled[1] - self.visible[1]
            return (round(rows / 2.0), round(columns / 2.0))
        origin = []
        for middle, whole, part in zip(centre, self.scaled, self.visible, strict=True):
            origin.append(int(min(max(middle - part * 0.5, 0.0), float(whole - part))))
        return (origin[0], origin[1])


def make_frame(image: Size, size: Size | None, order: Order, fit: Fit) -> Frame:
    """Return the frame of an image of size ``image`` drawn into pictures of size ``size``.

    Raises:
        ValueError: The short side at ``size`` would make the long one longer than can be drawn.
    """
    if size is None:
        return Frame(image, image, image, image, order, fit)
    if fit == "squash":
        scaled = size
        canvas = _scaled_size(image, max(size[0] / image[0], size[1] / image[1]))
    else:
        ratios = (size[0] / image[0], size[1] / image[1])
        scaled = _scaled_size(image, min(ratios) if fit == "pad" else max(ratios))
        canvas = scaled
    if order is Order.RENDER_FIRST:
        canvas = image
    for height, width in (canvas, scaled):
        if height * width > LARGEST_FRAME and (height, width) != image:
            raise ValueError(
                f"size={size} is too large for a picture, or a crop, of {image[0]}x{image[1]} "
                f"pixels: with its short side at that size it would have {height}x{width}, more "
                f"than {LARGEST_FRAME} pixels"
            )
    return Frame(image, canvas, scaled, size, order, fit)


def _scaled_size(image: Size, scale: float) -> Size:
    return (max(int(image[0] * scale + 0.5), 1), max(int(image[1] * scale + 0.5), 1))


@dataclass(frozen=True)
class Taps:
    """Bilinear sampling of an axis without antialiasing: two source pixels for each target.

    ``value[i] = (1 - fraction[i]) · source[first[i]] + fraction[i] · source[second[i]]``, the
    coordinates computed in float32 as ``torch.nn.functional.interpolate`` computes them where there
    is fused multiply-add (GPUs and today's CPUs): a binary mask has the pixels that it has there.

    Attributes:
        first, second: int64 ``[target]``; equal where the fraction is 0, so that "any tap is set"
            means exactly "the interpolated mask is > 0".
        fraction: float32 ``[target]`` in [0, 1).
    """

    first: torch.Tensor
    second: torch.Tensor
    fraction: torch.Tensor


def bilinear_taps(source: int, target: int, pixels: torch.Tensor | None = None) -> Taps:
    """Return the taps that resize an axis of ``source`` pixels to ``target`` pixels.

    ``pixels`` are the targets whose taps are wanted, int64; all without it.
    """
    if pixels is None:
        # Kept as arrays: not as tensors, which a compiler may be tracing.
        tables = kept(("taps of an axis", source, target), lambda: tap_tables([source], [target]))
    else:
        tables = tap_tables([source], [target], pixels.numpy())
    first, second, fraction = (torch.from_numpy(table[0]) for table in tables)
    return Taps(first, second, fraction)


def tap_tables(
    sources: Sequence[int], targets: Sequence[int], pixels: _Indices | None = None
) -> tuple[_Indices, _Indices, _Weights]:
    """The taps of several axes at once: first, second and fraction, ``[n, max(targets)]`` each.

    Beyond an axis's target they go on as if it were longer, within its source. ``pixels`` are the
    targets whose taps are wanted, instead of all.
    """
    pixels = np.arange(max(targets)) if pixels is None else pixels
    last = np.array(sources, np.int64)[:, None] - 1  # [n, 1]
    scale = np.array(sources, np.float32)[:, None] / np.array(targets, np.float32)[:, None]
    # One rounding, as fused multiply-add leaves it: what float64 makes of float32 numbers is exact.
    position = scale.astype(np.float64) * (pixels + 0.5) - 0.5
    position = np.maximum(position, 0.0).astype(np.float32)  # [n, L]
    first = np.minimum(position.astype(np.int64), last)
    fraction = np.clip(position - first.astype(np.float32), 0.0, 1.0).astype(np.float32)
    second = np.minimum(np.where(fraction > 0, first + 1, first), last)
    return first, second, np.where(second > first, fraction, np.float32(0.0))
