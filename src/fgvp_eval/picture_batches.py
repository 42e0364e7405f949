"""Features of the candidates of many images: drawn in one call, encoded in full batches.

What goes together in a batch decides the last bits of its features. So the batches of a mode hold
the candidates of the images that are given, in their order, and depend neither on the other modes
nor on what was encoded before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from fgvp_eval.clip_models import ClipModel, PictureSpec
from fgvp_eval.drawing import DrawStyle
from fgvp_eval.out_of_memory import ShrinkingBatch
from fgvp_eval.records import Box
from fgvp_eval.stage_times import StageTimes
from fgvp_kernels import Mode, RenderOptions, render_batch
from fgvp_kernels.colors import RANDOM, ColorLike, resolve_color

# Larger batches are no faster on a CPU, and an end at any moment costs a batch of each mode.
_MOST_ON_CPU = 32
# A call that draws several modes resizes and blurs the image once, but holds a batch of each.
_MODES_AT_ONCE = 6


@dataclass(frozen=True, eq=False)
class MaskedImage:
    """An image and its N candidates, N >= 1.

    Attributes:
        pixels: ``[H, W, 3]`` uint8 RGB.
        masks: ``[N, H, W]`` bool on any device.
        boxes_xyxy: N boxes in pixels of the image.
    """

    pixels: NDArray[np.uint8]
    masks: torch.Tensor
    boxes_xyxy: Sequence[Box]

    def __len__(self) -> int:
        return len(self.boxes_xyxy)


@dataclass(frozen=True, eq=False)
class ImageFeatures:
    """Features of the N candidates of an image, of length 1.

    Attributes:
        count: N.
        of_clips: For each CLIP and each mode ``[N, D]``, on the device; ``[1, D]`` for the mode
            that marks nothing, whose N pictures are one.
    """

    count: int
    of_clips: tuple[tuple[torch.Tensor, ...], ...]


def pictures_at_once(batch_size: int, device: torch.device) -> int:
    """Return how many pictures a batch has on ``device``, ``batch_size`` at most."""
    return min(batch_size, _MOST_ON_CPU) if device.type == "cpu" else batch_size


class PictureEncoder:
    """Draws candidates under several modes and encodes them with every CLIP of an ensemble.

    Args:
        clips: The models.
        styles: How to draw each of the K modes, by canonical name.
        device: Where to draw and encode.
        batch_size: Pictures that one call of an image tower takes at most.
        times: Where the seconds of drawing and encoding are added.
    """

    def __init__(
        self,
        clips: Sequence[ClipModel],
        styles: Mapping[str, DrawStyle],
        *,
        device: torch.device,
        batch_size: int,
        times: StageTimes,
    ) -> None:
        self._clips = tuple(clips)
        self._styles = dict(styles)
        self._device = device
        self._batch = ShrinkingBatch(pictures_at_once(batch_size, device), "pictures")
        self._times = times

    @torch.no_grad()
    def encode(
        self, images: Sequence[MaskedImage], color: str | None = None
    ) -> list[ImageFeatures]:
        """Return the features of the candidates of each image.

        Args:
            images: The images whose candidates share batches.
            color: Name of the colour of tints, fills and outlines; None for the styles' own.
        """
        styles = {
            mode: style if color is None else style.colored(color)
            for mode, style in self._styles.items()
        }
        found: dict[tuple[int, str], torch.Tensor] = {}
        for spec in dict.fromkeys(clip.pictures for clip in self._clips):
            readers = [index for index, clip in enumerate(self._clips) if clip.pictures == spec]
            for style, modes in _modes_drawn_together(styles):
                found |= self._encode(images, style, modes, spec, readers)
        counts = [len(image) for image in images]
        # Each [N, D], or [1, D], for each image.
        split = {
            (index, mode): torch.split(features, [1] * len(images) if _is_plain(mode) else counts)
            for (index, mode), features in found.items()
        }
        return [
            ImageFeatures(
                count,
                tuple(
                    tuple(split[index, mode][number] for mode in styles)
                    for index in range(len(self._clips))
                ),
            )
            for number, count in enumerate(counts)
        ]

    def _encode(
        self,
        images: Sequence[MaskedImage],
        style: DrawStyle,
        modes: Sequence[str],
        spec: PictureSpec,
        readers: Sequence[int],
    ) -> dict[tuple[int, str], torch.Tensor]:
        """Return what the models ``readers``, by number, make of the pictures of each mode.

        Returns:
            ``[ΣN, D]`` for each model and mode, ``[B, D]`` for the mode that marks nothing.
        """
        *starts, total = accumulate((len(image) for image in images), initial=0)

        def encode(part: slice) -> dict[tuple[int, str], torch.Tensor]:
            with self._times.measure("render"):
                dtype = self._clips[readers[0]].dtype
                pictures = self._render(images, part, style, modes, spec, dtype)
            # Unmarked pictures of an image are all the same. One is encoded for all, so that they
            # tie exactly: rounding within a batch must not choose among them.
            firsts = [start - part.start for start in starts if part.start <= start < part.stop]
            encoded = {}
            with self._times.measure("clip"):
                for index in readers:
                    for drawn, mode in zip(pictures, modes, strict=True):
                        kept = drawn[firsts] if _is_plain(mode) else drawn
                        if len(kept):
                            features = self._clips[index].model.encode_image(kept).float()
                            encoded[index, mode] = functional.normalize(features, dim=-1)
            return encoded

        # Drawing may run out of memory as well as encoding: both go on with fewer pictures.
        parts = self._batch.run(encode, total)
        return {
            (index, mode): torch.cat(
                [encoded[index, mode] for encoded in parts if (index, mode) in encoded]
            )
            for index in readers
            for mode in modes
        }

    def _render(
        self,
        images: Sequence[MaskedImage],
        part: slice,
        style: DrawStyle,
        modes: Sequence[str],
        spec: PictureSpec,
        dtype: torch.dtype,
    ) -> torch.Tensor:
        """Draw some of the ΣN candidates of all images under K modes, ``[K, n, 3, h, w]``."""
        pixels, masks, boxes = [], [], []
        start = 0
        for image in images:
            rows = slice(max(part.start - start, 0), min(part.stop - start, len(image)))
            if rows.start < rows.stop:
                pixels.append(torch.from_numpy(image.pixels).permute(2, 0, 1))  # [3, H, W]
                masks.append(image.masks[rows].to(self._device))  # [n, H, W]
                boxes.append(torch.tensor(image.boxes_xyxy[rows], dtype=torch.float32))  # [n, 4]
            start += len(image)
        height, width = style.drawn_size(spec.size)
        pictures = render_batch(
            pixels,
            masks,
            modes,
            boxes=boxes,
            size=height if height == width else (height, width),
            order=style.order,
            options=_with_own_colors(style.options, [len(image) for image in images], part),
            normalize=(spec.mean, spec.std),
            dtype=dtype,
            device=self._device,
        )  # [K, n, 3, height, width]
        return _resized(pictures, spec.size)


def _is_plain(mode: str) -> bool:
    return mode == Mode.NONE.value


def _modes_drawn_together(
    styles: Mapping[str, DrawStyle],
) -> Iterator[tuple[DrawStyle, list[str]]]:
    """Yield the modes that one call draws, and their style."""
    members_of: dict[DrawStyle, list[str]] = {}
    for mode, style in styles.items():
        members_of.setdefault(style, []).append(mode)
    for style, members in members_of.items():
        modes = iter(members)
        while together := list(islice(modes, _MODES_AT_ONCE)):
            yield style, together


def _with_own_colors(options: RenderOptions, counts: Sequence[int], part: slice) -> RenderOptions:
    """Return options whose random colours are those of each image drawn alone.

    Args:
        options: Of all modes of a call.
        counts: How many candidates each image has.
        part: The candidates that the call draws.
    """

    def own(name: str, color: ColorLike) -> ColorLike:
        if color != RANDOM:
            return color
        drawn = [resolve_color(name, RANDOM, count, options.seed) for count in counts]
        return torch.cat(drawn)[part]  # [n, 3]

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
