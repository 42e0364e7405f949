"""The validated form of a call: what every backend is given.

Images become uint8 or float tensors ``[3, H, W]``, masks one :class:`MaskStack` per image, sizes
and dtypes are settled. Backends check nothing again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from fgvp_kernels.device_tables import kept
from fgvp_kernels.frames import Order, Size
from fgvp_kernels.mask_stacks import DenseMasks, MaskStack
from fgvp_kernels.modes import ModeSpec
from fgvp_kernels.options import RenderOptions

# The affine step of pictures of up to so many pixels is kept as whole pictures.
_REPEATED_PIXELS = 384 * 384

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
# Mean and standard deviation of values in [0, 1], as open_clip and torchvision normalise.
STATISTICS = {
    "clip": (CLIP_MEAN, CLIP_STD),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "siglip": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


@dataclass(frozen=True, eq=False)
class Candidates:
    """One image and its N candidates.

    Attributes:
        image: ``[3, H, W]``, uint8 levels or float in [0, 1].
        masks: N masks of size (H, W).
        given_boxes: float32 ``[N, 4]`` xyxy in pixels, or None for the tight boxes of the masks;
            never None where there are no masks.
        first: Row of the first candidate in the output.
    """

    image: torch.Tensor
    masks: MaskStack
    given_boxes: torch.Tensor | None
    first: int

    @property
    def size(self) -> Size:
        """(H, W) of the image."""
        return (self.image.shape[1], self.image.shape[2])

    @property
    def rows(self) -> slice:
        """Rows of the output that belong to this image."""
        return slice(self.first, self.first + self.masks.count)

    @cached_property
    def boxes(self) -> torch.Tensor:
        """float32 ``[N, 4]`` xyxy in pixels of the image, on the image's device."""
        if self.given_boxes is not None:
            return self.given_boxes
        return self.masks.tight_boxes_on_device.to(torch.float32)

    @cached_property
    def has_box(self) -> torch.Tensor:
        """bool ``[N]``; False where the mask is empty and no box was given."""
        if self.given_boxes is not None:
            return torch.ones(len(self.given_boxes), dtype=torch.bool, device=self.image.device)
        return self.boxes[:, 2] > self.boxes[:, 0]


@dataclass(frozen=True)
class Settings:
    """What is drawn for every candidate of a call.

    Attributes:
        specs: The K modes.
        size: (h, w) of the pictures, or None for the size of the image.
        order: Resize or draw first.
        options: Drawing options.
        scale, shift: Per channel, ``picture = scale · level + shift`` with levels 0-255.
        dtype: Of the output; uint8 rounds to whole levels.
    """

    specs: tuple[ModeSpec, ...]
    size: Size | None
    order: Order
    options: RenderOptions
    scale: tuple[float, float, float]
    shift: tuple[float, float, float]
    dtype: torch.dtype

    def affine(self, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``scale`` and ``shift`` for levels ``[n, 3, h, w]``, on their device and of their type.

        ``[3, 1, 1]`` each; on a CPU, where three values that are broadcast take thrice as long,
        ``[3, h, w]`` for small pictures and ``[3, 1, w]`` for others.
        """
        height, width = like.shape[2:]
        shape = (3, 1, 1)
        if like.device.type == "cpu":
            shape = (3, height if height * width <= _REPEATED_PIXELS else 1, width)

        def make() -> tuple[torch.Tensor, torch.Tensor]:
            pair = torch.tensor((self.scale, self.shift), dtype=like.dtype, device=like.device)
            full = pair[:, :, None, None].expand(2, *shape).contiguous()  # [2, 3, h, w]
            return full[0], full[1]

        key = ("affine", self.scale, self.shift, shape, like.dtype)
        return kept(key, make, like.device)


@dataclass(frozen=True, eq=False)
class RenderBatch:
    """A whole call.

    Attributes:
        images: The images with their candidates, in order.
        settings: What is drawn.
        line_color, tint_color: float32 levels ``[1, 3]``, or ``[ΣN, 3]`` with one row per
            candidate.
    """

    images: tuple[Candidates, ...]
    settings: Settings
    line_color: torch.Tensor
    tint_color: torch.Tensor

    @property
    def count(self) -> int:
        """Number of candidates of all images, ΣN."""
        return sum(image.masks.count for image in self.images)

    @property
    def records_gradients(self) -> bool:
        """Whether drawing this call is recorded by autograd, for an image or soft masks."""
        return torch.is_grad_enabled() and any(
            image.image.requires_grad
            or (isinstance(image.masks, DenseMasks) and image.masks.masks.requires_grad)
            for image in self.images
        )

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """Shape of the output with all K modes: ``[K, ΣN, 3, h, w]``."""
        size = self.settings.size
        if size is None:
            size = self.images[0].size
        return (len(self.settings.specs), self.count, 3, *size)


def color_rows(colors: torch.Tensor, rows: slice) -> torch.Tensor:
    """The rows of ``colors`` that belong to ``rows``; a shared colour stays shared."""
    return colors if len(colors) == 1 else colors[rows]


def normalization(
    normalize: tuple[tuple[float, ...], tuple[float, ...]] | None, dtype: torch.dtype
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return (scale, shift) per channel that turn levels 0-255 into the output's values."""
    if normalize is None:
        unit = 1.0 if dtype == torch.uint8 else 1.0 / 255.0
        return (unit, unit, unit), (0.0, 0.0, 0.0)
    mean, std = normalize
    scale = (1.0 / (255.0 * std[0]), 1.0 / (255.0 * std[1]), 1.0 / (255.0 * std[2]))
    return scale, (-mean[0] / std[0], -mean[1] / std[1], -mean[2] / std[2])
