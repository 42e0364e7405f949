"""A grounding from its inputs: the models are loaded, the picture is scored."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import torch

from fgvp_eval.commands.ground.inputs import GroundInputs
from fgvp_eval.commands.ground.report import GroundReport
from fgvp_eval.encoding.clip_models import ClipModel, check_clip_name, load_clips
from fgvp_eval.errors import DataError
from fgvp_eval.machine.devices import choose_device, use_one_thread
from fgvp_eval.machine.stage_times import StageTimes
from fgvp_eval.masks.sam_models import SamModel, find_checkpoint, load_sam
from fgvp_eval.options.config import EvalConfig
from fgvp_eval.options.demo_models import demo_models_warning, misplaced_demo_models
from fgvp_eval.options.values import split_ensemble
from fgvp_eval.scoring.entity_trees import load_parser, parser_identity
from fgvp_eval.tasks.grounder import Grounder

_LOG = logging.getLogger(__name__)
_TRY_OUT = "to try it out without any download: --sam demo --clip demo"


@dataclass(frozen=True)
class GroundModels:
    """The models of a grounding.

    Attributes:
        device: Where they are.
        clips: The CLIP models.
        sam: The SAM; None if candidates and masks are given.
        times: Has the seconds of loading them.
    """

    device: torch.device
    clips: tuple[ClipModel, ...]
    sam: SamModel | None
    times: StageTimes


def load_models(inputs: GroundInputs, config: EvalConfig) -> GroundModels:
    """Load what the inputs need.

    Raises:
        UsageError: An option does not fit this machine or the models, or relations are asked for
            and spaCy or its model is not installed.
        DataError: Weights are missing or broken.
    """
    settings = inputs.plan.settings
    device = choose_device(config.device)
    if settings.is_small:
        use_one_thread(device)
    for name in split_ensemble(settings.clip):
        check_clip_name(name)
    if "R" in settings.post:
        load_parser()
    times, sam, folder = StageTimes(device), None, config.folder_of_data()
    try:
        with times.measure("load"):
            if inputs.needs_sam:
                find_checkpoint(settings.sam, folder)  # before a CLIP is downloaded for nothing
            clips = load_clips(settings.clip, device, config.precision)
            if inputs.needs_sam:
                sam = load_sam(settings.sam, device, folder)
    except DataError as error:
        raise DataError(f"{error}; {_TRY_OUT}") from None
    split = inputs.plan.dataset.split
    names = misplaced_demo_models(split, settings, inputs.needs_sam)
    if names:
        _LOG.warning("%s", demo_models_warning(names))
    return GroundModels(device, clips, sam, times)


def run_grounding(inputs: GroundInputs, models: GroundModels, config: EvalConfig) -> GroundReport:
    """Score the picture.

    Raises:
        DataError: CLIP's scores are not finite.
    """
    torch.manual_seed(config.seed)
    if inputs.boxes is not None:
        path = inputs.plan.settings.proposals.path
        _LOG.info("%s: boxes are read as %s", path, inputs.boxes.form)
    settings, (image,) = inputs.plan.settings, inputs.plan.dataset.images
    grounder = Grounder(
        inputs.mask_source(models.sam),
        models.clips,
        settings.modes,
        post=settings.post,
        negatives=inputs.plan.dataset.captions if "S" in settings.post else (),
        template=settings.template,
        color=settings.color,
        seed=config.seed,
        device=models.device,
        batch_size=config.batch_size,
        cache=False,
        times=models.times,
    )
    masked = grounder.find(image, inputs.photo.pixels)
    (found,) = grounder.ground([(masked, [sample.text for sample in image.samples])])
    return GroundReport(
        inputs=inputs,
        found=found,
        clips=models.clips,
        models=_identities(inputs, models),
        device=models.device,
        seed=config.seed,
        seconds=models.times.seconds,
    )


def _identities(inputs: GroundInputs, models: GroundModels) -> list[dict[str, Any]]:
    """Return what identifies each model, for the record."""
    known = [] if models.sam is None else [models.sam.identity()]
    known += [clip.identity() for clip in models.clips]
    if "R" in inputs.plan.settings.post:
        known.append(parser_identity())
    return known
