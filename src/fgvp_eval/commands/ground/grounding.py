"""Grounding of texts in one picture: candidates, their scores, and which of them each text gets.

Scores come from the same classes as an evaluation's, so that they are the same scores.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fgvp_eval.data.records import Box, ImageRecord
from fgvp_eval.encoding.clip_models import ClipModel
from fgvp_eval.errors import DataError
from fgvp_eval.machine.stage_times import StageTimes
from fgvp_eval.masks.masked_image import MaskedImage
from fgvp_eval.masks.sources import MaskedBoxes, MaskSource
from fgvp_eval.options.config import TEXT_COLOR
from fgvp_eval.scoring.assignment import assign
from fgvp_eval.scoring.postprocess import final_scores
from fgvp_eval.scoring.relations import softmax
from fgvp_eval.scoring.scorer import Scorer
from fgvp_eval.scoring.sentence_scores import COLOR_NAMES, SentenceScorer
from fgvp_eval.tasks.split_plan import SplitPlan
from fgvp_kernels import RenderOptions

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class GivenMasks:
    """Candidates whose masks are there already; a :class:`masks.sources.MaskSource`.

    Attributes:
        found: The candidates.
    """

    found: MaskedBoxes
    stage: str = "masks"

    def find(self, image: ImageRecord, pixels: NDArray[np.uint8]) -> MaskedBoxes:
        """See :class:`masks.sources.MaskSource`."""
        return self.found


@dataclass(frozen=True, eq=False)
class Grounding:
    """What was found for T texts among N candidates under K modes.

    Attributes:
        boxes_xyxy: The N candidates in pixels of the scored picture.
        masks: ``[N, h, w]`` bool on the CPU; all empty if no mode looks at them.
        by_mode: ``[T, K, N]`` float32 logits, summed over the CLIPs, before post-processing.
        scores: ``[T, N]``: the logits' sum over modes, or what the post-processing made of it.
        probabilities: ``[T, N]``: softmax of the scores over the candidates; relations give
            shares instead of logits, which are brought to a sum of 1.
        assigned: The candidate of each text, each given once; None where none is left.
        best: The candidate of each text by itself, the first of those that tie.
        colors: The colour of each text's prompts where CLIP chose it, else None.
    """

    boxes_xyxy: tuple[Box, ...]
    masks: torch.Tensor
    by_mode: NDArray[np.float32]
    scores: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    assigned: tuple[int | None, ...]
    best: tuple[int, ...]
    colors: tuple[str | None, ...]

    def margin(self, text: int) -> float | None:
        """Return the score of a text's candidate less the best of the others; None without."""
        chosen, scores = self.assigned[text], self.scores[text]
        if chosen is None or len(scores) < 2:
            return None
        return float(scores[chosen] - np.delete(scores, chosen).max())

    def ranked(self, text: int) -> list[int]:
        """Return the candidates of a text from the highest score to the lowest."""
        order: list[int] = np.argsort(-self.scores[text], kind="stable").tolist()
        return order


def ground(
    plan: SplitPlan,
    pixels: NDArray[np.uint8],
    source: MaskSource,
    *,
    clips: Sequence[ClipModel],
    device: torch.device,
    seed: int,
    batch_size: int,
    times: StageTimes,
) -> Grounding:
    """Score the sentences of the plan's one picture and give each a candidate.

    Args:
        plan: A split of one picture, whose samples are the T texts.
        pixels: ``[h, w, 3]`` uint8 RGB.
        source: Finds the candidates.
        clips: The CLIP models.
        device: Where to draw and score.
        seed: Of random colours and drawn negatives.
        batch_size: Pictures encoded at once.
        times: Where the seconds are added.

    Raises:
        DataError: CLIP gave scores that are not finite.
        UsageError: Relations are asked for and spaCy or its model is not installed.
    """
    settings, (image,) = plan.settings, plan.dataset.images
    if source.stage == "sam":
        _LOG.info("SAM looks at %dx%d pixels", pixels.shape[1], pixels.shape[0])
    with times.measure(source.stage):
        found = source.find(image, pixels)
    _LOG.info("candidates: %d, texts: %d", len(found.boxes_xyxy), len(image.samples))
    scorer = Scorer(
        clips,
        settings.modes,
        device=device,
        options=RenderOptions(seed=seed),
        batch_size=batch_size,
        times=times,
        styles=plan.styles(seed),
        template=settings.template,
    )
    sentences = SentenceScorer(scorer, settings, plan.bank(seed), times)
    with times.measure("texts"):
        sentences.prepare(image.samples)
    masked = MaskedImage(pixels, found.masks, found.boxes_xyxy)
    (features,) = sentences.encode([(masked, image.samples)])
    logits = sentences.logits(image.samples, features)
    if not all(np.isfinite(part).all() for of_one in logits for part in of_one.arrays()):
        raise DataError("CLIP gave scores that are not finite; try --precision fp32")
    with times.measure("post"):
        scores = np.stack(
            [
                final_scores(
                    sample.text,
                    of_one,
                    found.boxes_xyxy,
                    post=settings.post,
                    aggregate=settings.aggregate,
                )
                for sample, of_one in zip(image.samples, logits, strict=True)
            ]
        )  # [T, N]
        shares = "R" in settings.post
        # Logits are cosines times a scale; the assignment is that of FGVP's cosines.
        scale = 1.0 if shares else sum(clip.logit_scale for clip in clips) * len(settings.modes)
        chosen_by_text = settings.color == TEXT_COLOR
        return Grounding(
            boxes_xyxy=found.boxes_xyxy,
            masks=found.masks.cpu(),
            by_mode=np.stack([of_one.sentence for of_one in logits]),
            scores=scores,
            probabilities=np.stack([row / row.sum() if shares else softmax(row) for row in scores]),
            assigned=tuple(assign(scores / scale, "hungarian")),
            best=tuple(int(index) for index in scores.argmax(axis=1)),
            colors=tuple(
                scorer.nearest(sample.text, COLOR_NAMES) if chosen_by_text else None
                for sample in image.samples
            ),
        )
