"""Reading of run folders: every caption a run can have, and values that are broken."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from report_runs import sentence, write_report_run

from fgvp_eval.commands import compare, rescore
from fgvp_eval.commands.report import main as report
from fgvp_eval.errors import DataError
from fgvp_eval.results.stored_runs import read_run


@pytest.mark.usefixtures("random_models")
@pytest.mark.parametrize("separator", ["\x85", "\u2028", "\u2029", "\x0b", "\x1c", "\r"])
def test_captions_with_line_separators(run: Any, root: Any, tmp_path: Path, separator: str) -> None:
    text = f"left{separator}box"
    root.refs[0]["sentences"][0]["raw"] = text
    root.save(root.detections())
    words = ("--split", "refcoco+_testA", "--sam", "demo", "--clip", "demo", "--modes", "crop")
    code, _, err = run(*words, "--data-root", root.path, "--limit", "2", "--out", "run")
    assert code == 0, err
    assert report(["run"]) == 0
    assert rescore.main(["run", "--out", "again"]) == 0
    assert compare.main(["run", "again"]) == 0
    for folder in ("run", "again"):
        (predictions,) = read_run(tmp_path / folder).rows.values()
        assert [prediction.text for prediction in predictions] == [text, "thing 0-0, please"]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("sample_id", 5, "text, got 5"),
        ("text", None, "text, got None"),
        ("candidates_xyxy", [], "at least one box, got []"),
        ("candidates_xyxy", [[1, 2, 3, math.nan], [1, 2, 3, 4]], "four finite numbers"),
        ("scores", [1.0], "2 numbers, one a candidate, got [1.0]"),
        ("scores", [1.0, math.inf], "a number of at most 1e+15, got inf"),
        ("pred", 2, "from 0 to 1, got 2"),
        ("pred", "first", "an integer, got 'first'"),
        ("gold_xyxy", [1, 2, 3], "four numbers, got [1, 2, 3]"),
        ("iou", "half", "a number of at most 1e+15, got 'half'"),
        ("correct", 1, "true or false, got 1"),
        ("pred_before_post", -1, "from 0 to 1, got -1"),
        ("kept", [True, 0], "true or false, got 0"),
        ("scores_by_mode", {"crop": [1.0]}, "2 numbers, one a candidate, got [1.0]"),
        ("phrases_by_mode", {"left": [1.0, 2.0]}, "a dict, got [1.0, 2.0]"),
    ],
)
def test_broken_values(tmp_path: Path, field: str, value: object, expected: str) -> None:
    folder = write_report_run(tmp_path / "run", [sentence(0, "a"), sentence(1, "b")])
    lines = (folder / "samples.jsonl").read_text().splitlines()
    lines[1] = json.dumps(json.loads(lines[1]) | {field: value})
    (folder / "samples.jsonl").write_text("\n".join(lines))
    with pytest.raises(DataError) as caught:
        read_run(folder)
    assert str(caught.value).startswith(str(folder / "samples.jsonl"))
    assert f"{field} of line 2" in str(caught.value)
    assert f" must be {expected}" in str(caught.value)
