"""Scores of candidates against sentences, summed over the CLIPs of an ensemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from fgvp_eval.data.records import Box
from fgvp_eval.encoding.clip_models import ClipModel
from fgvp_eval.encoding.drawing import DrawStyle
from fgvp_eval.encoding.feature_cache import FeatureCache
from fgvp_eval.encoding.picture_batches import ImageFeatures, PictureEncoder
from fgvp_eval.machine.out_of_memory import ShrinkingBatch
from fgvp_eval.machine.progress import Progress
from fgvp_eval.machine.stage_times import StageTimes
from fgvp_eval.masks.masked_image import MaskedImage
from fgvp_eval.options.presets import DEFAULT_TEMPLATE
from fgvp_eval.scoring.caption_bank import CaptionMean
from fgvp_kernels import RenderOptions

Query = str | CaptionMean


class Scorer:
    """CLIP logits of candidates under several visual prompts.

    Args:
        clips: The models of the ensemble; their logits are summed.
        modes: K canonical mode names.
        device: Where to draw and score.
        options: How to draw modes that ``styles`` does not name.
        batch_size: Pictures that one call of an image tower takes.
        times: Where the seconds of drawing and scoring are added.
        styles: How to draw each mode.
        template: What a text is put into, in the place of ``{}``.
        cache: Where features of candidates are looked up and kept; None for nowhere.
    """

    def __init__(
        self,
        clips: Sequence[ClipModel],
        modes: Sequence[str],
        *,
        device: torch.device,
        options: RenderOptions,
        batch_size: int,
        times: StageTimes,
        styles: Mapping[str, DrawStyle] | None = None,
        template: str = DEFAULT_TEMPLATE,
        cache: FeatureCache | None = None,
    ) -> None:
        self._clips = tuple(clips)
        own = DrawStyle(options)
        self._pictures = PictureEncoder(
            clips,
            {mode: (styles or {}).get(mode, own) for mode in modes},
            device=device,
            batch_size=batch_size,
            times=times,
            cache=cache,
        )
        self._device = device
        self._texts_at_once = ShrinkingBatch(batch_size, "texts")
        self._one_text = ShrinkingBatch(1, "text")
        self._times = times
        self._template = template
        self._text_features: list[dict[Query, torch.Tensor]] = [{} for _ in self._clips]

    @torch.no_grad()
    def prepare(self, texts: Sequence[str]) -> None:
        """Encode texts in full batches; others are encoded when they are asked for.

        Args:
            texts: Without the template; the same ones in the same order wherever results must
                not differ in their last bits.
        """
        for index in range(len(self._clips)):
            self._encode(index, texts, self._texts_at_once)

    def encode(
        self, images: Sequence[MaskedImage], color: str | None = None
    ) -> list[ImageFeatures]:
        """Return what :meth:`logits` needs of each image; see :meth:`PictureEncoder.encode`."""
        return self._pictures.encode(images, color)

    @torch.no_grad()
    def logits(self, features: ImageFeatures, texts: Sequence[Query]) -> NDArray[np.float32]:
        """Score the N candidates of an image against every text.

        Args:
            features: Of the candidates.
            texts: T texts, lower-cased, without the template, or means of many.

        Returns:
            Logits ``[K, T, N]``, exp(logit_scale) · cosine, summed over the models.
        """
        total = torch.zeros(len(features.of_clips[0]), len(texts), features.count)  # [K, T, N]
        for index, of_modes in enumerate(features.of_clips):
            with self._times.measure("clip"):
                scaled = self._clips[index].logit_scale * self._texts(index, texts)  # [T, D]
                logits = [
                    (scaled @ of_mode.T).expand(-1, features.count) for of_mode in of_modes
                ]  # each [T, N]
                total += torch.stack(logits).cpu()
        return total.numpy()

    def score(
        self,
        image: NDArray[np.uint8],
        masks: torch.Tensor,
        boxes_xyxy: Sequence[Box],
        texts: Sequence[Query],
        *,
        color: str | None = None,
    ) -> NDArray[np.float32]:
        """Score every candidate of one image against every text.

        Args:
            image: ``[H, W, 3]`` uint8 RGB.
            masks: ``[N, H, W]`` bool, one for each candidate.
            boxes_xyxy: The N candidate boxes in pixels of the image.
            texts: As of :meth:`logits`.
            color: Name of the colour of tints, fills and outlines; None for the styles' own.

        Returns:
            Logits ``[K, T, N]`` as of :meth:`logits`.
        """
        (features,) = self.encode([MaskedImage(image, masks, boxes_xyxy)], color)
        return self.logits(features, texts)

    @torch.no_grad()
    def nearest(self, text: str, names: Sequence[str]) -> str:
        """Return the name whose text features are closest to those of ``text``.

        Args:
            text: A text, without the template.
            names: At least one; the first of those that tie wins.
        """
        logits = torch.zeros(len(names), dtype=torch.float32)
        for index, clip in enumerate(self._clips):
            features = self._texts(index, [text, *names])  # [1 + names, D]
            logits += (clip.logit_scale * features[1:] @ features[0]).cpu()
        return names[int(logits.argmax())]

    def _texts(self, index: int, texts: Sequence[Query]) -> torch.Tensor:
        """Return the features of the texts, ``[T, D]``; each text is encoded once in a run."""
        known = self._text_features[index]
        means = [text for text in texts if isinstance(text, CaptionMean) and text not in known]
        plain = [text for text in texts if isinstance(text, str)]
        wanted = [*plain, *(caption for mean in means for caption in mean.captions)]
        # One by one, since the last bits of a feature depend on how many texts go together, and
        # not on which images were scored before.
        self._encode(index, wanted, self._one_text)
        fresh: dict[Query, torch.Tensor] = {}
        for mean in means:
            members = torch.stack([known[caption] for caption in mean.captions])  # [captions, D]
            fresh[mean] = members.double().mean(dim=0).float()  # [D]
        known.update((mean, fresh[mean]) for mean in means if mean.reused)
        return torch.stack([fresh[text] if text in fresh else known[text] for text in texts])

    def _encode(self, index: int, texts: Sequence[str], batch: ShrinkingBatch) -> None:
        """Add the features of texts, of length 1, to those that are known of a model."""
        clip, known = self._clips[index], self._text_features[index]
        new = [text for text in dict.fromkeys(texts) if text not in known]

        def encode(part: slice) -> torch.Tensor:
            tokens = clip.tokenizer([self._template.format(text) for text in new[part]])  # [t, L]
            encoded = clip.model.encode_text(tokens.to(self._device)).float()  # [t, D]
            progress.add(len(tokens))
            return functional.normalize(encoded, dim=-1)

        if new:
            with Progress(clip.name, len(new), "text") as progress:
                known.update(zip(new, torch.cat(batch.run(encode, len(new))), strict=True))
