"""The files of a part-detection run: ``results.json``, ``samples.jsonl`` and ``summary.md``."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fgvp_eval.paco_tables import parts_summary
from fgvp_eval.part_metrics import measure_parts
from fgvp_eval.parts_report import PartsReport, PartsSplitResult
from fgvp_eval.run_identity import run_identity

SCHEMA_VERSION = 1


def write_parts_run(folder: Path, report: PartsReport, command: Sequence[str]) -> None:
    """Write the files of a run; each replaces its predecessor in one step.

    Args:
        folder: An existing folder.
        report: The results.
        command: The words that started the run.
    """
    lines = "".join(
        json.dumps(vars(part), ensure_ascii=False) + "\n"
        for result in report.splits
        for part in result.results
    )
    _write(folder / "samples.jsonl", lines)
    _write(folder / "summary.md", parts_summary(report, shlex.join(command)))
    results = json.dumps(_results(report, command), indent=2, ensure_ascii=False)
    _write(folder / "results.json", results + "\n")


def _results(report: PartsReport, command: Sequence[str]) -> dict[str, Any]:
    settings = {result.dataset.split.name: result.settings for result in report.splits}
    files = {result.dataset.split.name: result.dataset.files_sha256 for result in report.splits}
    config = run_identity(
        report.config,
        settings,
        files,
        report.models,
        device=report.device,
        precision=report.precision,
    )
    return {
        "schema_version": SCHEMA_VERSION,
        "task": "parts",
        "protocol": "own: naming of annotated parts, and detection among SAM-grid masks",
        "complete": report.complete,
        "metrics": {
            result.dataset.split.name: _metrics(result, report.config.seed)
            for result in report.splits
        },
        "splits": {result.dataset.split.name: _split_facts(result) for result in report.splits},
        "models": report.models,
        "config": config,
        "command": shlex.join(command),
        "versions": config["versions"],
        "device": report.device,
        "seconds": {stage: round(spent, 3) for stage, spent in report.seconds.items()},
    }


def _metrics(result: PartsSplitResult, seed: int) -> dict[str, Any]:
    """Return metrics by protocol, ensemble of modes, and way of assignment."""
    found: dict[str, Any] = {}
    for (protocol, modes, assignment), parts in result.rows().items():
        of_modes = found.setdefault(protocol, {}).setdefault(modes, {})
        of_modes[assignment] = {
            "all": asdict(measure_parts(parts, seed=seed)),
            "two_or_more_parts": asdict(measure_parts(parts, seed=seed, least_parts=2)),
        }
    return found


def _split_facts(result: PartsSplitResult) -> dict[str, Any]:
    dataset = result.dataset
    published = dataset.published
    return {
        "data_root": str(dataset.root),
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


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
