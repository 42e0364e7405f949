"""The work on the objects of an image: what is looked at, the candidates, their scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fgvp_eval.data.boxes import iou_matrix, xyxy_from_xywh
from fgvp_eval.data.parts_records import PartedObject, PartsImage
from fgvp_eval.errors import DataError
from fgvp_eval.machine.stage_times import StageTimes
from fgvp_eval.masks.masked_image import MaskedImage
from fgvp_eval.tasks.parts.candidates import annotated_candidates, found_candidates, gold_parts
from fgvp_eval.tasks.parts.crops import Crop, crop_around, mask_iou, whole_image
from fgvp_eval.tasks.parts.grid_candidates import GridCandidates
from fgvp_eval.tasks.parts.scored_objects import Condition, ScoredObject
from fgvp_eval.tasks.parts.scoring import PartScorer


@dataclass(frozen=True, eq=False)
class ObjectView:
    """The N candidates of an object of T parts under one condition, not yet scored.

    Attributes:
        crop: The window of the image that is looked at.
        picture: It, and the candidates on it; N may be 0.
        part_of, box_iou, mask_iou: As of :class:`ScoredObject`.
    """

    crop: Crop
    picture: MaskedImage
    part_of: NDArray[np.intp] | None
    box_iou: NDArray[np.float64]
    mask_iou: NDArray[np.float64]

    def scored(self, thing: PartedObject, scores: dict[str, NDArray[np.float64]]) -> ScoredObject:
        """Return the object with its scores ``[T, N]`` under each ensemble."""
        boxes_xyxy = [self.crop.to_image(box_xyxy) for box_xyxy in self.picture.boxes_xyxy]
        return ScoredObject(
            object_id=thing.object_id,
            candidates_xyxy=np.array(boxes_xyxy, dtype=np.float64).reshape(-1, 4),
            part_of=self.part_of,
            box_iou=self.box_iou,
            mask_iou=self.mask_iou,
            scores=scores,
        )


@dataclass(frozen=True)
class ObjectScorer:
    """Scores objects under several conditions.

    The candidates of all objects of an image are encoded together.

    Attributes:
        conditions: How parts are asked for.
        part_scorer: Scores candidates.
        grid: Finds the candidates of detection.
        seed: Seed of the order of candidates.
        times: Where seconds are added.
    """

    conditions: tuple[Condition, ...]
    part_scorer: PartScorer
    grid: GridCandidates
    seed: int
    times: StageTimes

    def prepare(self, texts: Sequence[str]) -> None:
        """Encode texts in full batches; see :meth:`scorer.Scorer.prepare`."""
        with self.times.measure("texts"):
            self.part_scorer.scorer.prepare(texts)

    def score(
        self, image: PartsImage, pixels: NDArray[np.uint8]
    ) -> Iterator[tuple[PartedObject, list[ScoredObject] | DataError]]:
        """Yield the objects of an image with their scores under each condition, or why not.

        Args:
            image: The image.
            pixels: ``[H, W, 3]`` uint8 RGB.
        """
        on_image = np.zeros((0, *pixels.shape[:2]), dtype=bool)
        if Condition("detection", "image") in self.conditions:
            on_image = self.grid.find(pixels, is_whole=True)  # [M, H, W]
        views: dict[int, list[ObjectView] | DataError] = {}
        for thing in image.objects:
            try:
                views[thing.object_id] = [
                    self._view(thing, condition, pixels, on_image) for condition in self.conditions
                ]
            except DataError as error:
                views[thing.object_id] = error
        pictures = {
            (object_id, number): view.picture
            for object_id, of_object in views.items()
            if not isinstance(of_object, DataError)
            for number, view in enumerate(of_object)
            if len(view.picture)
        }
        encoded = self.part_scorer.encode(list(pictures.values()))
        features = dict(zip(pictures, encoded, strict=True))
        for thing in image.objects:
            of_object = views[thing.object_id]
            try:
                if isinstance(of_object, DataError):
                    raise of_object
                texts = [part.text for part in thing.parts]
                found = [
                    view.scored(
                        thing,
                        self.part_scorer.cosines(features.get((thing.object_id, number)), texts),
                    )
                    for number, view in enumerate(of_object)
                ]
            except DataError as error:
                reason = f"{image.path}: object {thing.object_id}: {error}"
                yield thing, DataError(reason)
            else:
                yield thing, found

    def _view(
        self,
        thing: PartedObject,
        condition: Condition,
        pixels: NDArray[np.uint8],
        on_image: NDArray[np.bool_],
    ) -> ObjectView:
        """Look at an object; ``on_image`` are the masks ``[M, H, W]`` that SAM finds on ``pixels``.

        Raises:
            DataError: A segmentation is broken.
        """
        size = pixels.shape[0], pixels.shape[1]
        whole = condition.input == "image"
        crop = whole_image(size) if whole else crop_around(thing.box_xywh, size)
        picture = np.ascontiguousarray(crop.of(pixels), dtype=np.uint8)  # [h, w, 3]
        with self.times.measure("masks"):
            gold = gold_parts(thing, crop, size)
        seed = (self.seed, thing.object_id)
        if condition.protocol == "naming":
            candidates = annotated_candidates(gold, seed)
        else:
            found = on_image if whole else self.grid.find(picture, is_whole=False)  # [M, h, w]
            object_xyxy = crop.to_crop(xyxy_from_xywh(thing.box_xywh))
            candidates = found_candidates(found, object_xyxy, seed)
        masks = torch.from_numpy(np.ascontiguousarray(candidates.masks))
        return ObjectView(
            crop,
            MaskedImage(picture, masks, candidates.boxes_xyxy),
            candidates.part_of,
            iou_matrix(candidates.boxes_xyxy, gold.boxes_xyxy),
            mask_iou(candidates.masks, gold.masks, gold.areas),
        )
