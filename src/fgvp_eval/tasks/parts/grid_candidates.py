"""Candidate masks of parts, by SAM prompted with a grid of points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fgvp_eval.machine.stage_times import StageTimes
from fgvp_eval.masks.by_grid import GridSettings, grid_masks
from fgvp_eval.masks.cleanup import area_at
from fgvp_eval.masks.embedding_cache import EmbeddingCache
from fgvp_eval.masks.sam_models import SamModel
from fgvp_eval.masks.sam_prompting import prompt_ready


@dataclass(frozen=True)
class GridCandidates:
    """Finds masks on a picture without being told what to look for.

    Attributes:
        model: The SAM; None if no candidates will be asked for.
        settings: Settings of the generator.
        times: Where the seconds are added.
        clean_area: Holes and islands of fewer pixels are removed, measured in SAM's frame of long
            side 1024 as the official code does; 0 for none.
        cache: Where embeddings of whole images are kept; None for nowhere.
    """

    model: SamModel | None
    settings: GridSettings
    times: StageTimes
    clean_area: float = 0.0
    cache: EmbeddingCache | None = None

    def find(self, picture: NDArray[np.uint8], *, is_whole: bool) -> NDArray[np.bool_]:
        """Find masks.

        Args:
            picture: ``[h, w, 3]`` uint8 RGB.
            is_whole: It is a whole image. Embeddings of cut-outs are not kept: there is one for
                each object, and they would fill a disk.

        Returns:
            ``[M, h, w]`` bool, best first.
        """
        if self.model is None:
            raise RuntimeError("candidates come from SAM, but none was loaded")
        with self.times.measure("sam"):
            height, width = picture.shape[:2]
            settings = self.settings.cleaned(area_at((height, width), self.clean_area))
            predictor = prompt_ready(self.model, picture, self.cache if is_whole else None)
            found = grid_masks(predictor, settings)
            masks: NDArray[np.bool_] = found.runs.decode().cpu().numpy()
        return masks
