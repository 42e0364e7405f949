"""Reading of run folders, for what is done with results after a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from fgvp_eval.data.boxes import iou_matrix
from fgvp_eval.data.data_files import read_json, read_json_lines
from fgvp_eval.data.file_values import LARGEST_COORDINATE, FileValue
from fgvp_eval.data.records import Box, Prediction
from fgvp_eval.errors import DataError
from fgvp_eval.options.config import Aggregate
from fgvp_eval.options.presets import Post
from fgvp_eval.scoring.choice import IOU_THRESHOLD

_SOURCE = "python -m fgvp_eval writes it"
_FARTHEST = 2 * LARGEST_COORDINATE  # of a corner, which is a place and a length
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
        found: Mapping[str, Any] = self.results.get("config", {}).get("settings", {}).get(split, {})
        return found


def read_results(path: Path) -> dict[str, Any]:
    """Read ``results.json`` of a run folder, of a run of either kind.

    Raises:
        DataError: The file is missing or broken.
    """
    if not path.is_dir():
        raise DataError(f"{path} is no run folder")
    content = read_json(path / "results.json", _SOURCE)
    if not isinstance(content, dict):
        raise DataError(f"{path / 'results.json'} must hold an object")
    return content


def read_run(path: Path) -> StoredRun:
    """Read the folder of a run on sentences.

    Raises:
        DataError: A file is missing or broken.
    """
    content = read_results(path)
    if content.get("task") == "parts":
        raise DataError(f"{path} is a run of parts, and only runs of sentences can be read here")
    _check_settings(FileValue(path / "results.json", "the file", content))
    rows: dict[tuple[str, str], list[Prediction]] = {}
    for line in read_json_lines(path / "samples.jsonl", _SOURCE):
        prediction = _prediction(line)
        rows.setdefault((split_of(prediction), prediction.mode), []).append(prediction)
    return StoredRun(path, content, rows)


def _check_settings(results: FileValue) -> None:
    """Check the options that are read here, of every split."""
    if "config" not in results.names() or "settings" not in results.field("config").names():
        return
    for _, settings in results.field("config").field("settings").items():
        for key, choices in (("post", get_args(Post)), ("aggregate", get_args(Aggregate))):
            if key in settings.names() and settings.field(key).value not in choices:
                raise settings.field(key).wrong(f"one of {', '.join(choices)}")
        if "changed" in settings.names():
            for option in settings.field("changed").each("entry", "changed"):
                option.text()
        if preset := settings.optional("preset"):
            preset.text()
        if published := settings.optional("published_percent"):
            published.number()


def split_of(prediction: Prediction) -> str:
    """Return the name of a prediction's split, which its ``sample_id`` begins with."""
    return prediction.sample_id.partition(":")[0]


def _prediction(line: FileValue) -> Prediction:
    record = line.value
    lacking = [name for name in _NEEDED if not isinstance(record, dict) or name not in record]
    if lacking:
        raise DataError(
            f"{line.path}: {line.what} is no sentence's result: it lacks {', '.join(lacking)}"
        )
    candidates_xyxy = _boxes(line.field("candidates_xyxy"))
    count = len(candidates_xyxy)
    golds = line.optional("golds_xyxy")
    gold_xyxy = line.field("gold_xyxy").box(_FARTHEST)
    golds_xyxy = None if golds is None else _boxes(golds)
    share, kept = line.optional("share_correct"), line.optional("kept")
    if share is None:
        right = iou_matrix(candidates_xyxy, golds_xyxy or [gold_xyxy]) > IOU_THRESHOLD  # [N, G]
    mode, before = line.optional("mode"), line.optional("pred_before_post")
    return Prediction(
        sample_id=line.field("sample_id").text(),
        image=line.field("image").text(),
        text=_text(line.field("text")),
        mode="" if mode is None else mode.text(),
        candidates_xyxy=candidates_xyxy,
        scores=_scores(line.field("scores"), count),
        pred=_index(line.field("pred"), count),
        gold_xyxy=gold_xyxy,
        iou=line.field("iou").number(),
        correct=_truth(line.field("correct")),
        share_correct=float(right.any(axis=1).mean()) if share is None else share.number(),
        golds_xyxy=golds_xyxy,
        pred_before_post=None if before is None else _index(before, count),
        kept=None if kept is None else tuple(_truth(one) for one in kept.each("entry", kept.what)),
        scores_by_mode=_scores_by_mode(line.optional("scores_by_mode"), count),
        negatives_by_mode=_scores_by_mode(line.optional("negatives_by_mode"), count),
        phrases_by_mode=_phrases(line.optional("phrases_by_mode"), count),
    )


def _text(text: FileValue) -> str:
    """Return text of any characters, as runs of earlier versions may have them."""
    if not isinstance(text.value, str):
        raise text.wrong("text")
    return text.value


def _boxes(boxes: FileValue) -> tuple[Box, ...]:
    found = tuple(box.box(_FARTHEST) for box in boxes.each("box", boxes.what))
    if not found:
        raise boxes.wrong("at least one box")
    return found


def _index(index: FileValue, count: int) -> int:
    if not 0 <= index.integer() < count:
        raise index.wrong(f"from 0 to {count - 1}")
    return index.integer()


def _truth(value: FileValue) -> bool:
    if not isinstance(value.value, bool):
        raise value.wrong("true or false")
    return value.value


def _scores(scores: FileValue, count: int) -> tuple[float, ...]:
    found = tuple(
        math.nan if score.value is None else score.number()  # JSON has no NaN
        for score in scores.each("score", scores.what)
    )
    if len(found) != count:
        raise scores.wrong(f"{count} numbers, one a candidate")
    return found


def _scores_by_mode(by_mode: FileValue | None, count: int) -> dict[str, tuple[float, ...]] | None:
    if by_mode is None:
        return None
    return {mode: _scores(scores, count) for mode, scores in by_mode.items()}


def _phrases(
    by_phrase: FileValue | None, count: int
) -> dict[str, dict[str, tuple[float, ...]]] | None:
    if by_phrase is None:
        return None
    return {phrase: _scores_by_mode(by_mode, count) or {} for phrase, by_mode in by_phrase.items()}
