"""One split of a run: its data, its settings, and where its candidates and masks come from."""

from __future__ import annotations

from dataclasses import dataclass

from fgvp_eval.data.candidates import Candidates, read_candidates
from fgvp_eval.data.count_check import require_counts
from fgvp_eval.data.records import Dataset
from fgvp_eval.data.refcoco import read_refcoco
from fgvp_eval.encoding.drawing import DrawStyle, draw_styles
from fgvp_eval.encoding.image_groups import MOST_IMAGES, TYPICAL_GRID_MASKS, group_images
from fgvp_eval.masks.by_grid import GridSettings, grid_settings
from fgvp_eval.masks.cleanup import SAM_FRAME
from fgvp_eval.masks.embedding_cache import default_cache
from fgvp_eval.masks.sam_models import SamModel
from fgvp_eval.masks.sources import (
    AnnotatedMasks,
    BoxPrompts,
    GridPrompts,
    MaskSource,
    UnmaskedBoxes,
)
from fgvp_eval.options.config import TEXT_COLOR, EvalConfig, SplitSettings
from fgvp_eval.options.demo_models import misplaced_demo_models
from fgvp_eval.options.splits import Counts, Split
from fgvp_eval.scoring.caption_bank import CaptionBank
from fgvp_eval.tasks.task import Deciding, split_data_root
from fgvp_kernels import Mode
from fgvp_kernels.modes import Region


@dataclass(frozen=True)
class SplitPlan:
    """A split whose data is read and found good."""

    dataset: Dataset
    settings: SplitSettings
    candidates: Candidates

    @property
    def name(self) -> str:
        """Name of the split."""
        return self.dataset.split.name

    @property
    def masks(self) -> str:
        """Where masks come from; ``unused`` spares SAM where no mode looks at a mask."""
        if self.settings.proposals.kind == "sam-grid":
            return "sam-grid"
        regions = {Mode(mode).spec.region for mode in self.settings.modes}
        return self.settings.masks if Region.MASK in regions else "unused"

    def bank(self, seed: int) -> CaptionBank | None:
        """Return the sentences that score subtraction needs; None without it."""
        if "S" not in self.settings.post:
            return None
        return CaptionBank(self.name, self.dataset.captions, self.settings.negatives, seed)

    def styles(self, seed: int) -> dict[str, DrawStyle]:
        """Return how each mode is drawn."""
        color = None if self.settings.color == TEXT_COLOR else self.settings.color
        return draw_styles(self.settings.modes, self.settings.drawing, seed, color)

    @property
    def grid(self) -> GridSettings:
        """Settings of the generator that ``sam-grid`` runs."""
        return grid_settings(self.settings.sam)

    @property
    def frame(self) -> int | None:
        """Long side of the image that prompts are drawn on; None for the image's own size.

        The released code goes by way of SAM's frame where SAM is prompted with boxes, which FGVP's
        rows do; ReCLIP's and RedCircle's rows have no masks, and crops are always the original's.
        """
        released = self.settings.as_released and self.settings.drawing == "fgvp"
        return SAM_FRAME if released and self.masks == "sam" else None

    @property
    def needs_sam(self) -> bool:
        """Candidates or masks come from SAM."""
        return self.masks in ("sam", "sam-grid")

    @property
    def demo_models(self) -> list[str]:
        """Which models are the demo's although the split is not."""
        return misplaced_demo_models(self.dataset.split, self.settings, self.needs_sam)

    @property
    def files_sha256(self) -> dict[str, str]:
        """SHA-256 of every annotation and detections file."""
        return self.dataset.files_sha256 | self.candidates.files_sha256

    @property
    def counts(self) -> Counts:
        """Size of the split on disk."""
        return self.dataset.counts

    @property
    def published(self) -> Counts | None:
        """Size that it should have; None where there is nothing to compare with."""
        return self.dataset.split.published

    @property
    def image_names(self) -> list[str]:
        """The name of each image, in the order of the split."""
        return [image.name for image in self.dataset.images]

    def size(self, index: int) -> int:
        """Return how many sentences an image has."""
        return len(self.dataset.images[index].samples)

    def deciding(self, at_once: int) -> Deciding:
        """Return what decides the results; ``at_once`` are the pictures of a batch."""
        packing = {"candidates": at_once, "images": MOST_IMAGES, "grid_masks": TYPICAL_GRID_MASKS}
        grid = self.grid if self.masks == "sam-grid" else None
        return Deciding(self.settings, grid, packing)

    def groups(self, at_once: int) -> list[range]:
        """Return the numbers of images that are encoded together.

        Args:
            at_once: Pictures of a batch.
        """
        images = self.dataset.images
        if self.masks == "sam-grid":
            return group_images([TYPICAL_GRID_MASKS] * len(images), at_once)
        return group_images([self.candidates.count(image) for image in images], at_once)

    def mask_source(self, sam: SamModel | None) -> MaskSource:
        """Return what gives the images of a split their candidates and masks."""
        if self.masks == "unused":
            return UnmaskedBoxes(self.candidates)
        if self.masks == "gt":
            return AnnotatedMasks(self.candidates)
        if sam is None:
            raise RuntimeError("masks come from SAM, but none was loaded")
        cache = default_cache() if self.settings.cache else None
        area = float(self.settings.clean_masks)
        if self.masks == "sam-grid":
            return GridPrompts(sam, self.grid, clean_area=area, cache=cache)
        return BoxPrompts(
            self.candidates,
            sam,
            clean_area=area,
            cache=cache,
            in_sam_frame=self.frame is not None,
        )


def read_plan(config: EvalConfig, split: Split) -> SplitPlan:
    """Read and check the data of a split.

    Raises:
        UsageError: An option does not fit the split.
        DataError: Data is missing or broken.
    """
    settings = config.settings(split)
    dataset = read_refcoco(split_data_root(config, split), split, config.limit)
    if config.strict_data:
        require_counts(split.name, dataset.counts, split.published)
    return SplitPlan(dataset, settings, read_candidates(dataset, settings.proposals))
