"""Reading of run folders, for what is done with results after a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from fgvp_eval.boxes import iou_matrix
from fgvp_eval.data_files import read_json
from fgvp_eval.errors import DataError
from fgvp_eval.metrics import IOU_THRESHOLD
from fgvp_eval.records import Prediction

_SOURCE = "python -m fgvp_eval writes it"
_KNOWN = frozenset(field.name for field in fields(Prediction))
_NEEDED = (
    *("sample_id", "image", "text", "candidates_xyxy", "scores", "pred"),
    *("gold_xyxy", "iou", "correct"),
)


@dataclass(frozen=True)
class StoredRun:
    """A run as its folder holds it.

    Attributes:
        path: The folder.
        results: Content of ``results.json``.
        rows: Predictions by split and label of the row, in the order of the file.
    """

    path: Path
    results: dict[str, Any]
    rows: dict[tuple[str, str], list[Prediction]]

    def settings(self, split: str) -> Mapping[str, Any]:
        """Return the resolved options of a split; empty if the file does not say."""
        found = self.results.get("config", {}).get("settings", {}).get(split, {})
        return found if isinstance(found, Mapping) else {}


def read_run(path: Path) -> StoredRun:
    """Read a run folder.

    Raises:
        DataError: A file is missing or broken.
    """
    if not path.is_dir():
        raise DataError(f"{path} is no run folder")
    results = read_json(path / "results.json", _SOURCE)
    if not isinstance(results, dict):
        raise DataError(f"{path / 'results.json'} must hold an object; {_SOURCE}")
    if results.get("task") == "parts":
        raise DataError(f"{path} is a run of parts, and only runs of sentences can be read here")
    samples = path / "samples.jsonl"
    try:
        lines = samples.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DataError(f"{samples} is missing; {_SOURCE}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{samples} cannot be read: {error}") from None
    rows: dict[tuple[str, str], list[Prediction]] = {}
    for number, line in enumerate(lines, start=1):
        prediction = _prediction(line, f"{samples}: line {number}")
        rows.setdefault((split_of(prediction), prediction.mode), []).append(prediction)
    return StoredRun(path, results, rows)


def split_of(prediction: Prediction) -> str:
    """Return the name of a prediction's split, which its ``sample_id`` begins with."""
    return prediction.sample_id.partition(":")[0]


def _prediction(line: str, where: str) -> Prediction:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where} is no JSON ({error}); {_SOURCE}") from None
    missing = [name for name in _NEEDED if not isinstance(record, dict) or name not in record]
    if missing:
        raise DataError(f"{where} is no sentence's result: it lacks {', '.join(missing)}")
    known = {name: _frozen(value) for name, value in record.items() if name in _KNOWN}
    known.setdefault("mode", "")
    if "share_correct" not in known:
        golds_xyxy = known.get("golds_xyxy") or (known["gold_xyxy"],)
        right = iou_matrix(known["candidates_xyxy"], golds_xyxy) > IOU_THRESHOLD  # [N, G]
        known["share_correct"] = float(np.mean(right.any(axis=1)))
    return Prediction.from_record(known)


def _frozen(value: Any) -> Any:
    """Return lists as tuples, also inside of dicts."""
    if isinstance(value, Mapping):
        return {name: _frozen(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_frozen(item) for item in value)
    return value
