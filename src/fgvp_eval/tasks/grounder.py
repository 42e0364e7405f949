"""Grounding of texts in images: candidates, a visual prompt for each, CLIP's scores, a choice.

Scores come from the same classes as an evaluation's, so that they are the same scores.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args, overload

import numpy as np
import torch
from numpy.typing import NDArray

from fgvp_eval.data.candidates import Candidates
from fgvp_eval.data.records import ImageRecord, Sample
from fgvp_eval.encoding.clip_models import ClipModel
from fgvp_eval.encoding.given_images import as_levels, image_pixels, masked_images
from fgvp_eval.encoding.image_groups import group_images
from fgvp_eval.encoding.picture_batches import pictures_at_once
from fgvp_eval.errors import DataError
from fgvp_eval.machine.devices import choose_device
from fgvp_eval.machine.stage_times import StageTimes
from fgvp_eval.masks.by_grid import grid_settings
from fgvp_eval.masks.embedding_cache import EmbeddingCache, default_cache
from fgvp_eval.masks.masked_image import MaskedImage
from fgvp_eval.masks.sam_models import SamModel, find_checkpoint, load_sam
from fgvp_eval.masks.sources import BoxPrompts, GridPrompts, MaskSource
from fgvp_eval.options.config import (
    DEFAULT_CLIP,
    DEFAULT_MODES,
    DEFAULT_SAM,
    OFFICIAL_CLEAN_MASKS,
    TEXT_COLOR,
    EvalConfig,
    Precision,
)
from fgvp_eval.options.presets import DEFAULT_TEMPLATE, Post
from fgvp_eval.options.splits import Split
from fgvp_eval.options.values import parse_sam
from fgvp_eval.scoring.assignment import assign
from fgvp_eval.scoring.caption_bank import CaptionBank
from fgvp_eval.scoring.entity_trees import load_parser
from fgvp_eval.scoring.postprocess import SentenceLogits, final_scores
from fgvp_eval.scoring.region_encoder import (
    RegionEncoder,
    checked,
    checked_number,
    mode_names,
    scored_texts,
)
from fgvp_eval.scoring.relations import softmax
from fgvp_eval.scoring.sentence_scores import SentenceScorer
from fgvp_eval.tasks.grounding import GroundedText, Grounding
from fgvp_kernels import Mode
from fgvp_kernels.modes import Region

_LOG = logging.getLogger(__name__)


class Grounder:
    """Finds what texts mean in images.

    Args:
        masks: ``vit_h``, ``vit_l`` or ``vit_b``, with ``:FILE`` for its checkpoint, or ``demo``:
            the SAM whose grid of points finds the candidates, and which masks given boxes; or a
            :class:`masks.sources.MaskSource`; None if every call gives masks.
        clip, modes, device, precision, batch_size, template, seed, cache: As of
            :class:`RegionEncoder`.
        post: ``none``, ``R`` (relations, by spaCy), ``S`` (the mean score of ``negatives`` is
            subtracted) or ``RS``.
        negatives: Sentences, for S alone.
        color: As of :class:`RegionEncoder`, or ``text``: for each text the colour whose name
            CLIP finds nearest to it.
        clean_masks: Holes and islands of SAM's masks below this area are removed, in pixels at
            long side 1024, >= 0.
        times: Where seconds are added.

    Raises:
        TypeError, ValueError: An argument has the wrong type or value; the message names it.
        UsageError: As of :class:`RegionEncoder`; or relations are asked for and spaCy or its
            model is not installed.
        DataError: Weights are missing, broken, or cannot be had without a network.
    """

    def __init__(
        self,
        masks: str | MaskSource | None = DEFAULT_SAM,
        clip: str | Sequence[ClipModel] = DEFAULT_CLIP,
        modes: Sequence[str | Mode] = DEFAULT_MODES,
        *,
        post: Post = "none",
        negatives: Sequence[str] = (),
        template: str = DEFAULT_TEMPLATE,
        color: str | None = None,
        clean_masks: int = OFFICIAL_CLEAN_MASKS,
        seed: int = 0,
        device: str | torch.device = "auto",
        precision: Precision = "auto",
        batch_size: int = 256,
        cache: bool | None = None,
        times: StageTimes | None = None,
    ) -> None:
        names = mode_names(modes)
        if post not in get_args(Post):
            raise ValueError(f"post must be one of {', '.join(get_args(Post))}; got {post!r}")
        if ("S" in post) != bool(negatives):
            raise ValueError(
                f"negatives must be sentences where post subtracts them, S or RS, and there alone; "
                f"got post {post!r} and {len(negatives)} negatives"
            )
        checked_number("clean_masks", clean_masks, 0)
        if "R" in post:
            load_parser()
        place = choose_device(str(device))
        self._times = times or StageTimes(place)
        self._clean_area = float(clean_masks)
        if isinstance(masks, str):  # before a CLIP is downloaded for nothing
            find_checkpoint(checked("masks", parse_sam, masks), Path("data"))
        self._encoder = RegionEncoder(
            clip,
            names,
            device=place,
            precision=precision,
            batch_size=batch_size,
            template=template,
            color=None if color == TEXT_COLOR else color,
            seed=seed,
            cache=cache,
            times=self._times,
        )
        self._at_once = pictures_at_once(batch_size, place)
        self._sam: SamModel | None = None
        self._source: MaskSource | None = None
        self._embeddings: EmbeddingCache | None = None
        if isinstance(masks, str):
            self._sam = load_sam(masks, place, Path("data"))
            self._embeddings = None if masks == "demo" else default_cache()
            self._source = GridPrompts(
                self._sam,
                grid_settings(masks),
                clean_area=self._clean_area,
                cache=self._embeddings,
            )
        elif masks is not None:
            if not callable(getattr(masks, "find", None)):
                raise TypeError(f"masks must name a SAM or be a MaskSource, got {masks!r}")
            self._source = masks
        own = Split("images", "own", "", "", None)
        config = EvalConfig((own,), modes=names, compare_modes=False, post=post, color=color)
        self._settings = config.settings(own)
        bank = None
        if "S" in post:
            bank = CaptionBank("negatives", scored_texts(negatives, "negatives"), None, seed)
        self._sentences = SentenceScorer(self._encoder.scorer, self._settings, bank, self._times)

    @overload
    def __call__(
        self, images: Any, texts: Sequence[str], *, boxes: Any = None, masks: Any = None
    ) -> list[GroundedText]: ...

    @overload
    def __call__(
        self, images: Any, texts: Sequence[Sequence[str]], *, boxes: Any = None, masks: Any = None
    ) -> list[list[GroundedText]]: ...

    def __call__(
        self, images: Any, texts: Any, *, boxes: Any = None, masks: Any = None
    ) -> list[GroundedText] | list[list[GroundedText]]:
        """Find what texts mean.

        The texts of an image are given different candidates, so that the sum of their cosines is
        largest.

        Args:
            images: One image or several, as of ``render_batch``.
            texts: A sequence of texts, or for several images one for each.
            boxes: Candidates, as of ``render_batch``; without masks, SAM masks them where a mode
                draws masks. None: those of the masks, or else of the grounder's own source.
            masks: Masks of the candidates, as of ``render_batch``.

        Returns:
            One for each text; for several images a list of them for each.

        Raises:
            TypeError, ValueError: An argument has the wrong type or value; the message names it.
            DataError: CLIP gave scores that are not finite.
        """
        pixels, batched = image_pixels(images)
        asked = list(texts) if batched and isinstance(texts, (list, tuple)) else [texts]
        if len(asked) != len(pixels):
            raise ValueError(
                f"texts must have one sequence of texts for each of {len(pixels)} images, "
                f"got {len(asked)}"
            )
        scored = [
            scored_texts(own, f"texts[{index}]" if batched else "texts")
            for index, own in enumerate(asked)
        ]
        if masks is not None or boxes is not None:
            given = self._given(images, masks, boxes)
        else:
            given = [
                self.find(ImageRecord(index, Path(), f"image {index}", None, (), ()), of_image)
                for index, of_image in enumerate(pixels)
            ]
        found: list[list[GroundedText]] = [
            [GroundedText(text, None, ()) for text in own] for own in asked
        ]
        filled = [index for index, image in enumerate(given) if len(image)]
        for group in group_images([len(given[index]) for index in filled], self._at_once):
            members = filled[group.start : group.stop]
            groundings = self.ground([(given[index], scored[index]) for index in members])
            for index, grounding in zip(members, groundings, strict=True):
                found[index] = grounding.of_texts(asked[index])
        return found if batched else found[0]

    def find(self, image: ImageRecord, pixels: NDArray[Any]) -> MaskedImage:
        """Return an image ``[H, W, 3]`` with the candidates that the grounder's source finds.

        Raises:
            ValueError: There is no source.
        """
        if self._source is None:
            raise ValueError("masks or boxes must be given to a Grounder without a mask source")
        if self._source.stage == "sam":
            _LOG.info("SAM looks at %dx%d pixels", pixels.shape[1], pixels.shape[0])
        with self._times.measure(self._source.stage):
            found = self._source.find(image, as_levels(pixels))
        return MaskedImage(pixels, found.masks, found.boxes_xyxy, found.resized)

    def _given(self, images: Any, masks: Any, boxes: Any) -> list[MaskedImage]:
        """Return images with the candidates of a call, masked by SAM where that is needed."""
        modes = self._settings.modes
        masked = [mode for mode in modes if Mode(mode).spec.region is Region.MASK]
        if masks is not None or not masked:
            return masked_images(images, masks, boxes, modes)
        if self._sam is None:
            raise ValueError(f"masks must be given for mode {masked[0]!r}, or a SAM to make them")
        sam = BoxPrompts(
            Candidates(None, {}), self._sam, clean_area=self._clean_area, cache=self._embeddings
        )
        with self._times.measure(sam.stage):
            return [
                MaskedImage(
                    image.pixels,
                    sam.masks_of(as_levels(image.pixels), tuple(image.boxes_xyxy)),
                    image.boxes_xyxy,
                )
                for image in masked_images(images, None, boxes, ())
            ]

    def ground(self, images: Sequence[tuple[MaskedImage, Sequence[str]]]) -> list[Grounding]:
        """Score texts, lower-cased, in images of one batch, each with at least one candidate.

        Raises:
            DataError: CLIP gave scores that are not finite.
        """
        asked = []
        for image, texts in images:
            _LOG.info("candidates: %d, texts: %d", len(image), len(texts))
            samples = tuple(Sample(str(index), text, ()) for index, text in enumerate(texts))
            asked.append((image, samples))
        with self._times.measure("texts"):
            self._sentences.prepare(sample for _, samples in asked for sample in samples)
        encoded = self._sentences.encode(asked)
        groundings = []
        for (image, samples), features in zip(asked, encoded, strict=True):
            logits = self._sentences.logits(samples, features)
            if not all(np.isfinite(part).all() for of_one in logits for part in of_one.arrays()):
                raise DataError("CLIP gave scores that are not finite; try --precision fp32")
            with self._times.measure("post"):
                groundings.append(self._choose(image, samples, logits))
        return groundings

    def _choose(
        self, image: MaskedImage, samples: Sequence[Sample], logits: Sequence[SentenceLogits]
    ) -> Grounding:
        settings, boxes_xyxy = self._settings, tuple(image.boxes_xyxy)
        scores = np.stack(
            [
                final_scores(
                    sample.text,
                    of_one,
                    boxes_xyxy,
                    post=settings.post,
                    aggregate=settings.aggregate,
                )
                for sample, of_one in zip(samples, logits, strict=True)
            ]
        )  # [T, N]
        shares = "R" in settings.post
        # Logits are cosines times a scale; the assignment is that of FGVP's cosines.
        scale = sum(clip.logit_scale for clip in self._encoder.clips) * len(settings.modes)
        return Grounding(
            boxes_xyxy=boxes_xyxy,
            masks=image.masks.cpu(),
            by_mode=np.stack([of_one.sentence for of_one in logits]),
            scores=scores,
            probabilities=np.stack([row / row.sum() if shares else softmax(row) for row in scores]),
            assigned=tuple(assign(scores / (1.0 if shares else scale), "hungarian")),
            best=tuple(int(index) for index in scores.argmax(axis=1)),
            colors=tuple(self._sentences.color_of(sample) for sample in samples),
        )
