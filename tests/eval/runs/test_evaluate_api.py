"""The evaluation as a function: what the command writes, nothing printed, no exit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fgvp_eval.errors import DataError, UsageError
from fgvp_eval.options.command_line import parse_config
from fgvp_eval.options.config import EvalConfig
from fgvp_eval.runs import api, evaluation
from fgvp_eval.runs.api import evaluate

pytestmark = pytest.mark.usefixtures("random_models")


def read(folder: Path) -> tuple[dict[str, Any], str]:
    return json.loads((folder / "results.json").read_text()), (folder / "samples.jsonl").read_text()


@pytest.mark.parametrize(
    ("split", "options"),
    [
        ("demo", {"limit": 4}),
        ("demo_parts", {"limit": 2, "proposals": "gt", "part_input": "object"}),
    ],
)
def test_function_and_command_write_the_same(
    run: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    split: str,
    options: dict[str, Any],
) -> None:
    given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    code, out, err = run("--split", split, *given, "--out", "command")
    assert code == 0, err
    report = evaluate(split, out=tmp_path / "function", **options)
    assert capsys.readouterr() == ("", "")
    (of_function, samples), (of_command, expected) = map(
        read, (tmp_path / "function", tmp_path / "command")
    )
    assert samples == expected
    assert of_function["metrics"] == of_command["metrics"]
    assert of_function["config"]["settings"] == of_command["config"]["settings"]
    assert report.table() + "\n" == out
    files = [{path.name for path in (tmp_path / n).iterdir()} for n in ("function", "command")]
    assert files[0] == files[1]


def test_accuracy(run: Any, tmp_path: Path) -> None:
    report = evaluate("demo", modes=["crop"], limit=4, out="run", report=False)
    results, _ = read(tmp_path / "run")
    assert report.accuracy == results["metrics"]["demo"]["crop"]["accuracy"]
    assert not (tmp_path / "run" / "report.html").exists()
    several = evaluate("demo", modes="crop,none", compare_modes=True, limit=4, out="rows")
    results, _ = read(tmp_path / "rows")
    rows = results["metrics"]["demo"]
    assert several.accuracy == {"demo": {mode: rows[mode]["accuracy"] for mode in rows}}


def test_finished_run_gives_its_results_again(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = evaluate("demo", modes="crop", limit=4, out="run")
    monkeypatch.setattr(evaluation, "groups_left", lambda *_: [])  # nothing is done again
    again = evaluate("demo", modes="crop", limit=4, out="run")
    assert (again.accuracy, again.table()) == (first.accuracy, first.table())


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"limit": 0}, "--limit must be at least 1, got 0"),
        ({"limit": "many"}, "--limit"),
        ({"modes": "nothing"}, "nothing"),
        ({"mode": "crop"}, "there is no option 'mode'; choices: aggregate, as_released, "),
        ({"help": True}, "there is no option 'help'"),
    ],
)
def test_wrong_options(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        evaluate("demo", **options)


def test_missing_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="refs"):
        evaluate("refcoco_val", data_root=tmp_path, clip="demo", sam="demo")


def test_options_become_the_config_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[EvalConfig] = []

    def stop(config: EvalConfig) -> None:
        seen.append(config)
        raise UsageError("stopped")

    monkeypatch.setattr(evaluation, "choose_task", stop)
    with pytest.raises(UsageError, match="stopped"):
        api.evaluate(
            ["refcoco_val", "refcoco_testA"],
            data_root=Path("/data"),
            modes=("crop", "D4"),
            strict_data=True,
            resume=False,
            cache=False,
            report=True,
            size_prior=0.05,
            template="- {}",
            limit=None,
        )
    words = "--data-root=/data --modes=crop,D4 --strict-data --no-resume --no-cache"
    assert seen == [
        parse_config(
            [
                *("--split=refcoco_val,refcoco_testA", *words.split()),
                *("--size-prior=0.05", "--template=- {}"),
            ]
        )
    ]
