"""Crops without a mark, in plain torch: nothing is drawn, so each is resized straight to its place.

Of the canvas of a crop only the pixels are made that the output samples, first taps and second taps
side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from fgvp_kernels.batch import Settings
from fgvp_kernels.device_tables import HOST
from fgvp_kernels.frames import Frame, Order, bilinear_taps, make_frame
from fgvp_kernels.torch_backend.canvas import Colors, changed, pack, resize_image
from fgvp_kernels.torch_backend.compose import finish
from fgvp_kernels.torch_backend.resampling import BicubicMatrices

Window = tuple[int, int, int, int]  # x0, y0, x1, y1 in whole pixels of the image, ends excluded


def draw_plain_crops(
    image: torch.Tensor,
    windows: Mapping[int, Window],
    colors: Colors,
    settings: Settings,
    modes: Sequence[int],
    pictures: torch.Tensor,
) -> None:
    """Draw modes that show a crop as it is, or tinted all over.

    Args:
        image: ``[3, H, W]``, uint8 levels or float in [0, 1].
        windows: Of the candidates to draw, by number.
        colors: Of all N candidates, or shared.
        settings: Of the call; every fit but ``"object_crop"``.
        modes: Indices of the modes.
        pictures: ``[K, N, 3, h, w]``; written.
    """
    if not windows:
        return
    x0, y0 = (min(window[axis] for window in windows.values()) for axis in (0, 1))
    x1, y1 = (max(window[axis] for window in windows.values()) for axis in (2, 3))
    area = sum((right - left) * (bottom - top) for left, top, right, bottom in windows.values())
    image = image[:, y0:y1, x0:x1]
    # Once for all, where windows overlap so much that it is less work than for each.
    if image.dtype == torch.uint8 and image.device.type == "cpu" and (y1 - y0) * (x1 - x0) < area:
        image = pack(image)

    for i, (left, top, right, bottom) in windows.items():
        window = image[:, top - y0 : bottom - y0, left - x0 : right - x0]
        one = slice(i, i + 1)
        _draw(window, colors.of(one), settings, modes, pictures[:, one])


def _draw(
    window: torch.Tensor,
    colors: Colors,
    settings: Settings,
    modes: Sequence[int],
    pictures: torch.Tensor,
) -> None:
    """Draw one candidate's ``window`` of an image, ``[3 | 4, H, W]``, into ``[K, 1, 3, h, w]``."""
    size, dtype = (pictures.shape[3], pictures.shape[4]), colors.tint.dtype
    image_size = (window.shape[1], window.shape[2])
    frame = make_frame(image_size, size, settings.order, settings.options.fit)
    resample = _Resample(frame, pictures.device, dtype)
    levels = resize_image(window, frame.canvas, dtype, *resample.pixels)
    height, width = frame.visible
    for k in modes:
        picture = changed(levels, settings.specs[k].effect, colors, settings.options)
        target = pictures[k, :, :, :height, :width]  # [1, 3, y, x]
        if target.shape[2:] != size:
            pictures[k].zero_()
        _finish_into(resample(picture), settings, target)


class _Resample:
    """From the sampled pixels of a canvas to what the output shows.

    Attributes:
        pixels: The rows and columns of the canvas that are sampled; None for all.
    """

    def __init__(self, frame: Frame, device: torch.device, dtype: torch.dtype) -> None:
        self.pixels: list[torch.Tensor | None] = [None, None]
        self.fraction: torch.Tensor | None = None
        self.matrices: BicubicMatrices | None = None
        origin = frame.window_origin()
        if frame.order is Order.RENDER_FIRST and frame.scaled != frame.canvas:
            like = torch.empty(0, dtype=dtype, device=device)
            self.matrices = BicubicMatrices.of(frame, origin, like).shown(frame, origin)
            return
        for axis in (0, 1):
            length, shown = frame.canvas[axis], frame.visible[axis]
            if length == frame.scaled[axis]:
                if shown != length:
                    self.pixels[axis] = torch.arange(
                        origin[axis], origin[axis] + shown, device=HOST
                    )
                continue
            taps = bilinear_taps(length, shown)
            self.axis = axis - 2
            self.pixels[axis] = torch.cat([taps.first, taps.second])
            self.fraction = taps.fraction.to(device, dtype)
            if axis == 0:
                self.fraction = self.fraction[:, None]

    def __call__(self, levels: torch.Tensor) -> torch.Tensor:
        """Levels ``[1, 3, h, w]`` of the output."""
        if self.matrices is not None:
            levels = self.matrices.rows @ levels @ self.matrices.columns.mT
            return levels.clamp(0.0, 255.0)
        if self.fraction is None:
            return levels
        first, second = levels.chunk(2, self.axis)
        return torch.lerp(first, second, self.fraction)


def _finish_into(levels: torch.Tensor, settings: Settings, target: torch.Tensor) -> None:
    """:func:`finish`, straight into ``target [1, 3, h, w]`` where nothing has to be converted."""
    if levels.requires_grad or target.dtype != levels.dtype:
        target.copy_(finish(levels, settings))
        return
    # Of one picture, a row of each channel: the more is read beside it, the longer it takes.
    scale, shift = (table[:, :1] for table in settings.affine(levels))
    torch.addcmul(shift, levels, scale, out=target)
