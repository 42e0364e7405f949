"""What a run is asked to do: the options as given, and what they mean for one split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fgvp_eval.errors import UsageError
from fgvp_eval.splits import Split

Masks = Literal["sam", "gt"]
Precision = Literal["auto", "fp32", "fp16", "bf16"]

DEFAULT_MODES = ("blur_reverse_mask",)
DEMO_MODES = ("none", "crop", "circle", "contour", "blur_reverse_mask")
DEFAULT_SAM = "vit_h"
DEFAULT_CLIP = "ViT-B-32-quickgelu:openai+RN50x16-quickgelu:openai"
SAM_KINDS = ("vit_h", "vit_l", "vit_b")

_PROPOSALS = "gt, detections, detections:FILE"


@dataclass(frozen=True)
class Proposals:
    """Where candidate boxes come from.

    Attributes:
        kind: ``"gt"``, every annotated box of the image, or ``"detections"``, a detector's boxes.
        path: The detections file; None for the default place under the data root.
    """

    kind: Literal["gt", "detections"]
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
    """

    modes: tuple[str, ...]
    compare_modes: bool
    proposals: Proposals
    masks: Masks
    sam: str
    clip: str

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
        batch_size: Pictures encoded at once, >= 1.
        out: The run folder, or None for ``runs/SPLIT-TIME``.
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

    def __post_init__(self) -> None:
        for name, value, low in (
            ("--batch-size", self.batch_size, 1),
            ("--limit", self.limit, 1),
            ("--seed", self.seed, 0),
        ):
            if value is not None and value < low:
                raise UsageError(f"{name} must be at least {low}, got {value}")
        for split in self.splits:
            _check_masks(split, self.settings(split))

    def settings(self, split: Split) -> SplitSettings:
        """Return the settings of ``split``: the options given, else the split's defaults."""
        demo_table = split.is_demo and self.modes is None
        default_proposals = Proposals("gt" if split.is_demo else "detections")
        compare = self.compare_modes
        return SplitSettings(
            modes=self.modes or (DEMO_MODES if demo_table else DEFAULT_MODES),
            compare_modes=demo_table if compare is None else compare,
            proposals=self.proposals or default_proposals,
            masks=self.masks,
            sam=self.sam or ("demo" if split.is_demo else DEFAULT_SAM),
            clip=self.clip or ("demo" if split.is_demo else DEFAULT_CLIP),
        )

    def folder_of_data(self) -> Path:
        """Return the data root of every split that is not the embedded demo."""
        return self.data_root or Path("data")


def _check_masks(split: Split, settings: SplitSettings) -> None:
    if settings.masks == "gt" and settings.proposals.kind == "detections":
        raise UsageError(
            f"--masks gt needs --proposals gt on {split.name}: detected boxes have no annotated "
            "mask"
        )


def parse_proposals(text: str) -> Proposals:
    """Return the candidate source that ``text`` names.

    Raises:
        UsageError: It names none; the message lists the choices.
    """
    kind, colon, path = text.partition(":")
    if kind == "sam-grid":
        raise UsageError(f"--proposals sam-grid is not part of this version; choices: {_PROPOSALS}")
    if kind == "detections" and (not colon or path):
        return Proposals("detections", Path(path) if path else None)
    if text == "gt":
        return Proposals("gt")
    raise UsageError(f"--proposals must be one of {_PROPOSALS}; got {text!r}")


def parse_modes(text: str) -> tuple[str, ...]:
    """Return the canonical names of comma-separated modes.

    Raises:
        UsageError: A mode is unknown (the message lists the choices) or given twice.
    """
    # Late, since it imports torch, which --help need not wait for.
    from fgvp_kernels import Mode

    names: list[str] = []
    for word in text.split(","):
        try:
            name = Mode.parse(word.strip()).value
        except ValueError as error:
            raise UsageError(f"--modes: {error}") from None
        if name in names:
            raise UsageError(f"--modes names {name} twice; an ensemble counts each mode once")
        names.append(name)
    return tuple(names)


def parse_sam(text: str) -> str:
    """Return ``text`` if it names a SAM.

    Raises:
        UsageError: It names none; the message lists the choices.
    """
    kind, colon, checkpoint = text.partition(":")
    if text == "demo" or (kind in SAM_KINDS and bool(colon) == bool(checkpoint)):
        return text
    choices = ", ".join(f"{kind}[:CHECKPOINT]" for kind in SAM_KINDS)
    raise UsageError(f"--sam must be one of {choices}, demo; got {text!r}")
