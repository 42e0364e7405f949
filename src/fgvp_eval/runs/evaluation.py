"""The order of an evaluation: data, models, journal, the work on the images, the results."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch

from fgvp_eval.data.count_check import warn_of_counts
from fgvp_eval.data.records import RunReport
from fgvp_eval.encoding.clip_models import check_clip_name
from fgvp_eval.encoding.drawing import blur_facts
from fgvp_eval.encoding.feature_cache import open_feature_cache
from fgvp_eval.encoding.picture_batches import pictures_at_once
from fgvp_eval.errors import UsageError
from fgvp_eval.machine.devices import choose_device, device_name, use_one_thread
from fgvp_eval.machine.processes import ALONE, Processes
from fgvp_eval.machine.progress import Progress
from fgvp_eval.machine.stage_times import StageTimes
from fgvp_eval.options.config import EvalConfig
from fgvp_eval.options.demo_models import warn_of_demo_models
from fgvp_eval.options.values import split_ensemble
from fgvp_eval.results.seen_pictures import misses_path
from fgvp_eval.runs.finished_run import FinishedRun
from fgvp_eval.runs.images_to_do import (
    groups_left,
    outcomes_in_order,
    outcomes_of,
    seconds_of_run,
)
from fgvp_eval.runs.journal import Journal
from fgvp_eval.runs.run_folder import RunFolder
from fgvp_eval.runs.run_identity import run_identity
from fgvp_eval.runs.run_models import load_models
from fgvp_eval.scoring.entity_trees import load_parser
from fgvp_eval.tasks.parts.part_work import PARTS
from fgvp_eval.tasks.sentence_work import SENTENCES
from fgvp_eval.tasks.task import Equipment, Plan, Task, Work

_LOG = logging.getLogger(__name__)


def choose_task(config: EvalConfig) -> Task[Any, Any]:
    """Return the kind of run that the splits are for.

    Raises:
        UsageError: They are for both.
    """
    sentences = [split.name for split in config.splits if not split.has_parts]
    if len(sentences) == len(config.splits):
        return SENTENCES
    if sentences:
        raise UsageError(
            f"{sentences[0]} is a split of sentences, and is evaluated in a run of its own: its "
            "numbers do not compare with those of parts"
        )
    return PARTS


def evaluate(
    task: Task[Any, Any],
    config: EvalConfig,
    folder: RunFolder[Any],
    processes: Processes = ALONE,
    *,
    read_again: bool = False,
) -> RunReport[Any] | FinishedRun | None:
    """Evaluate every split of ``config``.

    All data is read and checked before any model is loaded, and all models before anything is
    scored, so that a mistake shows within seconds and not after hours. Every finished image goes
    to the journal in the run folder at once; what a journal there already holds is not done again.

    Args:
        task: The kind of run that the splits are for.
        config: The options.
        folder: Made once everything needed is there.
        processes: This process among those that share the images.
        read_again: Read the journals of a finished run too.

    Returns:
        The results in the first process, None in the others. Unless it is to be read again, all
        processes return what a run printed that the folder holds, finished and unchanged.

    Raises:
        UsageError: An option does not fit this machine or the models, or the run folder holds
            another run.
        DataError: Data or weights are missing or broken. A single broken image is no reason: its
            sentences or parts are reported in the result as unscored.
        ProcessError: Another process failed.
        StorageError: The disk of the run folder is full, read-only or broken.
    """
    device = choose_device(config.device, processes.local_rank)
    if all(config.settings(split).is_small for split in config.splits):
        use_one_thread(device)
    torch.manual_seed(config.seed)
    times = StageTimes(device)
    _check_names(config)
    with times.measure("load"):
        plans: list[Plan] = [task.read_plan(config, split) for split in config.splits]
        models = load_models(plans, config, device)
    at_once = pictures_at_once(config.batch_size, device)
    identity = run_identity(config, plans, models, device=device, at_once=at_once)
    finished_run = None if read_again else folder.find_finished(config, identity, processes)
    if finished_run is not None:
        for plan in plans if processes.is_first else ():
            _warn_of_data(plan)
        return finished_run
    keeps_features = any(plan.settings.feature_cache for plan in plans)
    cache = open_feature_cache(device) if keeps_features else None
    misses = misses_path(folder.path, processes)
    equipment = Equipment(config, device, models.ensembles, models.sams, cache, times, misses)
    with folder.open_journal(identity, config.resume, processes) as (journal, done):
        failure: Exception | None = None
        try:
            for plan in plans:
                work = task.start(plan, equipment, outcomes_of(plan, done))
                if processes.is_first:
                    _warn_of_data(plan)
                groups = groups_left(plan, at_once, done, processes)
                _do(work, plan, groups, task.unit, journal)
        except Exception as error:
            failure = error
        if cache is not None:
            cache.log()
        processes.check(failure, "scoring")
    if not processes.is_first:
        return None
    finished = folder.read_journals(identity)
    return task.report(
        config=config,
        splits=tuple(task.split_result(plan, outcomes_in_order(plan, finished)) for plan in plans),
        models=models.facts,
        blur=blur_facts(plans[0].styles(config.seed)),
        device=device_name(device),
        precision=models.precision,
        seconds=seconds_of_run(times, finished),
    )


def _check_names(config: EvalConfig) -> None:
    """Check what can be without any data.

    Raises:
        UsageError: A CLIP is not known, or goes by a wrong name; or relations lack their parser.
    """
    for split in config.splits:
        settings = config.settings(split)
        for name in split_ensemble(settings.clip):
            check_clip_name(name)
        if "R" in settings.post and not split.has_parts:
            load_parser()


def _warn_of_data(plan: Plan) -> None:
    warn_of_counts(plan.name, plan.counts, plan.published)
    warn_of_demo_models(plan.name, plan.demo_models)


def _do(
    work: Work[Any], plan: Plan, groups: Sequence[Sequence[int]], unit: str, journal: Journal
) -> None:
    """Do the work on some groups of images of a split, and keep what comes out at once."""
    if not groups:
        return
    work.prepare()
    total = sum(plan.size(index) for group in groups for index in group)
    with Progress(plan.name, total, unit) as progress:
        for group in groups:
            for outcome in work.outcomes(group):
                journal.add(outcome)
                progress.add(plan.size(outcome.index))
