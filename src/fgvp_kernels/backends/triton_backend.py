"""The Triton backend: the pictures of a whole batch in a handful of launches.

``triton_drawing`` draws whole images, ``triton_crops`` modes that crop. What candidates do not
share (the resampling of ``render_first``, windows and colours of their own, crops) is drawn by
``triton_windows``, and has no gradients here.
"""

from __future__ import annotations

import torch

from fgvp_kernels.backends.triton_crops import draw_crops
from fgvp_kernels.backends.triton_drawing import drawings
from fgvp_kernels.backends.triton_gradients import render_tracked
from fgvp_kernels.backends.triton_windows import shares_pictures
from fgvp_kernels.batch import RenderBatch
from fgvp_kernels.frames import Order, make_frame


def unsupported(batch: RenderBatch) -> str | None:
    """Return why this backend cannot draw ``batch``, or None if it can."""
    settings = batch.settings
    if settings.dtype == torch.float64 or any(
        image.image.dtype == torch.float64 for image in batch.images
    ):
        return "float64"
    tracked = torch.is_grad_enabled() and settings.dtype != torch.uint8
    if tracked and any(leaf is not None and leaf.requires_grad for leaf in batch.inputs):
        return without_gradients(batch)
    return None


def without_gradients(batch: RenderBatch) -> str | None:
    """Return why this backend has no gradients of the pictures of ``batch``, or None if it has."""
    settings = batch.settings
    if any(spec.crop for spec in settings.specs):
        return "gradients of modes that crop"
    frames = [
        make_frame(image.size, settings.size, settings.order, settings.options.fit)
        for image in batch.images
    ]
    if all(shares_pictures(spec, frames, batch) for spec in settings.specs):
        return None
    if any(frame.moves for frame in frames):
        return "gradients of fit='object_crop'"
    if settings.order is Order.RENDER_FIRST and any(f.scaled != f.canvas for f in frames):
        return "gradients of order='render_first' at another size than the image's"
    return "gradients with colours that differ between candidates"


def render(batch: RenderBatch, out: torch.Tensor) -> None:
    """Draw every candidate of ``batch`` in every mode into ``out [K, ΣN, 3, h, w]``."""
    if torch.is_grad_enabled() and out.is_floating_point() and render_tracked(batch, out):
        return
    settings = batch.settings
    if not all(spec.crop for spec in settings.specs):
        for drawing in drawings(batch, settings.order, out):
            drawing.draw()
    if any(spec.crop for spec in settings.specs):
        for images in drawings(batch, Order.RENDER_FIRST, out):  # canvases are the images
            draw_crops(images)
