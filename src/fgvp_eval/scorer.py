"""Scores of candidates against sentences: rendered once, read by every CLIP of the ensemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from fgvp_eval.caption_bank import CaptionMean
from fgvp_eval.clip_models import ClipModel, PictureSpec
from fgvp_eval.drawing import DrawStyle
from fgvp_eval.out_of_memory import ShrinkingBatch
from fgvp_eval.presets import DEFAULT_TEMPLATE
from fgvp_eval.progress import Progress
from fgvp_eval.records import Box
from fgvp_eval.stage_times import StageTimes
from fgvp_kernels import Mode, RenderOptions, render_batch

Query = str | CaptionMean


class Scorer:
    """CLIP logits of an image's candidates under several visual prompts.

    Args:
        clips: The models of the ensemble; their logits are summed.
        modes: K canonical mode names.
        device: Where to draw and score.
        options: How to draw modes that ``styles`` does not name.
        batch_size: Pictures that one call of an image tower takes.
        times: Where the seconds of drawing and scoring are added.
        styles: How to draw each mode.
        template: What a text is put into, in the place of ``{}``.
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
    ) -> None:
        self._clips = tuple(clips)
        self._modes = tuple(modes)
        self._device = device
        own = DrawStyle(options)
        self._styles = [(styles or {}).get(mode, own) for mode in self._modes]
        self._pictures_at_once = ShrinkingBatch(batch_size, "pictures")
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

    @torch.no_grad()
    def score(
        self,
        image: NDArray[np.uint8],
        masks: torch.Tensor,
        boxes_xyxy: Sequence[Box],
        texts: Sequence[Query],
        *,
        color: str | None = None,
    ) -> NDArray[np.float32]:
        """Score every candidate against every text.

        Args:
            image: ``[H, W, 3]`` uint8 RGB.
            masks: ``[N, H, W]`` bool, one for each candidate.
            boxes_xyxy: The N candidate boxes in pixels of the image.
            texts: T texts, lower-cased, without the template, or means of many.
            color: Name of the colour of tints, fills and outlines; None for the styles' own.

        Returns:
            Logits ``[K, T, N]``, exp(logit_scale) · cosine, summed over the models.
        """
        pixels = torch.from_numpy(image).permute(2, 0, 1).to(self._device)  # [3, H, W]
        boxes = torch.tensor(boxes_xyxy, dtype=torch.float32).reshape(-1, 4)  # [N, 4]
        styles = [style if color is None else style.colored(color) for style in self._styles]
        total = torch.zeros(len(self._modes), len(texts), len(boxes))  # [K, T, N]
        for spec in dict.fromkeys(clip.pictures for clip in self._clips):
            readers = [index for index, clip in enumerate(self._clips) if clip.pictures == spec]
            with self._times.measure("render"):
                dtype = self._clips[readers[0]].dtype
                pictures = self._render(pixels, masks, boxes, styles, spec, dtype)
            for index in readers:
                with self._times.measure("clip"):
                    total += self._logits(index, pictures, texts).cpu()
        return total.numpy()

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

    def _render(
        self,
        pixels: torch.Tensor,
        masks: torch.Tensor,
        boxes: torch.Tensor,
        styles: Sequence[DrawStyle],
        spec: PictureSpec,
        dtype: torch.dtype,
    ) -> torch.Tensor:
        """Draw all candidates under all modes, one call for each style, ``[K, N, 3, h, w]``."""
        members_of: dict[DrawStyle, list[int]] = {}
        for index, style in enumerate(styles):
            members_of.setdefault(style, []).append(index)
        drawn: list[torch.Tensor] = []
        for style, members in members_of.items():
            height, width = style.drawn_size(spec.size)
            pictures = render_batch(
                pixels,
                masks.to(self._device),
                [self._modes[index] for index in members],
                boxes=boxes.to(pixels.device),
                size=height if height == width else (height, width),
                order=style.order,
                options=style.options,
                normalize=(spec.mean, spec.std),
                dtype=dtype,
                device=self._device,
            )  # [members, N, 3, height, width]
            drawn.append(_resized(pictures, spec.size))
        if len(drawn) == 1:
            return drawn[0]
        order = torch.tensor([index for members in members_of.values() for index in members])
        return torch.cat(drawn)[torch.argsort(order)]

    def _logits(self, index: int, pictures: torch.Tensor, texts: Sequence[Query]) -> torch.Tensor:
        """Return one model's logits, ``[K, T, N]``."""
        clip, count = self._clips[index], pictures.shape[1]
        # Unmarked pictures of an image are all the same. One is encoded for all, so that they tie
        # exactly: rounding within a batch must not choose among them.
        kept = [1 if mode == Mode.NONE.value else count for mode in self._modes]
        if all(number == count for number in kept):
            flat = pictures.flatten(0, 1)  # [K*N, 3, h, w]
        else:
            flat = torch.cat([drawn[:n] for drawn, n in zip(pictures, kept, strict=True)])

        def encode(part: slice) -> torch.Tensor:
            return functional.normalize(clip.model.encode_image(flat[part]).float(), dim=-1)

        features = torch.cat(self._pictures_at_once.run(encode, len(flat)))  # [Σkept, D]
        logits = clip.logit_scale * self._texts(index, texts) @ features.T  # [T, Σkept]
        of_modes = torch.split(logits, kept, dim=1)
        return torch.stack([of_mode.expand(-1, count) for of_mode in of_modes])

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
