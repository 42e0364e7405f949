"""The models of a run of either kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch

from fgvp_eval.encoding.clip_models import ClipModel, load_clips
from fgvp_eval.options.config import EvalConfig, SplitSettings
from fgvp_eval.masks.sam_models import SamModel, find_checkpoint, load_sam


class Plan(Protocol):
    """One split of a run."""

    @property
    def settings(self) -> SplitSettings:
        """What was asked for."""

    @property
    def needs_sam(self) -> bool:
        """Whether its masks come from SAM."""


def load_models(
    plans: Sequence[Plan], config: EvalConfig, device: torch.device
) -> tuple[dict[str, tuple[ClipModel, ...]], dict[str, SamModel]]:
    """Return the CLIP ensembles and the SAMs that the plans need, by their options."""
    sam_names = dict.fromkeys(plan.settings.sam for plan in plans if plan.needs_sam)
    data_root = config.folder_of_data()
    for name in sam_names:
        find_checkpoint(name, data_root)  # before a CLIP is downloaded for nothing
    clip_names = dict.fromkeys(plan.settings.clip for plan in plans)
    clips = {name: load_clips(name, device, config.precision) for name in clip_names}
    return clips, {name: load_sam(name, device, data_root) for name in sam_names}


def distinct_clips(ensembles: Mapping[str, Sequence[ClipModel]]) -> list[ClipModel]:
    """Return each model of several ensembles once."""
    return list({clip.name: clip for models in ensembles.values() for clip in models}.values())
