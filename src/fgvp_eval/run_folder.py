"""The run folder: ``results.json``, ``samples.jsonl`` and ``summary.md``, each written whole."""

from __future__ import annotations

import json
import os
import platform
import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from fgvp_eval.config import EvalConfig
from fgvp_eval.errors import UsageError
from fgvp_eval.metrics import measure
from fgvp_eval.records import RunReport, SplitResult
from fgvp_eval.tables import summary_page

SCHEMA_VERSION = 1
_PACKAGES = (
    "fgvp-kernels",
    "torch",
    "triton",
    "open_clip_torch",
    "segment-anything",
    "numpy",
    "scipy",
    "pillow",
    "pycocotools",
)


@dataclass(frozen=True)
class RunFolder:
    """Where a run is written."""

    path: Path

    def create(self) -> None:
        """Make the folder.

        Raises:
            UsageError: It cannot be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--out {self.path} cannot be made: {error.strerror}") from None


def choose_folder(config: EvalConfig) -> RunFolder:
    """Return the folder that was asked for, else a new one, ``runs/SPLIT-TIME``."""
    if config.out is not None:
        return RunFolder(config.out)
    names = [split.name for split in config.splits]
    what = "_and_".join(names) if len(names) <= 3 else f"{names[0]}_and_{len(names) - 1}_more"
    stem = f"{what}-{time.strftime('%Y%m%d-%H%M%S')}"
    path, count = Path("runs") / stem, 1
    while path.exists():
        count += 1
        path = Path("runs") / f"{stem}-{count}"
    return RunFolder(path)


def write_run(folder: Path, report: RunReport, command: Sequence[str]) -> None:
    """Write the files of a run; each replaces its predecessor in one step.

    Args:
        folder: An existing folder.
        report: The results.
        command: The words that started the run.
    """
    lines = "".join(
        json.dumps(record, ensure_ascii=False) + "\n"
        for result in report.splits
        for record in _sample_records(result)
    )
    results = json.dumps(_results(report, command), indent=2, ensure_ascii=False) + "\n"
    _write(folder / "samples.jsonl", lines)
    _write(folder / "summary.md", summary_page(report, shlex.join(command)))
    _write(folder / "results.json", results)


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _sample_records(result: SplitResult) -> Iterator[dict[str, Any]]:
    """Yield the records of ``samples.jsonl``, sentence by sentence, one for each row."""
    for predictions in zip(*result.rows.values(), strict=True):
        for prediction in predictions:
            yield vars(prediction)


def _results(report: RunReport, command: Sequence[str]) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "complete": report.complete,
        "metrics": {
            result.dataset.split.name: {
                label: asdict(measure(predictions)) for label, predictions in result.rows.items()
            }
            for result in report.splits
        },
        "splits": {result.dataset.split.name: _split_facts(result) for result in report.splits},
        "blur": report.blur,
        "models": report.models,
        "config": _config_facts(report),
        "command": shlex.join(command),
        "versions": {"python": platform.python_version(), **_versions()},
        "device": report.device,
        "seconds": {stage: round(spent, 3) for stage, spent in report.seconds.items()},
    }


def _split_facts(result: SplitResult) -> dict[str, Any]:
    dataset, published = result.dataset, result.dataset.split.published
    return {
        "proposals": result.settings.proposals.kind,
        "masks": result.masks,
        "count_check": {
            "ok": None if published is None else dataset.counts == published,
            "found": asdict(dataset.counts),
            "published": None if published is None else asdict(published),
        },
        "files_sha256": result.files_sha256,
        "unscored": [asdict(unscored) for unscored in result.unscored],
    }


def _config_facts(report: RunReport) -> dict[str, Any]:
    """Return every option as it was resolved; ``settings`` has those with defaults per split."""
    config = report.config
    return {
        "splits": [split.name for split in config.splits],
        "settings": {
            result.dataset.split.name: _settings_facts(result) for result in report.splits
        },
        "limit": config.limit,
        "seed": config.seed,
        "device": config.device,
        "precision": report.precision,
        "batch_size": config.batch_size,
        "post": "none",
        "out": None if config.out is None else str(config.out),
    }


def _settings_facts(result: SplitResult) -> dict[str, Any]:
    settings, path = result.settings, result.settings.proposals.path
    return {
        "data_root": str(result.dataset.root),
        "modes": list(settings.modes),
        "compare_modes": settings.compare_modes,
        "proposals": settings.proposals.kind if path is None else f"detections:{path}",
        "masks": settings.masks,
        "sam": settings.sam,
        "clip": settings.clip,
    }


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found
