"""What a grounding found, as a table, as a JSON record and drawn on the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask
from tabulate import tabulate

from fgvp_eval.commands.ground.annotated_picture import Mark, annotated_picture, color_of
from fgvp_eval.commands.ground.inputs import GroundInputs
from fgvp_eval.data.data_files import file_sha256
from fgvp_eval.encoding.clip_models import ClipModel
from fgvp_eval.machine.versions import versions_of_run
from fgvp_eval.runs.run_identity import plain
from fgvp_eval.tasks.grounding import Grounding

SCHEMA_VERSION = 1


@dataclass(frozen=True, eq=False)
class GroundReport:
    """A grounding with everything that explains it.

    Attributes:
        inputs: The picture and what was asked about it.
        found: The grounding.
        clips: The CLIP models.
        models: What identifies each model.
        device: Where it was drawn and scored.
        seed: Of everything random.
        seconds: Seconds by stage.
    """

    inputs: GroundInputs
    found: Grounding
    clips: tuple[ClipModel, ...]
    models: list[dict[str, Any]]
    device: torch.device
    seed: int
    seconds: dict[str, float]

    def table(self) -> str:
        """Return one row for each text."""
        found, several = self.found, len(self.inputs.texts) > 1
        rows = []
        for index, text in enumerate(self.inputs.texts):
            chosen = found.assigned[index]
            row: list[object] = [text, None, None, None, None, None]
            if chosen is not None:
                row[1:] = [
                    self._name(chosen),
                    self._box_text(chosen),
                    f"{found.scores[index, chosen]:.3f}",
                    f"{found.probabilities[index, chosen]:.3f}",
                    _signed(found.margin(index)),
                ]
            rows.append([*row, self._name(found.best[index])] if several else row)
        headers = ["text", "candidate", "box x1 y1 x2 y2", "score", "probability", "margin"]
        alone = ["best alone"] if several else []
        widths = [50, 24, None, None, None, None, 24][: len(headers) + len(alone)]
        return tabulate(
            rows,
            [*headers, *alone],
            disable_numparse=True,
            missingval="-",
            maxcolwidths=widths,
        )

    def record(self, command: str) -> dict[str, Any]:
        """Return what ``ground.json`` holds; boxes are pixels of the picture's own size."""
        found, photo, settings = self.found, self.inputs.photo, self.inputs.plan.settings
        image = self.inputs.plan.dataset.images[0]
        boxes_xyxy = [photo.box_to_picture(box_xyxy) for box_xyxy in found.boxes_xyxy]
        return {
            "schema_version": SCHEMA_VERSION,
            "image": {
                "file": image.name,
                "sha256": file_sha256(image.path),
                "size": list(photo.size),
                "scored_size": list(photo.pixels.shape[:2]),
            },
            "texts": list(self.inputs.texts),
            "candidates_xyxy": [
                [round(number, 3) for number in box_xyxy] for box_xyxy in boxes_xyxy
            ],
            "boxes_read_as": None if self.inputs.boxes is None else self.inputs.boxes.form,
            "labels": None if self.inputs.labels is None else list(self.inputs.labels),
            "masks": None if self.inputs.masks == "unused" else [*self._masks_rle()],
            "modes": list(settings.modes),
            "scores_by_mode": [
                dict(zip(settings.modes, rows.tolist(), strict=True)) for rows in found.by_mode
            ],
            "scores": found.scores.tolist(),
            "probabilities": found.probabilities.tolist(),
            "assignment": list(found.assigned),
            "argmax": list(found.best),
            "margins": [found.margin(index) for index in range(len(self.inputs.texts))],
            "config": {**plain(settings), "masks": self.inputs.masks, "seed": self.seed},
            "models": plain(self.models),
            "files_sha256": self.inputs.plan.files_sha256,
            "command": command,
            "versions": versions_of_run(),
            "device": str(self.device),
            "precision": str(self.clips[0].dtype).removeprefix("torch."),
            "seconds": {stage: round(spent, 3) for stage, spent in self.seconds.items()},
        }

    def annotated(self) -> Image.Image:
        """Return the picture with the candidate of each text."""
        marks = []
        for index, text in enumerate(self.inputs.texts):
            chosen, color = self.found.assigned[index], color_of(index)
            tag = str(index + 1)
            if chosen is None:
                marks.append(Mark(f"{text}: no candidate is left", tag, color))
                continue
            share = self.found.probabilities[index, chosen]
            legend = f"{text}: candidate {self._name(chosen)}, probability {share:.2f}"
            best = self.found.best[index]
            if best != chosen:
                legend += f" (alone it would be candidate {self._name(best)})"
            mask: NDArray[np.bool_] = self.found.masks[chosen].numpy()
            marks.append(Mark(legend, tag, color, self.found.boxes_xyxy[chosen], mask))
        return annotated_picture(self.inputs.photo.pixels, marks)

    def label(self, index: int) -> str:
        """Return a candidate's label; empty if it has none."""
        return "" if self.inputs.labels is None else self.inputs.labels[index]

    def _name(self, index: int) -> str:
        return f"{index} {self.label(index)}".rstrip()

    def _box_text(self, index: int) -> str:
        box_xyxy = self.inputs.photo.box_to_picture(self.found.boxes_xyxy[index])
        return " ".join(f"{number:.0f}" for number in box_xyxy)

    def _masks_rle(self) -> list[dict[str, Any]]:
        """Return the masks at the picture's own size, as compressed COCO run lengths."""
        photo, records = self.inputs.photo, []
        for mask in self.found.masks.numpy():
            full = np.asfortranarray(photo.mask_to_picture(mask), dtype=np.uint8)  # [H, W]
            counts = coco_mask.encode(full)["counts"].decode("ascii")
            records.append({"size": list(photo.size), "counts": counts})
        return records


def _signed(number: float | None) -> str | None:
    return None if number is None else f"{number:+.3f}"
