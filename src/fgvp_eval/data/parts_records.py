"""The records of part detection: objects with annotated parts, and what was chosen for each part.

Boxes are named ``_xywh`` or ``_xyxy`` and are pixels of the whole image.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fgvp_eval.data.records import Annotation, Box
from fgvp_eval.options.splits import Split


@dataclass(frozen=True)
class Part:
    """One part of one object; parts of equal name are one part, as PACO annotates them.

    Attributes:
        text: What it is asked for by, ``a handle of a mug``.
        annotation: Its box and mask.
    """

    text: str
    annotation: Annotation


@dataclass(frozen=True)
class PartedObject:
    """An object with at least one annotated part: the unit that parts are told apart within.

    Attributes:
        object_id: Annotation id of the object.
        box_xywh: Its box; width and height are positive.
        parts: Its parts, each of another name.
    """

    object_id: int
    box_xywh: Box
    parts: tuple[Part, ...]

    def sample_ids(self, split: str) -> list[str]:
        """Return the stable name of each part, ``SPLIT:OBJECT_ID:PART_ID``."""
        return [f"{split}:{self.object_id}:{part.annotation.ann_id}" for part in self.parts]


@dataclass(frozen=True)
class PartsImage:
    """An image with its objects.

    Attributes:
        image_id: Its id.
        path: The file to open.
        name: The file relative to the data root, with ``/``.
        size: Height and width.
        objects: Those of its objects that are evaluated.
    """

    image_id: int
    path: Path
    name: str
    size: tuple[int, int]
    objects: tuple[PartedObject, ...]

    @property
    def parts(self) -> int:
        """How many parts its objects have."""
        return sum(len(thing.parts) for thing in self.objects)


@dataclass(frozen=True)
class PartCounts:
    """Size of a PACO file: images, annotated objects, and annotated parts."""

    images: int
    objects: int
    parts: int


@dataclass(frozen=True)
class PartsDataset:
    """A split as read from disk.

    Attributes:
        split: Which one.
        root: The data root.
        images: Images with at least one object that is evaluated.
        counts: Size of the whole file.
        published: Size that the published file has; None where there is nothing to compare with.
        phrases: Texts of all parts of the file, sorted.
        left_out: Objects and parts that are not evaluated, by reason.
        files_sha256: SHA-256 of the annotation file, by its path under the data root.
    """

    split: Split
    root: Path
    images: tuple[PartsImage, ...]
    counts: PartCounts
    published: PartCounts | None
    phrases: tuple[str, ...]
    left_out: dict[str, int]
    files_sha256: dict[str, str]


@dataclass(frozen=True, eq=False)
class PartResult:
    """What was chosen for one part by one way of assignment under one ensemble of modes.

    Attributes:
        sample_id: Stable name, ``SPLIT:OBJECT_ID:PART_ID``.
        image: The image's ``name``.
        object_id: Annotation id of the object.
        text: The part's text.
        protocol: ``naming`` or ``detection``.
        input: What was looked at: the ``object``, cut out, or the whole ``image``.
        mode: Label of the row: mode names joined by ``+``.
        assignment: ``argmax`` or ``hungarian``.
        parts: Number of parts of the object.
        candidates_xyxy: ``[N, 4]`` candidate boxes.
        scores: ``[N]`` their similarities to the text, the mean over modes and CLIP models of
            cosines.
        pred: Index of the chosen candidate; None if none was left for this part.
        gold_xyxy: The annotated box.
        box_iou: Overlap of the chosen and the annotated box; 0 without a choice.
        mask_iou: Overlap of the chosen and the annotated mask; 0 without a choice.
        correct: In naming, the part's own mask was chosen; in detection, ``box_iou`` is above 0.5.
        share_correct: Share of the candidates that would have been correct: what chance scores.
        best_box_iou: Highest overlap with the annotated box that any candidate has.
        best_mask_iou: Highest overlap with the annotated mask that any candidate has.
    """

    sample_id: str
    image: str
    object_id: int
    text: str
    protocol: str
    input: str
    mode: str
    assignment: str
    parts: int
    candidates_xyxy: NDArray[np.float64]
    scores: NDArray[np.float64]
    pred: int | None
    gold_xyxy: Box
    box_iou: float
    mask_iou: float
    correct: bool
    share_correct: float
    best_box_iou: float
    best_mask_iou: float

    def record(self) -> dict[str, Any]:
        """Return what is written to ``samples.jsonl``."""
        return vars(self) | {
            "candidates_xyxy": self.candidates_xyxy.tolist(),
            "scores": self.scores.tolist(),
        }
