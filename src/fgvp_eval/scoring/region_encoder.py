"""CLIP features and scores of the regions of images, for programs.

It stands with the scores and not with the features, since it needs both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, get_args

import torch

from fgvp_eval.encoding.clip_models import ClipModel, load_clips
from fgvp_eval.encoding.drawing import draw_styles
from fgvp_eval.encoding.feature_cache import open_feature_cache
from fgvp_eval.encoding.given_images import masked_images
from fgvp_eval.encoding.image_groups import group_images
from fgvp_eval.encoding.picture_batches import ImageFeatures, pictures_at_once
from fgvp_eval.errors import UsageError
from fgvp_eval.machine.devices import choose_device
from fgvp_eval.machine.stage_times import StageTimes
from fgvp_eval.masks.masked_image import MaskedImage
from fgvp_eval.options.config import DEFAULT_CLIP, DEFAULT_MODES, TEXT_COLOR, Precision
from fgvp_eval.options.presets import DEFAULT_TEMPLATE
from fgvp_eval.options.values import parse_clip, parse_color, parse_template
from fgvp_eval.scoring.postprocess import aggregate_modes
from fgvp_eval.scoring.scorer import Scorer
from fgvp_kernels import Mode, RenderOptions

_Value = TypeVar("_Value")


class RegionEncoder:
    """Draws the candidates of images as visual prompts and encodes them with CLIP.

    Pictures of several images go through a tower together, ``batch_size`` at most (32 on a CPU);
    where memory does not suffice, half as many from then on.

    Args:
        clip: ``MODEL:PRETRAINED`` of open_clip, several joined by ``+``, or ``demo``; or models
            that are loaded already, on ``device``.
        modes: K modes, as of ``render_batch``, each once.
        device: ``auto`` (a GPU if there is one) or a name that torch knows.
        precision: Of the towers: ``auto`` (fp16 on a GPU, fp32 on a CPU), ``fp32``, ``fp16``,
            ``bf16``.
        batch_size: Pictures, or texts, that are encoded at once, >= 1.
        template: What a text is put into, in the place of ``{}``.
        color: Name of the colour of tints, fills and outlines, or ``random``; None for that of
            the modes.
        seed: Of random colours, >= 0.
        cache: Keep features on disk, where the same images in the same order find them again:
            nothing is drawn or encoded twice. None: unless all models are the demo's.
        times: Where seconds are added.

    Raises:
        TypeError, ValueError: An argument has the wrong type or value; the message names it.
        UsageError: There is no such device or model, or its activation does not fit its weights.
        DataError: Weights are missing, broken, or cannot be had without a network.
    """

    def __init__(
        self,
        clip: str | Sequence[ClipModel] = DEFAULT_CLIP,
        modes: Sequence[str | Mode] = DEFAULT_MODES,
        *,
        device: str | torch.device = "auto",
        precision: Precision = "auto",
        batch_size: int = 256,
        template: str = DEFAULT_TEMPLATE,
        color: str | None = None,
        seed: int = 0,
        cache: bool | None = None,
        times: StageTimes | None = None,
    ) -> None:
        self.modes = mode_names(modes)
        checked_number("batch_size", batch_size, 1)
        checked_number("seed", seed, 0)
        if precision not in get_args(Precision):
            choices = ", ".join(get_args(Precision))
            raise ValueError(f"precision must be one of {choices}; got {precision!r}")
        checked("template", parse_template, template)
        if color is not None:
            checked("color", parse_color, color)
            if color == TEXT_COLOR:
                raise ValueError("color 'text' is that of a text, which a Grounder is given")
        if isinstance(clip, str):
            checked("clip", parse_clip, clip)
        self.device = choose_device(str(device))
        self.clips = load_clips(clip, self.device, precision) if isinstance(clip, str) else (*clip,)
        if not self.clips or not all(isinstance(model, ClipModel) for model in self.clips):
            raise TypeError("clip must be a name, or models that load_clips gave")
        if cache is None:
            cache = {model.name for model in self.clips} != {"demo"}
        self._at_once = pictures_at_once(batch_size, self.device)
        self.scorer = Scorer(
            self.clips,
            self.modes,
            device=self.device,
            options=RenderOptions(seed=seed),
            batch_size=batch_size,
            times=times or StageTimes(self.device),
            styles=draw_styles(self.modes, None, seed, color),
            template=template,
            cache=open_feature_cache(self.device) if cache else None,
        )

    def __call__(self, images: Any, masks: Any, *, boxes: Any = None) -> list[ImageFeatures]:
        """Return the features of the candidates of each image, also of a single one.

        Args:
            images, masks, boxes: As of ``render_batch``, where an image may have no candidate.
                ``MaskLogits`` are thresholded at the size of the image. Masks and pixels go
                through the CPU.

        Raises:
            TypeError, ValueError: As of ``render_batch``; the message names the argument.
        """
        return self.encode(masked_images(images, masks, boxes, self.modes))

    def encode(self, images: Sequence[MaskedImage]) -> list[ImageFeatures]:
        """Return the features of the candidates of each image."""
        counts = [len(image) for image in images]
        filled = [index for index, count in enumerate(counts) if count]
        found: dict[int, ImageFeatures] = {}
        for group in group_images([counts[index] for index in filled], self._at_once):
            members = filled[group.start : group.stop]
            features = self.scorer.encode([images[index] for index in members])
            found.update(zip(members, features, strict=True))
        return [
            found[index] if counts[index] else self._no_features() for index in range(len(counts))
        ]

    def scores(self, regions: Sequence[ImageFeatures], texts: Sequence[str]) -> list[torch.Tensor]:
        """Score the candidates of images against texts.

        Args:
            regions: What calling the encoder gave.
            texts: T texts, without the template; they are lower-cased, and remembered.

        Returns:
            For each image logits ``[T, N]``, float32 on the CPU: exp(logit_scale) · cosine, summed
            over modes and CLIPs.

        Raises:
            TypeError, ValueError: There is no text, or an empty one; or ``regions`` are others.
        """
        asked = scored_texts(texts)
        if not isinstance(regions, Sequence) or not all(
            isinstance(features, ImageFeatures) for features in regions
        ):
            raise TypeError("regions must be the list that calling the encoder gave")
        self.scorer.prepare(asked)
        return [
            torch.from_numpy(aggregate_modes(self.scorer.logits(features, asked), "sum"))
            for features in regions
        ]

    @torch.no_grad()
    def _no_features(self) -> ImageFeatures:
        """Return the features of no candidate; a model's texts say how long they are."""
        of_clips = []
        for clip in self.clips:
            tokens = clip.tokenizer([""]).to(self.device)  # [1, L]
            none = clip.model.encode_text(tokens).float()[:0]  # [0, D]
            of_clips.append((none,) * len(self.modes))
        return ImageFeatures(0, tuple(of_clips))


def mode_names(modes: Sequence[str | Mode]) -> tuple[str, ...]:
    """Return the canonical names of modes.

    Raises:
        TypeError, ValueError: They are no sequence of modes, empty, or one is given twice.
    """
    if isinstance(modes, str) or not isinstance(modes, Sequence):
        raise TypeError(f"modes must be a sequence of modes, got {modes!r}")
    try:
        names = tuple(Mode.parse(mode).value for mode in modes)
    except ValueError as error:
        raise ValueError(f"modes: {error}") from None
    if not names or len(set(names)) < len(names):
        raise ValueError(f"modes must name at least one mode and each once, got {list(modes)}")
    return names


def scored_texts(texts: Sequence[str], name: str = "texts") -> tuple[str, ...]:
    """Return texts as they are scored: lower-cased, without blanks around.

    Raises:
        TypeError, ValueError: They are no sequence of texts, or there is none, or an empty one.
    """
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise TypeError(f"{name} must be a sequence of texts, got {type(texts).__name__}")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"{name}[{index}] must be a text, got {type(text).__name__}")
        if not text.strip():
            raise ValueError(f"{name}[{index}] must not be empty, got {text!r}")
    if not texts:
        raise ValueError(f"{name} must hold at least one text, got none")
    return tuple(text.strip().lower() for text in texts)


def checked(name: str, parse: Callable[[str], _Value], text: str) -> _Value:
    """Return what ``parse``, which names an option, makes of an argument.

    Raises:
        TypeError, ValueError: The argument is no text, or not one of those that it may be.
    """
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a text, got {type(text).__name__}")
    try:
        return parse(text)
    except UsageError as error:
        reason = str(error).partition(" ")[2]
        raise ValueError(f"{name} {reason}") from None


def checked_number(name: str, number: int, least: int) -> None:
    """Check a whole number.

    Raises:
        TypeError, ValueError: It is none, or out of range.
    """
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{name} must be a whole number, got {number!r}")
    if not least <= number < 2**63:
        raise ValueError(f"{name} must be at least {least} and below 2**63, got {number}")
