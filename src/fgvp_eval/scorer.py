"""Scores of candidates against sentences: rendered once, read by every CLIP of the ensemble."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from fgvp_eval.clip_models import ClipModel, PictureSpec
from fgvp_eval.records import Box
from fgvp_eval.stage_times import StageTimes
from fgvp_kernels import Mode, RenderOptions, render_batch

_TEMPLATE = "a photo of {}"


class Scorer:
    """CLIP logits of an image's candidates under several visual prompts.

    Args:
        clips: The models of the ensemble; their logits are summed.
        modes: K canonical mode names.
        device: Where to draw and score.
        options: How to draw.
        batch_size: Pictures that one call of an image tower takes.
        times: Where the seconds of drawing and scoring are added.
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
    ) -> None:
        self._clips = tuple(clips)
        self._modes = tuple(modes)
        self._device = device
        self._options = options
        self._batch_size = batch_size
        self._times = times
        self._text_features: list[dict[str, torch.Tensor]] = [{} for _ in self._clips]

    @torch.no_grad()
    def score(
        self,
        image: NDArray[np.uint8],
        masks: torch.Tensor,
        boxes_xyxy: Sequence[Box],
        texts: Sequence[str],
    ) -> NDArray[np.float32]:
        """Score every candidate against every text.

        Args:
            image: ``[H, W, 3]`` uint8 RGB.
            masks: ``[N, H, W]`` bool, one for each candidate.
            boxes_xyxy: The N candidate boxes in pixels of the image.
            texts: T texts, lower-cased, without the template.

        Returns:
            Logits ``[K, T, N]``, exp(logit_scale) · cosine, summed over the models.
        """
        pixels = torch.from_numpy(image).permute(2, 0, 1).to(self._device)  # [3, H, W]
        boxes = torch.tensor(boxes_xyxy, dtype=torch.float32).reshape(-1, 4)  # [N, 4]
        total = torch.zeros(len(self._modes), len(texts), len(boxes))  # [K, T, N]
        for spec in dict.fromkeys(clip.pictures for clip in self._clips):
            readers = [index for index, clip in enumerate(self._clips) if clip.pictures == spec]
            with self._times.measure("render"):
                pictures = self._render(pixels, masks, boxes, spec, self._clips[readers[0]].dtype)
            for index in readers:
                with self._times.measure("clip"):
                    total += self._logits(index, pictures, texts).cpu()
        return total.numpy()

    def _render(
        self,
        pixels: torch.Tensor,
        masks: torch.Tensor,
        boxes: torch.Tensor,
        spec: PictureSpec,
        dtype: torch.dtype,
    ) -> torch.Tensor:
        """Draw all candidates under all modes in one call, ``[K, N, 3, h, w]``."""
        height, width = spec.size
        return render_batch(
            pixels,
            masks.to(self._device),
            list(self._modes),
            boxes=boxes.to(pixels.device),
            size=height if height == width else spec.size,
            options=self._options,
            normalize=(spec.mean, spec.std),
            dtype=dtype,
            device=self._device,
        )

    def _logits(self, index: int, pictures: torch.Tensor, texts: Sequence[str]) -> torch.Tensor:
        """Return one model's logits, ``[K, T, N]``."""
        clip, count = self._clips[index], pictures.shape[1]
        # Unmarked pictures of an image are all the same. One is encoded for all, so that they tie
        # exactly: rounding within a batch must not choose among them.
        kept = [1 if mode == Mode.NONE.value else count for mode in self._modes]
        if all(number == count for number in kept):
            flat = pictures.flatten(0, 1)  # [K*N, 3, h, w]
        else:
            flat = torch.cat([drawn[:n] for drawn, n in zip(pictures, kept, strict=True)])
        features = torch.cat(
            [
                functional.normalize(clip.model.encode_image(batch).float(), dim=-1)
                for batch in torch.split(flat, self._batch_size)
            ]
        )  # [Σkept, D]
        logits = clip.logit_scale * self._texts(index, texts) @ features.T  # [T, Σkept]
        of_modes = torch.split(logits, kept, dim=1)
        return torch.stack([of_mode.expand(-1, count) for of_mode in of_modes])

    def _texts(self, index: int, texts: Sequence[str]) -> torch.Tensor:
        """Return the features of the texts, ``[T, D]``; each text is encoded once in a run."""
        clip, known = self._clips[index], self._text_features[index]
        new = [text for text in dict.fromkeys(texts) if text not in known]
        for start in range(0, len(new), self._batch_size):
            batch = new[start : start + self._batch_size]
            tokens = clip.tokenizer([_TEMPLATE.format(text) for text in batch])  # [t, L]
            encoded = clip.model.encode_text(tokens.to(self._device)).float()  # [t, D]
            known.update(zip(batch, functional.normalize(encoded, dim=-1), strict=True))
        return torch.stack([known[text] for text in texts])
