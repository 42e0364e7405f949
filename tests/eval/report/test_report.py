"""What the report says, how it comes about, and what happens when it cannot."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from report_runs import jpeg, sentence, write_report_run

from fgvp_eval.commands.report import main
from fgvp_eval.data.records import Prediction
from fgvp_eval.report import page as report_page
from fgvp_eval.report.row_outcomes import row_outcome
from fgvp_eval.results.seen_pictures import SeenPictures

TEST_A = ("--split", "refcoco+_testA", "--sam", "demo", "--clip", "demo", "--modes", "crop")
REPOSITORY = Path(__file__).parents[3]


class Tables(HTMLParser):
    """The tables of a page: rows of the texts of their cells."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self._open = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._open = True

    def handle_endtag(self, tag: str) -> None:
        self._open = self._open and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._open:
            self.tables[-1][-1][-1] += " ".join(data.split())


def written(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main([str(word) for word in words]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    found = re.search(r"wrote (.*) \(", err)
    assert found is not None
    return Path(found.group(1)).read_text()


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main([str(word) for word in words]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1), err
    return err


def test_a_run_writes_its_report(run: Any, root: Any, random_models: None, tmp_path: Path) -> None:
    root.save(root.detections())
    root.image_path(42).write_bytes(b"no picture")
    code, _, err = run(*TEST_A, "--data-root", root.path, "--out", "run")
    assert code == 3
    assert re.search(r"time: .*; loading \d+\.\d s, report \d+\.\d s\n", err)
    page = (tmp_path / "run" / "report.html").read_text()
    metrics = json.loads((tmp_path / "run" / "results.json").read_text())["metrics"]
    (row,) = metrics["refcoco+_testA"].values()
    accuracy, causes, unscored, _time, *_ = Tables(page).tables
    low, high = row["interval_95"]
    assert accuracy[1][:4] == [
        *("refcoco+_testA", "crop", f"{100 * row['accuracy']:.1f}"),
        f"{100 * low:.1f} – {100 * high:.1f}",
    ]
    assert accuracy[1][-3:] == ["33.3", "100.0", "8"]
    assert causes[1][6:10] == [
        str(8 - row["correct"]),
        *(str(row["misses"][cause]) for cause in ("ranked_wrong", "post_flipped", "no_candidate")),
    ]
    assert unscored[1][2] == "4"
    assert "000000000042.jpg" in unscored[1][3]
    assert "is not the published split" in page
    assert page.count("data:image/jpeg;base64,") > 2


def test_no_report(run: Any, root: Any, random_models: None, tmp_path: Path) -> None:
    root.save(root.detections())
    assert run(*TEST_A, "--data-root", root.path, "--out", "run", "--no-report")[0] == 0
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names.isdisjoint({"report.html", "misses.jsonl"})


def test_a_run_outlives_its_report(
    run: Any, root: Any, random_models: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.save(root.detections())
    replace = Path.replace

    def full(path: Path, target: Path) -> Path:
        if target.name == "report.html":
            raise OSError(28, "No space left on device")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", full)
    code, out, err = run(*TEST_A, "--data-root", root.path, "--out", "run")
    assert code == 0
    assert "refcoco+_testA" in out
    assert err.count("no report.html: OSError: [Errno 28] No space left on device") == 1
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"journal.jsonl", "misses.jsonl", "results.json", "samples.jsonl", "summary.md"}


def test_rows_on_other_candidates_stand_in_tables_of_their_own(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lines = [sentence(k, "thing", split=split) for split in ("refcoco_val", "demo") for k in (1, 2)]
    preset = {"proposals": "detections:/data/dets.json", "post": "RS", "preset": "fgvp-rs"}
    settings = {
        "refcoco_val": preset | {"published_percent": 59.6},
        "demo": {"proposals": "gt", "post": "none"},
    }
    config = {"seed": 0, "settings": settings, "preset": "fgvp-rs"}
    page = written(capsys, write_report_run(tmp_path / "run", lines, config=config))
    detected, annotated, *_ = Tables(page).tables
    assert [row[0] for row in detected[1:]] == ["refcoco_val"]
    assert detected[0][2:4] == ["post", "preset"]
    assert detected[0][8] == "published %"
    assert detected[1][8] == "59.6"
    assert [row[0] for row in annotated[1:]] == ["demo"]
    assert "published %" not in annotated[0]
    assert "Preset fgvp-rs: prompts are drawn" in page


@pytest.mark.parametrize(
    ("cause", "pred", "roles", "rank"),
    [
        ("ranked_wrong", 0, {0: "chosen", 1: "right"}, 2),
        ("no_candidate", 0, {0: "chosen", 1: "nearest"}, 2),
        ("no_candidate", 1, {0: "other", 1: "chosen"}, 1),
        (None, 1, {0: "other", 1: "right"}, 1),
    ],
)
def test_what_candidates_are_called(
    cause: str | None, pred: int, roles: dict[int, str], rank: int
) -> None:
    record = sentence(0, "thing", cause=cause)
    scores = (0.75, 0.25) if pred == 0 else (0.25, 0.75)
    boxes = tuple(map(tuple, record["candidates_xyxy"]))
    fields = record | {"pred": pred, "scores": scores, "candidates_xyxy": boxes}
    prompts = {("crop", candidate): jpeg(candidate) for candidate in (0, 1)}
    seen = SeenPictures("demo", (16, 16), prompts)
    outcome = row_outcome(Prediction(**fields), sampled=True, seen=seen)
    assert {bar.candidate: bar.role for bar in outcome.bars} == roles
    shown = {picture.candidate: picture.role for picture in outcome.pictures}
    assert shown == {candidate: roles[candidate] for candidate in {pred, 1}}
    assert (outcome.cause, outcome.rank) == (cause, rank)


def test_sample_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = write_report_run(tmp_path / "run", [sentence(k, f"thing {k}") for k in range(9)])
    page = written(capsys, folder, "--misses", 4, "--out", tmp_path / "other.html")
    assert not (folder / "report.html").exists()
    assert page.count('<article class="card"') == 4
    assert "at most 4 misses, drawn with seed 0. 5 are left out." in " ".join(page.split())


def test_moved_data_and_files_outside_of_them(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lines = [sentence(0, "inside"), sentence(1, "outside", image="../secret.jpg")]
    folder = write_report_run(tmp_path / "run", lines)
    shutil.move(folder / "data", tmp_path / "data")
    assert "2 are shown without their picture" in written(capsys, folder)
    assert (folder / "secret.jpg").is_file()
    shutil.copy(folder / "secret.jpg", tmp_path / "secret.jpg")
    page = written(capsys, folder, "--data-root", tmp_path / "data")
    assert "1 are shown without their picture" in page
    assert page.count("<image ") == 1


def test_run_of_the_contract_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A run that another program wrote, with half a character in a caption."""
    folder = write_report_run(tmp_path / "run", [sentence(0, "thing \ud83d")])
    (folder / "results.json").write_text('{"schema_version": 1}')
    (folder / "misses.jsonl").unlink()
    assert "thing ?" in written(capsys, folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("results.json", None, "results.json is missing"),
        ("results.json", "[]", "results.json must hold an object"),
        ("results.json", '{"splits": 1}', "is not of the form that python -m fgvp_eval writes"),
        ("samples.jsonl", "{}\n", "line 1 is no sentence's result"),
    ],
)
def test_broken_runs_get_one_line(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    name: str,
    content: str | None,
    message: str,
) -> None:
    folder = write_report_run(tmp_path / "run", [sentence(0, "thing")])
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content)
    assert message in refused(capsys, folder)


def test_wrong_usage_gets_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = write_report_run(tmp_path / "run", [sentence(0, "thing")])
    assert "--misses must be at least 0" in refused(capsys, folder, "--misses", -1)
    assert "is no run folder" in refused(capsys, tmp_path / "none")
    err = refused(capsys, folder, "--out", tmp_path / "none" / "report.html")
    assert "none/report.html cannot be written: No such file or directory" in err


@pytest.mark.parametrize("inputs", [(), ("object", "image")])
def test_parts(capsys: pytest.CaptureFixture[str], tmp_path: Path, inputs: tuple[str, ...]) -> None:
    metrics = {
        "parts": 10,
        "share": 0.4,
        "interval_95": [0.2, 0.6],
        "chance": 0.1,
        "mask_share": 0.3,
        "oracle_share": 0.7,
    }
    of_row = {"all": metrics, "two_or_more_parts": metrics | {"parts": 8}}
    table: dict[str, Any] = {"crop": {"argmax": of_row}}
    if inputs:
        table = dict.fromkeys(inputs, table)
    results = {
        "task": "parts",
        "metrics": {"demo_parts": {"naming": table, "detection": table}},
        "splits": {"demo_parts": {"unscored": []}},
    }
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps(results))
    page = written(capsys, folder)
    naming, _, detection, of_many, *_ = Tables(page).tables
    labels = [
        ["demo_parts", *([name] if name else []), "crop", "argmax"] for name in inputs or [""]
    ]
    shares = ["40.0", "20.0 – 60.0", ""]
    assert naming[1:] == [[*of_row, *shares, "10.0", "–", "10"] for of_row in labels]
    # Missed 60 %: 30 % for want of a candidate, so that 30 % were ranked wrong.
    lost = ["10.0", "30.0", "70.0", "30.0", "30.0", "10"]
    assert detection[1:] == [[*of_row, *shares, *lost] for of_row in labels]
    assert of_many[1][-1] == "8"


def test_the_installed_package_has_the_templates(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_py", "--build-lib", tmp_path],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
    )
    source = Path(report_page.__file__).parent
    files = {path.name for path in source.iterdir() if path.suffix not in ("", ".pyc", ".py")}
    assert {"layout.html.j2", "style.css", "filters.js"} <= files
    built = {path.name for path in (tmp_path / "fgvp_eval" / "report").iterdir()}
    assert files <= built
