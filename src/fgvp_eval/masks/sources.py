"""What gives an image its candidates and their masks: SAM by boxes or by a grid, or annotations.

This is where other mask models go in. SAM 2 or a model of Hugging Face needs one class with the
two members of :class:`MaskSource`; whatever it loads, batches or caches is its own affair, and no
other step of an evaluation knows which model the masks came from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from fgvp_eval.data.annotated_masks import annotated_masks
from fgvp_eval.data.candidates import Candidates
from fgvp_eval.data.records import Box, ImageRecord
from fgvp_eval.errors import DataError
from fgvp_eval.machine.out_of_memory import ShrinkingBatch
from fgvp_eval.masks.by_boxes import BOXES_AT_ONCE, box_masks
from fgvp_eval.masks.by_grid import OFFICIAL_GRID, GridSettings, grid_masks
from fgvp_eval.masks.cleanup import area_at, clean_masks
from fgvp_eval.masks.embedding_cache import EmbeddingCache
from fgvp_eval.masks.masked_image import MaskedImage
from fgvp_eval.masks.sam_models import SamModel
from fgvp_eval.masks.sam_prompting import moved_to_sam_frame, prompt_ready


@dataclass(frozen=True, eq=False)
class MaskedBoxes:
    """The candidates of an image.

    Attributes:
        boxes_xyxy: N boxes, N >= 1, in the order that breaks ties.
        masks: ``[N, H, W]`` bool on any device.
        resized: As of :class:`MaskedImage`.
    """

    boxes_xyxy: tuple[Box, ...]
    masks: torch.Tensor
    resized: MaskedImage | None = None


class MaskSource(Protocol):
    """Finds the candidates of an image, each with its mask."""

    @property
    def stage(self) -> str:
        """Name under which its seconds are counted."""

    def find(self, image: ImageRecord, pixels: NDArray[np.uint8]) -> MaskedBoxes:
        """Return the candidates of ``image``, whose pixels are ``[H, W, 3]`` uint8 RGB."""


@dataclass(frozen=True)
class BoxPrompts:
    """SAM, prompted with each candidate box.

    Attributes:
        candidates: The boxes of every image.
        model: The SAM.
        clean_area: Holes and islands of fewer pixels are removed, measured in SAM's frame of long
            side 1024 as the official code does; 0 leaves masks as SAM gives them.
        cache: Where embeddings are kept; None for nowhere.
        in_sam_frame: Masks are found, cleaned and drawn from in SAM's frame, as the official code
            does, and not at the size of the image.
    """

    candidates: Candidates
    model: SamModel
    clean_area: float = 0.0
    cache: EmbeddingCache | None = None
    in_sam_frame: bool = False
    stage: str = "sam"
    _batch: ShrinkingBatch = field(
        default_factory=lambda: ShrinkingBatch(BOXES_AT_ONCE, "boxes"), repr=False
    )

    def find(self, image: ImageRecord, pixels: NDArray[np.uint8]) -> MaskedBoxes:
        """See :class:`MaskSource`."""
        size = (pixels.shape[0], pixels.shape[1])
        boxes_xyxy = self.candidates.boxes_xyxy(image, size)
        if not self.in_sam_frame:
            return MaskedBoxes(boxes_xyxy, self.masks_of(pixels, boxes_xyxy))
        moved, moved_xyxy = moved_to_sam_frame(pixels, boxes_xyxy)
        resized = MaskedImage(moved, self.masks_of(moved, moved_xyxy), moved_xyxy)
        return MaskedBoxes(boxes_xyxy, no_masks(len(boxes_xyxy), size), resized)

    def masks_of(self, pixels: NDArray[np.uint8], boxes_xyxy: tuple[Box, ...]) -> torch.Tensor:
        """Return the masks ``[N, H, W]`` bool of N boxes of an image ``[H, W, 3]`` uint8 RGB."""
        area = area_at((pixels.shape[0], pixels.shape[1]), self.clean_area)
        masks = box_masks(prompt_ready(self.model, pixels, self.cache), boxes_xyxy, self._batch)
        return clean_masks(masks, area)[0]


@dataclass(frozen=True)
class GridPrompts:
    """SAM, prompted with a grid of points: its masks and their boxes are the candidates.

    A box reaches to the far edge of the mask's last column and row, as annotated boxes do. Where
    nothing is found, the one candidate is the whole image.

    Attributes:
        model: The SAM.
        settings: Settings of the generator.
        clean_area: As in :class:`BoxPrompts`.
        cache: Where embeddings are kept; None for nowhere.
    """

    model: SamModel
    settings: GridSettings = OFFICIAL_GRID
    clean_area: float = 0.0
    cache: EmbeddingCache | None = None
    stage: str = "sam"

    def find(self, image: ImageRecord, pixels: NDArray[np.uint8]) -> MaskedBoxes:
        """See :class:`MaskSource`."""
        height, width = pixels.shape[:2]
        settings = self.settings.cleaned(area_at((height, width), self.clean_area))
        found = grid_masks(prompt_ready(self.model, pixels, self.cache), settings)
        if len(found) == 0:
            whole = (0.0, 0.0, float(width), float(height))
            return MaskedBoxes((whole,), torch.ones((1, height, width), dtype=torch.bool))
        beyond = found.boxes_xyxy + found.boxes_xyxy.new_tensor([0, 0, 1, 1])  # [N, 4]
        boxes_xyxy = tuple(
            (float(a), float(b), float(c), float(d)) for a, b, c, d in beyond.tolist()
        )
        return MaskedBoxes(boxes_xyxy, found.runs.decode())


@dataclass(frozen=True)
class AnnotatedMasks:
    """The annotated boxes and masks."""

    candidates: Candidates
    stage: str = "masks"

    def find(self, image: ImageRecord, pixels: NDArray[np.uint8]) -> MaskedBoxes:
        """See :class:`MaskSource`."""
        size = (pixels.shape[0], pixels.shape[1])
        try:
            masks = annotated_masks(image.annotations, size)
        except DataError as error:
            raise DataError(f"{image.name}: {error}") from None
        return MaskedBoxes(self.candidates.boxes_xyxy(image, size), masks)


@dataclass(frozen=True)
class UnmaskedBoxes:
    """Boxes alone, with empty masks, for modes that never look at a mask."""

    candidates: Candidates
    stage: str = "masks"

    def find(self, image: ImageRecord, pixels: NDArray[np.uint8]) -> MaskedBoxes:
        """See :class:`MaskSource`."""
        size = (pixels.shape[0], pixels.shape[1])
        boxes_xyxy = self.candidates.boxes_xyxy(image, size)
        return MaskedBoxes(boxes_xyxy, no_masks(len(boxes_xyxy), size))


@dataclass(frozen=True)
class GivenMasks:
    """Candidates whose masks are there already.

    Attributes:
        found: The candidates.
    """

    found: MaskedBoxes
    stage: str = "masks"

    def find(self, image: ImageRecord, pixels: NDArray[np.uint8]) -> MaskedBoxes:
        """See :class:`MaskSource`."""
        return self.found


def no_masks(count: int, size: tuple[int, int]) -> torch.Tensor:
    """Return empty masks ``[count, *size]``, for prompts that never look at a mask."""
    return torch.zeros(count, *size, dtype=torch.bool)
