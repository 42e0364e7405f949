"""Drawing of visual prompts at the size and with the normalisation that a CLIP takes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from fgvp_eval.clip_models import PictureSpec
from fgvp_eval.drawing import DrawStyle
from fgvp_kernels import render_batch


def draw_prompts(
    pixels: torch.Tensor,
    masks: torch.Tensor,
    boxes: torch.Tensor,
    *,
    modes: Sequence[str],
    styles: Sequence[DrawStyle],
    spec: PictureSpec,
    dtype: torch.dtype,
    device: torch.device,
) -> torch.Tensor:
    """Draw all candidates under all modes, one call of the renderer for each style.

    Args:
        pixels: ``[3, H, W]`` uint8 RGB.
        masks: ``[N, H, W]`` bool.
        boxes: ``[N, 4]`` float32, xyxy in pixels of the image.
        modes: K canonical mode names.
        styles: How to draw each mode.
        spec: Size and normalisation of the pictures.
        dtype: Of the pictures.
        device: Where to draw.

    Returns:
        ``[K, N, 3, h, w]`` on ``device``.
    """
    members_of: dict[DrawStyle, list[int]] = {}
    for index, style in enumerate(styles):
        members_of.setdefault(style, []).append(index)
    drawn: list[torch.Tensor] = []
    for style, members in members_of.items():
        height, width = style.drawn_size(spec.size)
        pictures = render_batch(
            pixels.to(device),
            masks.to(device),
            [modes[index] for index in members],
            boxes=boxes.to(device),
            size=height if height == width else (height, width),
            order=style.order,
            options=style.options,
            normalize=(spec.mean, spec.std),
            dtype=dtype,
            device=device,
        )  # [members, N, 3, height, width]
        drawn.append(_resized(pictures, spec.size))
    if len(drawn) == 1:
        return drawn[0]
    order = torch.tensor([index for members in members_of.values() for index in members])
    return torch.cat(drawn)[torch.argsort(order)]


def _resized(pictures: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return pictures ``[K, N, 3, *, *]`` at a model's size ``(h, w)``, ``[K, N, 3, h, w]``.

    Bilinear without antialiasing, as in the released code.
    """
    if pictures.shape[-2:] == size:
        return pictures
    flat = functional.interpolate(
        pictures.flatten(0, 1), size, mode="bilinear", align_corners=False
    )  # [K*N, 3, h, w]
    return flat.reshape(*pictures.shape[:3], *size)
