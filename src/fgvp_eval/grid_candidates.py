"""Candidate masks of parts, by SAM prompted with a grid of points on the object's crop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fgvp_eval.grid_masks import grid_masks, grid_settings
from fgvp_eval.sam_models import SamModel
from fgvp_eval.sam_prompting import prompt_ready
from fgvp_eval.stage_times import StageTimes


@dataclass(frozen=True)
class GridCandidates:
    """Proposes what SAM finds on a picture; see :class:`part_candidates.CandidateMasks`.

    Attributes:
        model: The SAM; None if no candidates will be asked for.
        times: Where the seconds are added.
    """

    model: SamModel | None
    times: StageTimes

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return masks ``[M, h, w]`` bool on a picture ``[h, w, 3]`` uint8 RGB, best first."""
        if self.model is None:
            raise RuntimeError("candidates come from SAM, but none was loaded")
        with self.times.measure("sam"):
            settings = grid_settings(self.model.name)
            found = grid_masks(prompt_ready(self.model, picture), settings)
            masks: NDArray[np.bool_] = found.runs.decode().cpu().numpy()
        return masks
