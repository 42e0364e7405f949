"""What the models made of an object: all that is needed to choose among its candidates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fgvp_eval.scoring.choice import IOU_THRESHOLD

PartProtocol = Literal["naming", "detection"]
SeenInput = Literal["object", "image"]


@dataclass(frozen=True)
class Condition:
    """One of the ways in which parts are asked for in a run.

    Attributes:
        protocol: ``naming`` if the candidates are the annotated parts, else ``detection``.
        input: What is looked at: the ``object``, cut out, or the whole ``image``.
    """

    protocol: PartProtocol
    input: SeenInput

    @property
    def label(self) -> str:
        """Name of its rows in the journal."""
        return f"{self.protocol}:{self.input}"


@dataclass(frozen=True, eq=False)
class ScoredObject:
    """The N candidates of an object of T parts under one condition.

    Attributes:
        object_id: Annotation id of the object.
        candidates_xyxy: ``[N, 4]`` boxes, pixels of the image.
        part_of: ``[N]`` index of the part that a candidate is the annotation of; None in
            detection.
        box_iou: ``[N, T]`` overlap with the annotated boxes.
        mask_iou: ``[N, T]`` overlap with the annotated masks.
        scores: Similarities ``[T, N]`` by ensemble of modes, whose names are joined by ``+``.
    """

    object_id: int
    candidates_xyxy: NDArray[np.float64]
    part_of: NDArray[np.intp] | None
    box_iou: NDArray[np.float64]
    mask_iou: NDArray[np.float64]
    scores: dict[str, NDArray[np.float64]]

    @property
    def right(self) -> NDArray[np.bool_]:
        """``[N, T]``: the candidate is right for the part."""
        right: NDArray[np.bool_] = (
            self.box_iou > IOU_THRESHOLD
            if self.part_of is None
            else self.part_of[:, None] == np.arange(self.box_iou.shape[1])
        )
        return right

    def record(self) -> dict[str, Any]:
        """Return what the journal holds; numbers are kept to the last bit."""
        return {
            "object_id": self.object_id,
            "candidates_xyxy": self.candidates_xyxy.tolist(),
            "part_of": None if self.part_of is None else self.part_of.tolist(),
            "box_iou": self.box_iou.tolist(),
            "mask_iou": self.mask_iou.tolist(),
            "scores": {modes: scores.tolist() for modes, scores in self.scores.items()},
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> ScoredObject:
        """Return the object that :meth:`record` was called on."""
        scores = {
            modes: np.array(of_modes, dtype=np.float64)
            for modes, of_modes in record["scores"].items()
        }
        parts, count = next(iter(scores.values())).shape
        part_of = record["part_of"]
        return cls(
            object_id=record["object_id"],
            candidates_xyxy=_array(record["candidates_xyxy"], count, 4),
            part_of=None if part_of is None else np.array(part_of, dtype=np.intp),
            box_iou=_array(record["box_iou"], count, parts),
            mask_iou=_array(record["mask_iou"], count, parts),
            scores=scores,
        )


def _array(rows: list[list[float]], height: int, width: int) -> NDArray[np.float64]:
    """Return rows as an array; without any, their length is not to be seen."""
    return np.array(rows, dtype=np.float64).reshape(height, width)
