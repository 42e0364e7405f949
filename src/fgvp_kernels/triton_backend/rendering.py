"""The Triton backend: the pictures of a whole batch in a handful of launches.

``triton_drawing`` draws whole images, ``triton_crops`` modes that crop. What candidates do not
share (the resampling of ``render_first``, windows and colours of their own, crops) is drawn by
``triton_windows``. Thin pictures and crops, whose canvases would be far larger than image and
output, are drawn by the torch backend on the same device.
"""

from __future__ import annotations

import torch

from fgvp_kernels.batch import RenderBatch, Settings
from fgvp_kernels.frames import Order, Size, make_frame
from fgvp_kernels.torch_backend import rendering as torch_rendering
from fgvp_kernels.triton_backend.crops import draw_crops
from fgvp_kernels.triton_backend.drawing import drawings


def unsupported(batch: RenderBatch) -> str | None:
    """Return why this backend cannot draw ``batch``, or None if it can."""
    settings = batch.settings
    if settings.dtype == torch.float64 or any(
        image.image.dtype == torch.float64 for image in batch.images
    ):
        return "float64"
    if batch.records_gradients and settings.dtype != torch.uint8:
        return "gradients (backend 'torch' has them, and 'auto' takes it; or use torch.no_grad())"
    return None


def render(batch: RenderBatch, out: torch.Tensor) -> None:
    """Draw every candidate of ``batch`` in every mode into ``out [K, ΣN, 3, h, w]``."""
    settings = batch.settings
    whole = [k for k, spec in enumerate(settings.specs) if not spec.crop]
    if whole:
        thin = [image for image in batch.images if _is_thin(image.size, settings)]
        for image in thin:
            torch_rendering.draw(image, batch, whole, out)
        rest = tuple(image for image in batch.images if image not in thin) if thin else batch.images
        for drawing in drawings(rest, batch, settings.order, out):
            drawing.draw()
    if any(spec.crop for spec in settings.specs):
        # Canvases are the images.
        for images in drawings(batch.images, batch, Order.RENDER_FIRST, out):
            draw_crops(images)


def _is_thin(image: Size, settings: Settings) -> bool:
    if settings.size is None:
        return False
    return make_frame(image, settings.size, settings.order, settings.options.fit).thin
