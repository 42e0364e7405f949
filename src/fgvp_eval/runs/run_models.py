"""The models of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from fgvp_eval.encoding.clip_models import ClipModel, load_clips
from fgvp_eval.masks.sam_models import SamModel, find_checkpoint, load_sam
from fgvp_eval.options.config import EvalConfig
from fgvp_eval.scoring.entity_trees import parser_identity
from fgvp_eval.tasks.task import Plan


@dataclass(frozen=True)
class RunModels:
    """Models by the options that name them.

    Attributes:
        ensembles: CLIP models.
        sams: SAMs.
        facts: What identifies each model, that of relations among them: its option, hash and
            preprocessing.
        precision: Of the CLIP towers.
    """

    ensembles: Mapping[str, tuple[ClipModel, ...]]
    sams: Mapping[str, SamModel]
    facts: list[dict[str, Any]]
    precision: str


def load_models(plans: Sequence[Plan], config: EvalConfig, device: torch.device) -> RunModels:
    """Return the models that the plans need."""
    sam_names = dict.fromkeys(plan.settings.sam for plan in plans if plan.needs_sam)
    data_root = config.folder_of_data()
    for name in sam_names:
        find_checkpoint(name, data_root)  # before a CLIP is downloaded for nothing
    clip_names = dict.fromkeys(plan.settings.clip for plan in plans)
    ensembles = {name: load_clips(name, device, config.precision) for name in clip_names}
    sams = {name: load_sam(name, device, data_root) for name in sam_names}
    distinct = {clip.name: clip for clips in ensembles.values() for clip in clips}.values()
    facts = [sam.identity() for sam in sams.values()] + [clip.identity() for clip in distinct]
    if any("R" in plan.settings.post for plan in plans):
        facts.append(parser_identity())
    precision = str(next(iter(distinct)).dtype).removeprefix("torch.")
    return RunModels(ensembles, sams, facts, precision)
