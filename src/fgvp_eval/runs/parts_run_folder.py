"""The files of a part-detection run: ``results.json``, ``samples.jsonl`` and ``summary.md``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fgvp_eval.tasks.parts.outcome import PartsReport, PartsRow, PartsSplitResult
from fgvp_eval.tasks.parts.tables import parts_summary
from fgvp_eval.runs.run_folder import write_files
from fgvp_eval.machine.versions import versions_of_run

SCHEMA_VERSION = 2  # 1 had no inputs


def write_parts_run(folder: Path, report: PartsReport, command: Sequence[str]) -> None:
    """Write the files of a run; each replaces its predecessor in one step.

    Args:
        folder: An existing folder.
        report: The results.
        command: The words that started the run.
    """
    samples = (part.record() for result in report.splits for part in result.results)
    summary = parts_summary(report, shlex.join(command))
    write_files(folder, samples, summary, _results(report, command))


def _results(report: PartsReport, command: Sequence[str]) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "task": "parts",
        "protocol": "own: naming of annotated parts, and detection among SAM-grid masks",
        "complete": report.complete,
        "metrics": _metrics(report.rows),
        "splits": {result.plan.name: _split_facts(result) for result in report.splits},
        "blur": report.blur,
        "models": report.models,
        "config": _config_facts(report),
        "command": shlex.join(command),
        "versions": versions_of_run(),
        "device": report.device,
        "seconds": {stage: round(spent, 3) for stage, spent in report.seconds.items()},
    }


def _metrics(rows: Sequence[PartsRow]) -> dict[str, Any]:
    """Return metrics by split, protocol, input, ensemble of modes, and way of assignment."""
    found: dict[str, Any] = {}
    for row in rows:
        place = found
        for key in (row.split, row.protocol, row.input, row.modes):
            place = place.setdefault(key, {})
        place[row.assignment] = {
            "all": asdict(row.all),
            "two_or_more_parts": asdict(row.two_or_more),
        }
    return found


def _split_facts(result: PartsSplitResult) -> dict[str, Any]:
    dataset = result.plan.dataset
    published = dataset.published
    return {
        "count_check": {
            "ok": None if published is None else dataset.counts == published,
            "found": asdict(dataset.counts),
            "published": None if published is None else asdict(published),
        },
        "evaluated_objects": sum(len(image.objects) for image in dataset.images),
        "left_out": dataset.left_out,
        "files_sha256": dataset.files_sha256,
        "unscored": [asdict(unscored) for unscored in result.unscored],
    }


def _config_facts(report: PartsReport) -> dict[str, Any]:
    """Return every option as it was resolved; ``settings`` has those with defaults per split."""
    config, plans = report.config, [result.plan for result in report.splits]
    return {
        "splits": [plan.name for plan in plans],
        "settings": {
            plan.name: {
                "data_root": str(plan.dataset.root),
                **plan.facts(),
                "cache": plan.settings.cache,
            }
            for plan in plans
        },
        "limit": config.limit,
        "seed": config.seed,
        "device": config.device,
        "precision": report.precision,
        "batch_size": config.batch_size,
        "out": None if config.out is None else str(config.out),
    }
