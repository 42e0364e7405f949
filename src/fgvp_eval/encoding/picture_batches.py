"""Features of the candidates of many images: drawn in one call, encoded in full batches.

What goes together in a batch decides the last bits of its features. So the batches of a mode hold
the candidates of the images that are given, in their order, and depend neither on the other modes
nor on what was encoded before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice

import torch
from torch.nn import functional

from fgvp_eval.encoding.clip_models import ClipModel, PictureSpec
from fgvp_eval.encoding.drawing import DrawStyle
from fgvp_eval.encoding.feature_cache import FeatureCache, Part
from fgvp_eval.encoding.prompt_pictures import draw_candidates, modes_of_styles
from fgvp_eval.machine.out_of_memory import ShrinkingBatch
from fgvp_eval.machine.stage_times import StageTimes
from fgvp_eval.masks.masked_image import MaskedImage
from fgvp_kernels import Mode

# Larger batches are no faster on a CPU, and an end at any moment costs a batch of each mode.
_MOST_ON_CPU = 32
# A call that draws several modes resizes and blurs the image once, but holds a batch of each.
_MODES_AT_ONCE = 6


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

    @property
    def features(self) -> torch.Tensor:
        """Those of the first CLIP, ``[K, N, D]``, one row a mode and candidate."""
        return self.features_by_clip[0]

    @property
    def features_by_clip(self) -> tuple[torch.Tensor, ...]:
        """For each CLIP ``[K, N, D]``; CLIPs differ in D."""
        return tuple(
            torch.stack([of_mode.expand(self.count, -1) for of_mode in of_modes])
            for of_modes in self.of_clips
        )


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
        cache: Where features are looked up and kept; None for nowhere.
    """

    def __init__(
        self,
        clips: Sequence[ClipModel],
        styles: Mapping[str, DrawStyle],
        *,
        device: torch.device,
        batch_size: int,
        times: StageTimes,
        cache: FeatureCache | None = None,
    ) -> None:
        self._clips = tuple(clips)
        self._styles = dict(styles)
        self._device = device
        self._batch_size = pictures_at_once(batch_size, device)
        self._batch = ShrinkingBatch(self._batch_size, "pictures")
        self._times = times
        self._cache = cache

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
        found = self._features(images, styles)
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

    def _features(
        self, images: Sequence[MaskedImage], styles: Mapping[str, DrawStyle]
    ) -> dict[Part, torch.Tensor]:
        """Return the features of each model and mode, ``[ΣN, D]``; plain ones are ``[B, D]``."""
        wanted = [(index, mode) for index in range(len(self._clips)) for mode in styles]
        if self._cache is None:
            return self._make(images, styles, wanted)
        with self._times.measure("cache"):
            keys = self._cache.keys(images, self._clips, styles, self._batch_size)
            found = self._cache.load(keys)
        made = self._make(images, styles, [part for part in wanted if part not in found])
        with self._times.measure("cache"):
            self._cache.store(keys, made)
        return found | made

    def _make(
        self,
        images: Sequence[MaskedImage],
        styles: Mapping[str, DrawStyle],
        wanted: Sequence[Part],
    ) -> dict[Part, torch.Tensor]:
        """Draw and encode; the modes of a style are drawn together, once for each input size."""
        made: dict[Part, torch.Tensor] = {}
        for spec in dict.fromkeys(self._clips[index].pictures for index, _ in wanted):
            of_spec = [part for part in wanted if self._clips[part[0]].pictures == spec]
            drawn = {mode: styles[mode] for _, mode in of_spec}
            for style, modes in _modes_drawn_together(drawn):
                parts = [part for part in of_spec if part[1] in modes]
                made |= self._encode(images, style, modes, spec, parts)
        return made

    def _encode(
        self,
        images: Sequence[MaskedImage],
        style: DrawStyle,
        modes: Sequence[str],
        spec: PictureSpec,
        wanted: Sequence[Part],
    ) -> dict[Part, torch.Tensor]:
        """Return what models that share ``spec`` make of the pictures of ``modes``."""
        *starts, total = accumulate((len(image) for image in images), initial=0)
        dtype = self._clips[wanted[0][0]].dtype

        def encode(rows: slice) -> dict[Part, torch.Tensor]:
            with self._times.measure("render"):
                pictures = draw_candidates(
                    images,
                    _shares(images, rows),
                    modes,
                    style=style,
                    spec=spec,
                    dtype=dtype,
                    device=self._device,
                )  # [K, n, 3, h, w]
            # Unmarked pictures of an image are all the same. One is encoded for all, so that they
            # tie exactly: rounding within a batch must not choose among them.
            firsts = [start - rows.start for start in starts if rows.start <= start < rows.stop]
            encoded = {}
            with self._times.measure("clip"):
                for index, mode in wanted:
                    kept = pictures[modes.index(mode)]  # [n, 3, h, w]
                    if _is_plain(mode):
                        kept = kept[firsts]
                    if len(kept):
                        features = self._clips[index].model.encode_image(kept).float()
                        encoded[index, mode] = functional.normalize(features, dim=-1)
            return encoded

        # Drawing may run out of memory as well as encoding: both go on with fewer pictures.
        batches = self._batch.run(encode, total)
        return {
            part: torch.cat([encoded[part] for encoded in batches if part in encoded])
            for part in wanted
        }


def _shares(images: Sequence[MaskedImage], rows: slice) -> list[range]:
    """Return which candidates of each image lie in ``rows`` of all of them."""
    ends = accumulate(len(image) for image in images)
    return [
        range(
            max(rows.start - end + len(image), 0),
            max(min(rows.stop - end + len(image), len(image)), 0),
        )
        for image, end in zip(images, ends, strict=True)
    ]


def _is_plain(mode: str) -> bool:
    return mode == Mode.NONE.value


def _modes_drawn_together(
    styles: Mapping[str, DrawStyle],
) -> Iterator[tuple[DrawStyle, list[str]]]:
    """Yield the modes that one call draws, and their style."""
    for style, members in modes_of_styles(styles).items():
        modes = iter(members)
        while together := list(islice(modes, _MODES_AT_ONCE)):
            yield style, together
