"""What a run is asked to do: the options as given, and what they mean for one split."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from fgvp_eval.errors import UsageError
from fgvp_eval.options.presets import DEFAULT_TEMPLATE, Drawing, Post, Preset
from fgvp_eval.options.splits import Split

Aggregate = Literal["sum", "max"]
Masks = Literal["sam", "gt"]
Precision = Literal["auto", "fp32", "fp16", "bf16"]
PartInput = Literal["object", "image", "both"]

DEFAULT_MODES = ("blur_reverse_mask",)
DEMO_MODES = ("none", "crop", "circle", "contour", "blur_reverse_mask")
DEFAULT_SAM = "vit_h"
DEFAULT_CLIP = "ViT-B-32-quickgelu:openai+RN50x16-quickgelu:openai"
OFFICIAL_CLEAN_MASKS = 400
SAM_KINDS = ("vit_h", "vit_l", "vit_b")
DEFAULT_REPORT_MISSES = 100
TEXT_COLOR = "text"  # of each sentence the colour whose name is nearest to it


@dataclass(frozen=True)
class Proposals:
    """Where candidate boxes come from.

    Attributes:
        kind: ``"gt"``, every annotated box of the image; ``"detections"``, a detector's boxes; or
            ``"sam-grid"``, the masks that SAM finds from a grid of points.
        path: The detections file; None for the default place under the data root.
    """

    kind: Literal["gt", "detections", "sam-grid"]
    path: Path | None = None


@dataclass(frozen=True)
class SplitSettings:
    """Everything that decides the result of one split, defaults filled in.

    Attributes:
        modes: Canonical names of the visual prompts, at least one, each once.
        compare_modes: Each mode is scored alone, instead of all as one ensemble.
        proposals: Source of the candidate boxes.
        masks: Source of the candidate masks.
        sam: ``demo`` or ``KIND[:CHECKPOINT]``.
        clip: ``demo`` or ``MODEL:PRETRAINED``, several joined by ``+``.
        clean_masks: Holes and islands of SAM's masks below this area, in pixels at long side 1024,
            are removed; 0 for none.
        cache: SAM's image embeddings are kept on disk.
        feature_cache: CLIP's features of candidates are kept on disk.
        post: Relations (R), score subtraction (S), both, or none.
        aggregate: How the logits of an ensemble's modes become one.
        negatives: How many sentences are drawn for score subtraction; None takes all of the split.
        template: What a sentence is put into, in the place of ``{}``.
        size_prior: Share of the image's area that a candidate must exceed; 0 asks nothing.
        color: Colour of tints, fills and outlines: a name, ``random`` or ``text``; None for that
            of the drawing.
        drawing: Whose way of drawing; None for this package's own.
        as_released: SAM's masks are found and drawn from at long side 1024, and relations are
            computed in float32 with NaN where 0 is divided by 0, as the released code does.
        preset: Name of the preset that this follows, if any.
        changed: Options in which it departs from the preset.
    """

    modes: tuple[str, ...]
    compare_modes: bool
    proposals: Proposals
    masks: Masks
    sam: str
    clip: str
    clean_masks: int
    cache: bool
    feature_cache: bool
    post: Post = "none"
    aggregate: Aggregate = "sum"
    negatives: int | None = None
    template: str = DEFAULT_TEMPLATE
    size_prior: float = 0.0
    color: str | None = None
    drawing: Drawing | None = None
    as_released: bool = False
    preset: str | None = None
    changed: tuple[str, ...] = ()

    @property
    def is_small(self) -> bool:
        """All models are those of the demo."""
        return self.sam == "demo" and set(self.clip.split("+")) == {"demo"}

    @property
    def mode_groups(self) -> tuple[tuple[str, ...], ...]:
        """The modes of each row of the result table."""
        return tuple((mode,) for mode in self.modes) if self.compare_modes else (self.modes,)


@dataclass(frozen=True)
class EvalConfig:
    """The options of a run; None stands for the default of the split.

    Attributes:
        splits: The splits to evaluate, at least one.
        data_root: Folder of annotations and images, or None for ``./data``.
        modes: Canonical names of visual prompts.
        compare_modes: Score each mode alone.
        proposals: Source of candidate boxes.
        masks: Source of candidate masks.
        sam: Which SAM.
        clip: Which CLIP, or several joined by ``+``.
        limit: Only the first so many sentences of each split, >= 1.
        seed: Seed of everything random, >= 0.
        device: ``auto`` or a name that torch knows.
        precision: Of the CLIP towers; ``auto`` is fp16 on a GPU and fp32 on a CPU.
        batch_size: Pictures encoded at once, >= 1; on a CPU at most 32.
        out: The run folder, or None for ``runs/SPLIT-TIME``.
        clean_masks: Area below which holes and islands of SAM's masks are removed, >= 0.
        cache: Keep SAM's image embeddings on disk.
        feature_cache: Keep CLIP's features of candidates on disk.
        resume: Go on with the run that the run folder holds.
        preset: The row of the published table whose options are the defaults.
        as_released: As in :class:`SplitSettings`; None is yes with a preset and no without.
        post, aggregate, negatives, template, size_prior, color: As in :class:`SplitSettings`.
        strict_data: Refuse data whose counts are not the published ones.
        part_input: What parts are looked for in: the object cut out, the whole image, or both.
        report: Write ``report.html``.
        report_misses: How many misses of each row it shows, >= 0.
    """

    splits: tuple[Split, ...]
    data_root: Path | None = None
    modes: tuple[str, ...] | None = None
    compare_modes: bool | None = None
    proposals: Proposals | None = None
    masks: Masks = "sam"
    sam: str | None = None
    clip: str | None = None
    limit: int | None = None
    seed: int = 0
    device: str = "auto"
    precision: Precision = "auto"
    batch_size: int = 256
    out: Path | None = None
    clean_masks: int | None = None
    cache: bool | None = None
    feature_cache: bool | None = None
    resume: bool = True
    preset: Preset | None = None
    as_released: bool | None = None
    post: Post | None = None
    aggregate: Aggregate | None = None
    negatives: int | None = None
    template: str | None = None
    size_prior: float | None = None
    color: str | None = None
    strict_data: bool = False
    part_input: PartInput | None = None
    report: bool = True
    report_misses: int = DEFAULT_REPORT_MISSES

    def __post_init__(self) -> None:
        for name, value, low in (
            ("--batch-size", self.batch_size, 1),
            ("--limit", self.limit, 1),
            ("--seed", self.seed, 0),
            ("--clean-masks", self.clean_masks, 0),
            ("--negatives", self.negatives, 1),
            ("--report-misses", self.report_misses, 0),
        ):
            if value is not None and value < low:
                raise UsageError(f"{name} must be at least {low}, got {value}")
            if value is not None and value >= 2**63:
                raise UsageError(f"{name} must be below 2**63")
        if not 0.0 <= (self.size_prior or 0.0) < 1.0:
            raise UsageError(f"--size-prior must be at least 0 and below 1, got {self.size_prior}")
        for split in self.splits:
            settings = self.settings(split)
            _check_masks(split, settings)
            if self.part_input is not None and not split.has_parts:
                raise UsageError(f"--part-input has no meaning for {split.name}: it has no parts")
            if self.negatives is not None and "S" not in settings.post:
                raise UsageError(f"--negatives needs --post S or RS, got --post {settings.post}")

    def settings(self, split: Split) -> SplitSettings:
        """Return the settings of ``split``: the options given, else the split's defaults."""
        preset = self.preset
        demo_table = split.is_demo and self.modes is None and preset is None
        default_modes = DEMO_MODES if demo_table else DEFAULT_MODES
        default_proposals = Proposals("gt" if split.is_demo else "detections")
        default_clip = DEFAULT_CLIP if preset is None else preset.clip
        compare = self.compare_modes
        sam = self.sam or ("demo" if split.is_demo else DEFAULT_SAM)
        clip = self.clip or ("demo" if split.is_demo else default_clip)
        keeps_features = set(clip.split("+")) != {"demo"}
        # The demo SAM sees 128 pixels, where 400 at long side 1024 are 6; and it costs less to run
        # than to read back.
        default_clean = 0 if sam == "demo" else OFFICIAL_CLEAN_MASKS
        clean = default_clean if self.clean_masks is None else self.clean_masks
        as_released = preset is not None if self.as_released is None else self.as_released
        own_drawing: Drawing | None = "fgvp" if as_released else None
        settings = SplitSettings(
            modes=self.modes or (default_modes if preset is None else preset.modes),
            compare_modes=demo_table if compare is None else compare,
            proposals=self.proposals or default_proposals,
            masks=self.masks,
            sam=sam,
            clip=clip,
            clean_masks=clean,
            cache=sam != "demo" if self.cache is None else self.cache,
            feature_cache=keeps_features if self.feature_cache is None else self.feature_cache,
            post=self.post or ("none" if preset is None else preset.post),
            aggregate=self.aggregate or "sum",
            negatives=self.negatives,
            template=self.template or (DEFAULT_TEMPLATE if preset is None else preset.template),
            size_prior=self.size_prior or 0.0,
            color=self.color,
            drawing=own_drawing if preset is None else preset.drawing,
            as_released=as_released,
        )
        if preset is None:
            return settings
        changed = changes(settings, preset, self.limit)
        return replace(settings, preset=preset.name, changed=changed)

    def folder_of_data(self) -> Path:
        """Return the data root of every split that is not the embedded demo."""
        return self.data_root or Path("data")


def changes(settings: SplitSettings, preset: Preset, limit: int | None) -> tuple[str, ...]:
    """Return the options in which settings depart from a preset and so from its published number.

    Which sentences are subtracted is not among them: the published runs drew 500 without a seed.
    """
    departs = {
        "modes": settings.modes != preset.modes,
        "compare-modes": settings.compare_modes,
        "proposals": settings.proposals.kind != "detections",
        "masks": settings.masks != "sam",
        "clean-masks": settings.clean_masks != OFFICIAL_CLEAN_MASKS,
        "sam": settings.sam.partition(":")[0] != DEFAULT_SAM,
        "clip": settings.clip != preset.clip,
        "post": settings.post != preset.post,
        "aggregate": settings.aggregate != "sum",
        "template": settings.template != preset.template,
        "size-prior": settings.size_prior > 0,
        "color": settings.color is not None,
        "as-released": not settings.as_released,
        "limit": limit is not None,
    }
    return tuple(name for name, differs in departs.items() if differs)


def _check_masks(split: Split, settings: SplitSettings) -> None:
    if settings.masks == "gt" and settings.proposals.kind != "gt":
        found = "SAM's own masks" if settings.proposals.kind == "sam-grid" else "detected boxes"
        raise UsageError(
            f"--masks gt needs --proposals gt on {split.name}: {found} have no annotated mask"
        )
