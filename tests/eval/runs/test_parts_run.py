"""Whole runs of part detection, with random models of the demo's shape."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parts_root import MUG, RIM, PartsRoot, compressed, rectangle

from fgvp_eval.tasks.parts import plan

pytestmark = pytest.mark.usefixtures("random_models", "coarse_grid")

VAL = ("--split", "paco_val", "--sam", "demo", "--clip", "demo")


@pytest.fixture
def root(tmp_path: Path) -> PartsRoot:
    return PartsRoot(tmp_path / "data").save()


def plain_iou(a: list[float], b: list[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    common = width * height
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def read(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]], str]:
    results = json.loads((folder / "results.json").read_text())
    samples = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    return results, samples, (folder / "summary.md").read_text()


def test_both_protocols_in_tables_of_their_own(run: Any, root: PartsRoot, tmp_path: Path) -> None:
    code, out, err = run(*VAL, "--data-root", root.path, "--modes", "crop,D4", "--out", "run")
    assert code == 0, err
    naming, detection = out.strip().split("\n\n")
    assert "named %" in naming
    assert "oracle box %" in detection
    assert "named %" not in detection
    for table in (naming, detection):
        rows = table.splitlines()[2:]
        cells = [tuple(cell.strip() for cell in row.split("|")) for row in rows]
        assert [(row[2], row[4]) for row in cells] == [
            *(("object", "argmax"), ("object", "hungarian")),
            *(("image", "argmax"), ("image", "hungarian")),
        ]
    results, samples, summary = read(tmp_path / "run")
    assert len(samples) == 4 * 2 * 2 * 2
    assert naming in summary
    assert "this project's own" in summary
    assert "WARNING: paco_val: results do not compare" not in summary
    assert "| demo SAM and CLIP " in out
    assert "**WARNING**: SAM and CLIP are the demo's" in summary
    assert results["config"]["settings"]["paco_val"]["demo_models"] == ["SAM", "CLIP"]
    assert "paco_val has 2 images, 2 objects, 4 parts, but the published split has 2410" in err
    metrics = results["metrics"]["paco_val"]
    assert set(metrics) == {"naming", "detection"}
    assert set(metrics["naming"]) == set(metrics["detection"]) == {"object", "image"}
    row = metrics["naming"]["object"]["crop+blur_reverse_mask"]["argmax"]
    assert row["all"]["parts"] == row["two_or_more_parts"]["parts"] == 4
    assert row["all"]["chance"] == 0.5
    assert results["splits"]["paco_val"]["evaluated_objects"] == 2
    assert results["config"]["settings"]["paco_val"]["modes"] == ["crop", "blur_reverse_mask"]
    for sample in samples:
        assert len(sample["candidates_xyxy"]) == len(sample["scores"])
        if sample["assignment"] == "argmax" and sample["scores"]:
            assert sample["pred"] == int(np.argmax(sample["scores"]))
        if sample["protocol"] == "naming":
            assert (sample["best_box_iou"], sample["best_mask_iou"]) == (1.0, 1.0)
            assert sample["correct"] == (sample["mask_iou"] == 1.0)
        else:
            assert sample["correct"] == (sample["box_iou"] > 0.5)
            if sample["pred"] is not None:
                chosen = sample["candidates_xyxy"][sample["pred"]]
                assert sample["box_iou"] == pytest.approx(plain_iou(chosen, sample["gold_xyxy"]))
    assert any(s["candidates_xyxy"] for s in samples if s["protocol"] == "detection")
    hungarian = [s["pred"] for s in samples if s["assignment"] == "hungarian"][:2]
    assert len(set(hungarian)) == 2


@pytest.mark.parametrize(("proposals", "protocol"), [("gt", "naming"), ("sam-grid", "detection")])
def test_one_protocol(
    run: Any, root: PartsRoot, tmp_path: Path, proposals: str, protocol: str
) -> None:
    words = ("--data-root", root.path, "--proposals", proposals, "--limit", "2", "--out", "run")
    assert run(*VAL, *words)[0] == 0
    results, samples, _ = read(tmp_path / "run")
    assert set(results["metrics"]["paco_val"]) == {protocol}
    assert {sample["object_id"] for sample in samples} == {900}


@pytest.mark.parametrize("seen", ["object", "image"])
def test_one_input(run: Any, root: PartsRoot, tmp_path: Path, seen: str) -> None:
    words = ("--data-root", root.path, "--part-input", seen, "--modes", "crop", "--out", "run")
    assert run(*VAL, *words)[0] == 0
    results, samples, _ = read(tmp_path / "run")
    assert results["config"]["settings"]["paco_val"]["inputs"] == [seen]
    assert {sample["input"] for sample in samples} == {seen}
    # The objects' boxes, grown by a tenth, and the whole images.
    bounds = {900: (7, 8, 63, 52), 910: (16, 17, 104, 73)} if seen == "object" else {}
    for sample in samples:
        left, top, right, bottom = bounds.get(sample["object_id"], (0, 0, 120, 90))
        for x0, y0, x1, y1 in sample["candidates_xyxy"]:
            assert left <= x0 < x1 <= right
            assert top <= y0 < y1 <= bottom


def test_repeats_exactly(run: Any, root: PartsRoot, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert run(*VAL, "--data-root", root.path, "--out", name)[0] == 0
    one, two = ((tmp_path / name / "samples.jsonl").read_bytes() for name in ("one", "two"))
    assert one == two


def test_unmarked_pictures_name_at_chance(run: Any, root: PartsRoot, tmp_path: Path) -> None:
    words = ("--data-root", root.path, "--proposals", "gt", "--modes", "none", "--out", "run")
    assert run(*VAL, *words)[0] == 0
    inputs = read(tmp_path / "run")[0]["metrics"]["paco_val"]["naming"]
    for name in ("object", "image"):
        row = inputs[name]["none"]["argmax"]["all"]
        assert row["share"] == row["chance"]


def test_score_subtraction(run: Any, root: PartsRoot, tmp_path: Path) -> None:
    words = ("--data-root", root.path, "--proposals", "gt", "--modes", "crop")
    assert run(*VAL, *words, "--out", "plain")[0] == 0
    assert run(*VAL, *words, "--post", "S", "--out", "less")[0] == 0
    plain, less = (read(tmp_path / name)[1] for name in ("plain", "less"))
    assert [s["sample_id"] for s in plain] == [s["sample_id"] for s in less]
    assert plain[0]["scores"] != less[0]["scores"]
    assert "less the mean score of the other 3 phrases" in read(tmp_path / "less")[2]


def test_score_subtraction_of_one_phrase_has_no_meaning(
    refusal: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = PartsRoot(tmp_path / "data").save()
    read = plan.read_paco
    monkeypatch.setattr(
        plan, "read_paco", lambda *args: replace(read(*args), phrases=("the handle of a mug",))
    )
    line = refusal(*VAL, "--data-root", root.path, "--proposals", "gt", "--post", "S")
    assert "--post S has no meaning for paco_val" in line


def test_broken_image_is_told(run: Any, root: PartsRoot, tmp_path: Path) -> None:
    (root.path / "images/train2017/000000000005.jpg").write_bytes(b"\xff\xd8\xff broken")
    words = ("--data-root", root.path, "--proposals", "gt", "--out", "run")
    code, out, err = run(*VAL, *words)
    assert code == 3
    assert "not scored: 2 parts: " in err
    results, samples, summary = read(tmp_path / "run")
    assert results["complete"] is False
    assert {sample["object_id"] for sample in samples} == {910}
    assert "not scored: `paco_val:900:901`" in summary
    assert out


@pytest.mark.parametrize(
    "segmentation",
    [
        {"size": [9, 9], "counts": [81]},
        {"size": [90, 120], "counts": "0"},
        {"size": [90, 120], "counts": [1, 2, 3]},
        [[10, 10, None, 10, 70, 20]],
        "mask",
    ],
)
@pytest.mark.parametrize("twin", [False, True])
def test_broken_mask_costs_its_object_only(
    run: Any, root: PartsRoot, tmp_path: Path, segmentation: Any, twin: bool
) -> None:
    root.add_images(1)
    root.add(920, 920, MUG, 9, rectangle(10, 10, 60, 60), compressed)
    if twin:  # which is one part with the broken one
        root.add(922, 920, RIM, 9, rectangle(10, 60, 60, 10), compressed)
    root.add(921, 920, RIM, 9, rectangle(10, 10, 60, 10), compressed)
    root.annotations[-1]["segmentation"] = segmentation
    root.save()
    assert run(*VAL, "--data-root", root.path, "--proposals", "gt", "--out", "run")[0] == 3
    results, samples, _ = read(tmp_path / "run")
    (unscored,) = results["splits"]["paco_val"]["unscored"]
    assert unscored["sample_id"] == "paco_val:920:921"
    assert "000000000009.jpg: object 920: segmentation of annotation 921 " in str(unscored)
    assert {sample["object_id"] for sample in samples} == {900, 910, 1000}


def test_missing_image_makes_a_run_incomplete(run: Any, root: PartsRoot) -> None:
    (root.path / "images/val2017/000000000009.jpg").unlink()
    code, _, err = run(*VAL, "--data-root", root.path, "--proposals", "gt")
    assert code == 3
    assert "not scored: 2 parts: " in err
    assert "000000000009.jpg cannot be decoded: [Errno 2] No such file" in err


def test_strict_counts(run: Any, root: PartsRoot) -> None:
    code, out, err = run(*VAL, "--data-root", root.path, "--strict-data")
    assert (code, out) == (2, "")
    assert "but the published split has 2410 images, 10794 objects, 20945 parts" in err


def test_missing_annotations(refusal: Any, tmp_path: Path) -> None:
    line = refusal("--split", "paco_test", "--data-root", tmp_path)
    assert "paco_lvis_v1_test.json is missing" in line
    assert "https://dl.fbaipublicfiles.com/paco/annotations/paco_lvis_v1.zip" in line


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("--proposals", "detections"), "choices: gt (naming of annotated parts), sam-grid"),
        (("--post", "R"), "parts have no relations; choices: none, S"),
        (("--size-prior", "0.05"), "--size-prior has no meaning for splits of parts"),
        (("--template", "this is {}"), "--template has no meaning for splits of parts"),
        (("--as-released",), "--as-released has no meaning for splits of parts"),
        (("--part-input", "crop"), "--part-input: invalid choice: 'crop'"),
    ],
)
def test_options_without_a_meaning(
    refusal: Any, root: PartsRoot, words: tuple[str, ...], match: str
) -> None:
    assert match in refusal(*VAL, "--data-root", root.path, *words)


def test_sentences_and_parts_do_not_mix(refusal: Any, root: PartsRoot) -> None:
    words = ("--split", "paco_val,demo", "--sam", "demo", "--clip", "demo")
    line = refusal(*words, "--data-root", root.path)
    assert "demo is a split of sentences, and is evaluated in a run of its own" in line


def test_input_of_parts_is_not_for_sentences(refusal: Any) -> None:
    line = refusal("--split", "demo", "--part-input", "image")
    assert "--part-input has no meaning for demo: it has no parts" in line


def test_demo_needs_no_download(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fgvp_eval.demo import parts_dataset

    parts_dataset.parts_data_root.cache_clear()
    monkeypatch.setenv("FGVP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(parts_dataset, "PARTS_IMAGES", 3)
    code, out, err = run("--split", "demo_parts", "--limit", "6", "--out", "run")
    parts_dataset.parts_data_root.cache_clear()
    assert code == 0, err
    assert {row.split("|")[3].strip() for row in out.splitlines() if "demo_parts" in row} == {
        *("none", "crop", "circle", "contour", "blur_reverse_mask")
    }
    assert "this is the **demo**" in read(tmp_path / "run")[2]
