"""The candidate boxes of each image, from annotations or from a detector."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fgvp_eval.data.boxes import xyxy_from_xywh
from fgvp_eval.data.detections import detections_path, read_detections
from fgvp_eval.data.records import Box, Dataset, ImageRecord
from fgvp_eval.errors import DataError
from fgvp_eval.options.config import Proposals


@dataclass(frozen=True)
class Candidates:
    """Candidate boxes of a split.

    Attributes:
        detected_xywh: A detector's boxes by image id; None if candidates are the annotations.
        files_sha256: SHA-256 of the detections file, by path.
    """

    detected_xywh: dict[int, tuple[Box, ...]] | None
    files_sha256: dict[str, str]

    def count(self, image: ImageRecord) -> int:
        """Return how many candidates an image has, >= 1."""
        return len(self._boxes_xywh(image)) or 1

    def boxes_xyxy(self, image: ImageRecord, size: tuple[int, int]) -> tuple[Box, ...]:
        """Return the candidates of an image, at least one, in the order that breaks ties.

        Args:
            image: The image.
            size: Its height and width: where the detector found nothing, the one candidate is
                the whole image.

        Raises:
            DataError: The boxes cannot be pixels of the image.
        """
        found = self._boxes_xywh(image)
        height, width = size
        whole: Box = (0.0, 0.0, float(width), float(height))
        boxes_xyxy = tuple(xyxy_from_xywh(box_xywh) for box_xywh in found or (whole,))
        numbers = [number for box_xyxy in boxes_xyxy for number in box_xyxy]
        if max(numbers) <= 1 < max(size) and not all(number.is_integer() for number in numbers):
            raise DataError(
                f"{image.name}: all candidates lie within one pixel; are boxes shares of its sides?"
            )
        return boxes_xyxy

    def _boxes_xywh(self, image: ImageRecord) -> tuple[Box, ...]:
        if self.detected_xywh is None:
            return tuple(annotation.box_xywh for annotation in image.annotations)
        return self.detected_xywh[image.image_id]


def read_candidates(dataset: Dataset, proposals: Proposals) -> Candidates:
    """Read the candidates of every image of a split.

    Raises:
        DataError: The detections file is missing, broken or lacks an image. It is never silently
            replaced by the annotations, which are an easier set of candidates.
    """
    if proposals.kind != "detections":
        return Candidates(None, {})
    path = detections_path(dataset.split, dataset.root, proposals.path)
    detected, sha256 = read_detections(path, dataset)
    return Candidates(detected, {_short(path, dataset.root): sha256})


def _short(path: Path, root: Path) -> str:
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()
