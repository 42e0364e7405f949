"""Images and colour effects on the drawing canvas, in plain torch: the two planes of a mode.

Everything here is in levels 0-255, floating point.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from fgvp_kernels.axis_operators import blur_image
from fgvp_kernels.batch import color_rows
from fgvp_kernels.device_tables import HOST
from fgvp_kernels.frames import Size
from fgvp_kernels.modes import Effect
from fgvp_kernels.options import Luma, RenderOptions
from fgvp_kernels.torch_backend.partial_blur import blur_pixels
from fgvp_kernels.torch_backend.resampling import View

# ITU-R BT.601 luma of R, G, B.
BT601 = (0.299, 0.587, 0.114)

_Words: TypeAlias = npt.NDArray[np.uint32]
_Indices: TypeAlias = npt.NDArray[np.int64]


def pack(image: torch.Tensor) -> torch.Tensor:
    """uint8 ``[3, H, W]`` as ``[4, H, W]`` whose four bytes of a pixel lie together in memory.

    What torch resizes fastest on a CPU, and copies without looking at channels. The fourth is 0.
    """
    red, green, blue = image.numpy()
    words = blue.astype("<u4")  # [H, W]
    for channel in (green, red):
        words <<= 8
        words |= channel
    pixels = torch.from_numpy(words).view(torch.uint8)
    return pixels.view(*words.shape, 4).permute(2, 0, 1)


def resize_image(
    image: torch.Tensor,
    size: Size,
    dtype: torch.dtype,
    rows: torch.Tensor | None = None,
    columns: torch.Tensor | None = None,
) -> torch.Tensor:
    """Antialiased bilinear resize, as Pillow does it.

    Args:
        image: ``[3, H, W]``, uint8 levels or float in [0, 1]; or what :func:`pack` makes of bytes.
        size: (h, w).
        dtype: Floating point type to work in.
        rows, columns: int64 indices, to make no more of the resized picture than those.

    Returns:
        ``[3, h, w]`` levels of type ``dtype``; whole levels where ``image`` has them, as a
        picture that Pillow resized would have.
    """
    if image.dtype == torch.uint8 and image.device.type == "cpu":
        return _resize_bytes(image, size, dtype, rows, columns)
    whole = image.dtype == torch.uint8
    levels = image[None].to(dtype) if whole else image[None].to(dtype) * 255.0  # [1, 3, H, W]
    # Columns first, and whole levels in between, as Pillow does it.
    levels = _resize_axis(levels, -1, size[1], columns, whole)
    return _resize_axis(levels, -2, size[0], rows, whole)[0]


def _resize_axis(
    levels: torch.Tensor, axis: int, length: int, wanted: torch.Tensor | None, whole: bool
) -> torch.Tensor:
    """Resize one axis of float ``[1, 3, H, W]`` to ``length``, of which some are ``wanted``."""
    source = levels.shape[axis]
    if source == length:
        return _select(levels, axis, wanted)
    if wanted is None or not _few(wanted, source, length):
        return _select(_antialiased(levels, axis, length, whole), axis, wanted)
    first, second, share = _enlarging_taps(wanted.numpy(), source, length)
    low, high = (
        levels.index_select(axis, torch.from_numpy(taps).to(levels.device))
        for taps in (first, second)
    )
    shape = (-1,) if axis == -1 else (-1, 1)
    levels = torch.lerp(low, high, torch.from_numpy(share).to(levels).view(shape))
    return (levels + 0.5).floor() if whole else levels


def _few(wanted: torch.Tensor, source: int, length: int) -> bool:
    """Whether so little is wanted of an enlarged axis that the rest is better not made."""
    return length > source and length > 4 * len(wanted)


def _enlarging_taps(
    wanted: _Indices, source: int, length: int
) -> tuple[_Indices, _Indices, npt.NDArray[np.float64]]:
    """The two pixels of an axis behind each wanted one of its enlargement, the second's share."""
    place = (wanted + 0.5) * (source / length) - 0.5
    below = np.floor(place)
    first, second = (np.clip(below + step, 0, source - 1).astype(np.int64) for step in (0, 1))
    return first, second, place - below


def _antialiased(levels: torch.Tensor, axis: int, length: int, whole: bool) -> torch.Tensor:
    size = [*levels.shape[2:]]
    size[axis] = length
    if size[1] == 1:
        # On the CPU torch 2.14 resizes the rows of a picture one pixel wide wrongly.
        levels = F.interpolate(levels.mT, size[::-1], mode="bilinear", antialias=True).mT
    else:
        levels = F.interpolate(levels, size, mode="bilinear", antialias=True)
    return (levels + 0.5).floor() if whole else levels


def _select(levels: torch.Tensor, axis: int, wanted: torch.Tensor | None) -> torch.Tensor:
    return levels if wanted is None else levels.index_select(axis, wanted.to(levels.device))


def _resize_bytes(
    image: torch.Tensor,
    size: Size,
    dtype: torch.dtype,
    rows: torch.Tensor | None,
    columns: torch.Tensor | None,
) -> torch.Tensor:
    """:func:`resize_image` of bytes on the CPU."""
    if tuple(image.shape[1:]) != size:
        pixels = (image if len(image) == 4 else pack(image)).permute(1, 2, 0)  # [H, W, 4]
        words = _resize_words(_words(pixels), 1, size[1], columns)  # [H, n]
        # Rows are resized whatever their bytes mean: one channel after the other, which become
        # floating point numbers several times faster than mixed ones.
        height, width = words.shape
        planes = np.empty((height, -(-3 * width // 4) * 4), np.uint8)
        for channel in range(3):
            plane = planes[:, channel * width : (channel + 1) * width]
            np.copyto(plane, words.view("<u4") >> 8 * channel, casting="unsafe")
        words = _resize_words(planes.view(np.uint32), 0, size[0], rows)
        lines = torch.from_numpy(words).view(torch.uint8)[:, : 3 * width]
        levels = lines.view(len(lines), 3, width).transpose(0, 1)  # [3, h, n]
    else:
        levels = image[:3]
        levels = levels if columns is None else levels.index_select(2, columns)
        levels = levels if rows is None else levels.index_select(1, rows)
    return torch.empty(levels.shape, dtype=dtype, device=HOST).copy_(levels)


def _words(bytes_: torch.Tensor) -> _Words:
    """uint32 ``[h, w]`` of ``[h, w, 4]`` or ``[h, 4 w]`` bytes."""
    rows = np.ascontiguousarray(bytes_.numpy()).reshape(len(bytes_), -1)
    words: _Words = rows.view(np.uint32)
    return words


def _resize_words(words: _Words, axis: int, length: int, wanted: torch.Tensor | None) -> _Words:
    """Resize one axis of four bytes a pixel, ``[h, w]``, to ``length``; keep the ``wanted``."""
    source = words.shape[axis]
    if wanted is not None and source != length and _few(wanted, source, length):
        return _enlarge_words(words, axis, length, wanted.numpy())
    if source != length:
        height, width = words.shape
        pixels = torch.from_numpy(np.ascontiguousarray(words)).view(torch.uint8)  # [h, 4 w]
        # With strides that torch knows for "channels last", which is far faster.
        pixels = pixels.view(1, height, width, 4).permute(0, 3, 1, 2)
        size = (height, length) if axis == 1 else (length, width)
        pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True)  # [1, 4, h, w]
        words = _words(pixels[0].permute(1, 2, 0))
    return words if wanted is None else words.take(wanted.numpy(), axis, mode="clip")


def _enlarge_words(words: _Words, axis: int, length: int, wanted: _Indices) -> _Words:
    """The wanted pixels of an axis enlarged as torch and Pillow do it, in 14-bit fixed point."""
    first, second, share = _enlarging_taps(wanted, words.shape[axis], length)
    one = 1 << 14
    shape = (-1, 1, 1) if axis == 0 else (-1, 1)
    total = np.full((1, 1, 1), one >> 1, np.uint32)
    for taps, weights in ((first, 1.0 - share), (second, share)):
        fixed = np.floor(weights * one + 0.5).astype(np.uint32).reshape(shape)
        bytes_ = np.ascontiguousarray(words.take(taps, axis))[..., None].view(np.uint8)
        total = total + fixed * bytes_  # [h, w, 4]
    levels = np.minimum(total >> 14, 255).astype(np.uint8)
    enlarged: _Words = levels.view(np.uint32)[..., 0]
    return enlarged


def luma(levels: torch.Tensor, weights: Luma) -> torch.Tensor:
    """Grey of ``levels [3, h, w]``, in all three channels."""
    red, green, blue = BT601 if weights == "bt601" else BT601[::-1]
    grey = red * levels[0] + green * levels[1] + blue * levels[2]  # [h, w]
    return grey.expand(3, -1, -1)


@dataclass(frozen=True, eq=False)
class Colors:
    """Line and tint colour of some candidates: levels ``[1, 3]`` or ``[n, 3]`` each."""

    line: torch.Tensor
    tint: torch.Tensor

    def of(self, rows: slice) -> Colors:
        """The colours of these candidates."""
        return Colors(color_rows(self.line, rows), color_rows(self.tint, rows))

    @property
    def shared(self) -> bool:
        """All candidates have the same colours."""
        return len(self.line) == len(self.tint) == 1


def changed(
    levels: torch.Tensor, effect: Effect, colors: Colors, options: RenderOptions
) -> torch.Tensor:
    """A picture under an effect that looks at one pixel at a time.

    Args:
        levels: float ``[3, h, w]``.
        effect: What is done to every pixel, but not a blur.
        colors: Of n candidates, or one for all.
        options: Weight of the tint, and of the channels in grey.

    Returns:
        ``[1, 3, h, w]``, or ``[n, 3, h, w]`` where it depends on a colour that differs between
        candidates; h = w = 1 where it is one colour.
    """
    if effect is Effect.OUTLINE:
        return colors.line[:, :, None, None]
    if effect is Effect.FILL:
        return colors.tint[:, :, None, None]
    if effect is Effect.TINT:
        tint = colors.tint[:, :, None, None]
        return (1.0 - options.alpha) * levels[None] + options.alpha * tint
    if effect is Effect.GREY:
        return luma(levels, options.luma)[None]
    return levels[None]


class Canvas:
    """What is drawn of the resized image and, made when first asked for, of its blur."""

    def __init__(
        self, image: torch.Tensor, view: View, options: RenderOptions, dtype: torch.dtype
    ) -> None:
        self.image = image
        self.view = view
        self.options = options
        self.levels = resize_image(image, view.canvas, dtype, view.rows, view.columns)  # [3, h, w]

    @cached_property
    def blurred(self) -> torch.Tensor:
        """``[3, h, w]``."""
        view, options = self.view, self.options
        if not view.is_part or options.sigma == 0:
            return blur_image(self.levels, options.sigma, options.blur)
        size = (self.image.shape[1], self.image.shape[2])
        enlarged = size[0] <= view.canvas[0] and size[1] <= view.canvas[1]
        source = resize_image(self.image, size if enlarged else view.canvas, self.levels.dtype)
        return blur_pixels(
            source, view.canvas, view.rows, view.columns, options.sigma, options.blur
        )

    def changed(self, effect: Effect, colors: Colors) -> torch.Tensor:
        """What is drawn, under an effect: see :func:`changed`."""
        if effect is Effect.BLUR:
            return self.blurred[None]
        return changed(self.levels, effect, colors, self.options)
