"""Drawing of visual prompts at the size and with the normalisation that a CLIP takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch.nn import functional

from fgvp_eval.encoding.clip_models import PictureSpec
from fgvp_eval.encoding.drawing import DrawStyle, image_seed
from fgvp_eval.masks.masked_image import MaskedImage
from fgvp_kernels import RenderOptions, render_batch
from fgvp_kernels.colors import RANDOM, ColorLike, resolve_color


def draw_candidates(
    images: Sequence[MaskedImage],
    candidates: Sequence[Sequence[int]],
    modes: Sequence[str],
    *,
    style: DrawStyle,
    spec: PictureSpec,
    dtype: torch.dtype,
    device: torch.device,
) -> torch.Tensor:
    """Draw some candidates of several images in one call of the renderer.

    Args:
        images: The images.
        candidates: Which candidates of each, n in all.
        modes: K canonical mode names.
        style: How to draw them.
        spec: Size and normalisation of the pictures.
        dtype: Of the pictures.
        device: Where to draw.

    Returns:
        ``[K, n, 3, h, w]`` on ``device``.
    """
    drawn = [
        (image.drawn_on(style.order), list(own))
        for image, own in zip(images, candidates, strict=True)
        if own
    ]
    height, width = style.drawn_size(spec.size)
    pictures = render_batch(
        [torch.from_numpy(image.pixels).permute(2, 0, 1) for image, _ in drawn],  # each [3, H, W]
        [image.masks[own].to(device) for image, own in drawn],  # each [n, H, W]
        modes,
        boxes=[
            torch.tensor([image.boxes_xyxy[index] for index in own], dtype=torch.float32)
            for image, own in drawn
        ],  # each [n, 4]
        size=height if height == width else (height, width),
        order=style.order,
        options=_with_own_colors(style.options, drawn),
        normalize=(spec.mean, spec.std),
        dtype=dtype,
        device=device,
    )  # [K, n, 3, height, width]
    return _resized(pictures, spec.size)


def draw_prompts(
    image: MaskedImage,
    candidates: Sequence[int],
    styles: Mapping[str, DrawStyle],
    *,
    spec: PictureSpec,
    dtype: torch.dtype,
    device: torch.device,
) -> torch.Tensor:
    """Draw n candidates of an image under K modes, each in its style, ``[K, n, 3, h, w]``.

    The pictures are those that :class:`PictureEncoder` encodes; arguments are those of
    :func:`draw_candidates`.
    """
    drawn: dict[str, torch.Tensor] = {}
    for style, modes in modes_of_styles(styles).items():
        pictures = draw_candidates(
            [image], [candidates], modes, style=style, spec=spec, dtype=dtype, device=device
        )
        drawn.update(zip(modes, pictures, strict=True))
    return torch.stack([drawn[mode] for mode in styles])


def modes_of_styles(styles: Mapping[str, DrawStyle]) -> dict[DrawStyle, list[str]]:
    """Return the modes that are drawn in each style."""
    members_of: dict[DrawStyle, list[str]] = {}
    for mode, style in styles.items():
        members_of.setdefault(style, []).append(mode)
    return members_of


def _with_own_colors(
    options: RenderOptions, drawn: Sequence[tuple[MaskedImage, Sequence[int]]]
) -> RenderOptions:
    """Return options whose random colours depend on an image and a candidate's place in it alone.

    Args:
        options: Of all modes of a call.
        drawn: Each image and which of its candidates the call draws.
    """

    def own(name: str, color: ColorLike) -> ColorLike:
        if color != RANDOM:
            return color
        return torch.cat(
            [
                resolve_color(name, RANDOM, len(image), image_seed(options.seed, image.pixels))[own]
                for image, own in drawn
            ]
        )  # [n, 3]

    return replace(
        options,
        line_color=own("line_color", options.line_color),
        tint_color=own("tint_color", options.tint_color),
    )


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
