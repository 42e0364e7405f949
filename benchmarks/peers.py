"""What a user would write without this package: the renderer's rivals, one call for a batch.

All blur outside the masks at ``size`` and normalise for CLIP; none resizes the image first, since
the workloads give images of the size drawn at.
"""

from __future__ import annotations

from importlib import import_module

import torch
import torch.nn.functional as F

from fgvp_kernels.axis_operators import blur_image
from fgvp_kernels.batch import CLIP_MEAN, CLIP_STD

_MODULES = {"kornia": "kornia.filters", "torchvision": "torchvision.transforms.v2.functional"}


def _affine(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    mean = torch.tensor(CLIP_MEAN, device=device)[:, None, None]
    return mean, torch.tensor(CLIP_STD, device=device)[:, None, None]


def select_with_torch(images: torch.Tensor, masks: torch.Tensor, sigma: float) -> torch.Tensor:
    """The same idea in plain torch operations, which ``torch.compile`` may fuse.

    images: uint8 ``[B, 3, S, S]``; masks: bool ``[B, N, S, S]``; returns fp16 ``[B·N, 3, S, S]``.
    """
    mean, std = _affine(images.device)
    levels = images.float() / 255  # [B, 3, S, S]
    blurred = torch.stack([blur_image(image, sigma, "gaussian") for image in levels])
    inside, outside = (((plane - mean) / std).half() for plane in (levels, blurred))
    return torch.where(masks[:, :, None], inside[:, None], outside[:, None]).flatten(0, 1)


def per_candidate(images: torch.Tensor, masks: torch.Tensor, sigma: float, library: str):
    """Blur, paste and normalise candidate by candidate with kornia or torchvision.

    Their kernels end at the picture's border, so sigma 100 on a small picture is cut to what they
    accept; that favours them.

    Raises:
        ModuleNotFoundError: The library is not installed.
    """
    rival = import_module(_MODULES[library])
    mean, std = _affine(images.device)
    side = images.shape[-1]
    radius = min(int(3 * sigma), side // 2 - 1)
    size = 2 * radius + 1
    pictures = []
    for image, stack in zip(images, masks, strict=True):
        levels = image[None].float() / 255  # [1, 3, S, S]
        for mask in stack:
            if library == "kornia":
                blurred = rival.gaussian_blur2d(
                    levels, (size, size), (sigma, sigma), border_type="replicate"
                )
            else:
                blurred = rival.gaussian_blur(levels, [size, size], [sigma, sigma])
            drawn = torch.where(mask, levels, blurred)
            drawn = F.interpolate(drawn, (side, side), mode="bicubic", antialias=True)
            pictures.append(((drawn - mean) / std).half())
    return torch.cat(pictures)
