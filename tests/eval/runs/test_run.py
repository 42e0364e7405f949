"""Whole runs on a data root in the real layout, with random models of the demo's shape."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fgvp_eval.demo import models as demo_models
from fgvp_eval.scoring import scorer

pytestmark = pytest.mark.usefixtures("random_models")

DEMO_MODELS = ("--sam", "demo", "--clip", "demo")
TEST_A = ("--split", "refcoco+_testA", *DEMO_MODELS)


def read(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]], str]:
    results = json.loads((folder / "results.json").read_text())
    samples = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    return results, samples, (folder / "summary.md").read_text()


def plain_iou(a: list[float], b: list[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    common = width * height
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def test_detected_boxes_of_refcoco_plus(run: Any, root: Any, tmp_path: Path) -> None:
    root.save(root.detections())
    code, out, err = run(*TEST_A, "--data-root", root.path, "--out", "run")
    assert code == 0, err
    assert "refcoco+_testA: the detector's boxes are read as xywh" in err
    results, samples, summary = read(tmp_path / "run")
    assert len(samples) == 12
    assert [sample["sample_id"] for sample in samples[:2]] == [
        "refcoco+_testA:0:0",
        "refcoco+_testA:0:1",
    ]
    for sample in samples:
        assert set(sample) == {
            *("sample_id", "image", "text", "mode", "candidates_xyxy", "scores", "pred"),
            *("gold_xyxy", "iou", "correct", "share_correct"),
        }
        assert sample["pred"] == int(np.argmax(sample["scores"]))
        chosen = sample["candidates_xyxy"][sample["pred"]]
        assert sample["iou"] == pytest.approx(plain_iou(chosen, sample["gold_xyxy"]))
        assert sample["correct"] == (sample["iou"] > 0.5)
    assert samples[0]["candidates_xyxy"][0] == [3.0, 4.0, 19.0, 16.0]
    assert samples[0]["image"] == "images/train2014/COCO_train2014_000000391895.jpg"
    metrics = results["metrics"]["refcoco+_testA"]["blur_reverse_mask"]
    correct = sum(sample["correct"] for sample in samples)
    assert (metrics["n"], metrics["correct"]) == (12, correct)
    assert metrics["accuracy"] == pytest.approx(correct / 12)
    assert metrics["interval_95"][0] <= metrics["accuracy"] <= metrics["interval_95"][1]
    assert metrics["chance"] == pytest.approx(1 / 3)
    assert metrics["ceiling"] == 1.0
    table = out.splitlines()
    assert len(table) == 3
    assert "refcoco+_testA" in table[2]
    assert "detections" in table[2]
    assert f"{100 * correct / 12:.1f}" in table[2]
    assert out.strip() in summary


@pytest.mark.parametrize(
    ("words", "names"),
    [((), ["SAM", "CLIP"]), (("--proposals", "gt", "--masks", "gt"), ["CLIP"])],
)
def test_demo_models_are_marked_on_other_data(
    run: Any, root: Any, tmp_path: Path, words: tuple[str, ...], names: list[str]
) -> None:
    root.save(root.detections())
    code, out, err = run(*TEST_A, *words, "--data-root", root.path, "--out", "run")
    assert code == 0, err
    results, _, summary = read(tmp_path / "run")
    which = " and ".join(names)
    assert f"| demo {which} " in out
    assert f"WARNING: refcoco+_testA: {which} " in err
    assert f"**WARNING**: {which} " in summary
    assert results["config"]["settings"]["refcoco+_testA"]["demo_models"] == names
    report = (tmp_path / "run" / "report.html").read_text()
    assert "refcoco+_testA: demo models." in report
    assert "as in the published tables" not in report


def test_demo_models_are_not_marked_on_the_demo(run: Any, tmp_path: Path) -> None:
    code, out, err = run("--split", "demo", "--limit", "2", "--modes", "crop", "--out", "run")
    assert code == 0, err
    results, _, summary = read(tmp_path / "run")
    assert "demo CLIP" not in out + summary
    assert results["config"]["settings"]["demo"]["demo_models"] == []


def test_trained_demo_models_as_a_program(root: Any, tmp_path: Path) -> None:
    """The one test here that needs the trained weights of the package."""
    root.save(root.detections())
    done = subprocess.run(
        [sys.executable, "-m", "fgvp_eval", *TEST_A, "--data-root", root.path, "--out", "run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3
    assert len(read(tmp_path / "run")[1]) == 12


def test_results_describe_themselves(run: Any, root: Any, tmp_path: Path) -> None:
    root.save(root.detections())
    run(*TEST_A, "--data-root", root.path, "--out", "run", "--seed", "3", "--limit", "5")
    results, samples, summary = read(tmp_path / "run")
    assert len(samples) == 5
    assert results["schema_version"] == 1
    assert results["complete"] is True
    assert results["config"]["seed"] == 3
    assert results["config"]["limit"] == 5
    settings = results["config"]["settings"]["refcoco+_testA"]
    expected = {
        "data_root": str(root.path),
        "modes": ["blur_reverse_mask"],
        "compare_modes": False,
        "proposals": "detections",
        "masks": "sam",
        "sam": "demo",
        "clip": "demo",
        "clean_masks": 0,
        "cache": False,
        "feature_cache": False,
    }
    assert {name: settings[name] for name in expected} == expected
    assert results["blur"]["kind"] == "gaussian"
    assert results["versions"]["torch"] == torch.__version__.split("+")[0] or torch.__version__
    assert [model["kind"] for model in results["models"]] == ["sam", "clip"]
    assert all(re.fullmatch("[0-9a-f]{64}", model["sha256"]) for model in results["models"])
    split = results["splits"]["refcoco+_testA"]
    assert (split["proposals"], split["masks"]) == ("detections", "sam")
    assert set(split["files_sha256"]) == {
        "refcoco+/refs(unc).p",
        "refcoco+/instances.json",
        "detections/refcoco+_dets_dict.json",
    }
    assert split["count_check"] == {
        "ok": False,
        "found": {"refs": 6, "images": 3, "sentences": 12},
        "published": {"refs": 1975, "images": 750, "sentences": 5726},
    }
    assert "**WARNING**: the published split has 1975 objects" in summary
    assert {"load", "decode", "sam", "render", "clip"} <= set(results["seconds"])


def test_counts_that_differ_are_loud(run: Any, root: Any) -> None:
    root.save(root.detections())
    _, _, err = run(*TEST_A, "--data-root", root.path)
    assert "WARNING: refcoco+_testA has 6 refs, 3 images, 12 sentences, but the published" in err


def test_ensemble_is_the_sum_of_compared_modes(run: Any, root: Any, tmp_path: Path) -> None:
    root.save()
    words = ("--data-root", root.path, "--proposals", "gt", "--modes", "crop,D4,circle")
    assert run(*TEST_A, *words, "--out", "one")[0] == 0
    assert run(*TEST_A, *words, "--compare-modes", "--out", "each")[0] == 0
    ensemble, each = read(tmp_path / "one")[1], read(tmp_path / "each")[1]
    assert [sample["mode"] for sample in each[:4]] == [
        "crop",
        "blur_reverse_mask",
        "circle",
        "crop",
    ]
    assert len(each) == 3 * len(ensemble)
    for index, sample in enumerate(ensemble):
        parts = each[3 * index : 3 * index + 3]
        assert {part["sample_id"] for part in parts} == {sample["sample_id"]}
        expected = np.sum([part["scores"] for part in parts], axis=0)
        np.testing.assert_allclose(sample["scores"], expected, rtol=1e-5)
    metrics = read(tmp_path / "each")[0]["metrics"]["refcoco+_testA"]
    assert list(metrics) == ["crop", "blur_reverse_mask", "circle"]


def test_clip_ensemble_is_the_sum_of_logits(run: Any, root: Any, tmp_path: Path) -> None:
    root.save()
    words = ("--split", "refcoco+_testA", "--sam", "demo", "--data-root", root.path)
    words += ("--proposals", "gt")
    assert run(*words, "--clip", "demo", "--out", "one")[0] == 0
    assert run(*words, "--clip", "demo+demo", "--out", "two")[0] == 0
    one, two = read(tmp_path / "one")[1], read(tmp_path / "two")[1]
    np.testing.assert_allclose(two[0]["scores"], 2 * np.array(one[0]["scores"]), rtol=1e-5)


def test_same_command_same_samples(run: Any, root: Any, tmp_path: Path) -> None:
    root.save(root.detections())
    for name in ("a", "b"):
        run(*TEST_A, "--data-root", root.path, "--out", name)
    files = [(tmp_path / name / "samples.jsonl").read_bytes() for name in ("a", "b")]
    assert files[0] == files[1]


def test_demo_split_compares_five_modes(run: Any, make_root: Any, tmp_path: Path) -> None:
    root = make_root("demo")
    for ref in root.refs:
        ref["split"] = "val"
    root.save()
    code, out, _ = run("--split", "demo", "--data-root", root.path, "--out", "run")
    assert code == 0
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines()]
    assert rows[0] == [
        "split",
        "proposals",
        "modes",
        "accuracy %",
        "95 % interval",
        "n",
        "chance %",
    ]
    assert [row[2] for row in rows[2:]] == [
        *("none", "crop", "circle", "contour", "blur_reverse_mask"),
    ]
    assert {(row[0], row[1], row[5], row[6]) for row in rows[2:]} == {("demo", "gt", "12", "33.3")}
    results, _, summary = read(tmp_path / "run")
    assert results["splits"]["demo"]["count_check"]["ok"] is None
    assert "all annotated boxes" in summary
    assert "this is the **demo**" in summary


@pytest.mark.parametrize("holds_demo", [False, True])
def test_demo_split_is_embedded_unless_the_data_root_holds_one(
    run: Any, make_root: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holds_demo: bool
) -> None:
    root = make_root("demo")
    for ref in root.refs:
        ref["split"] = "val"
    root.save()
    monkeypatch.setattr("fgvp_eval.demo.dataset.demo_data_root", lambda: root.path)
    given = tmp_path / "given"
    (given / ("demo" if holds_demo else "refcoco")).mkdir(parents=True)
    code, _, err = run("--split", "demo", "--data-root", given, "--modes", "none")
    assert code == (2 if holds_demo else 0)
    assert ("given/demo/refs(unc).p" in err) == holds_demo


def test_masks_of_annotations_need_no_sam(
    run: Any, root: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_models, "load_demo_sam", None)
    root.save()
    words = ("--data-root", root.path, "--proposals", "gt", "--masks", "gt", "--out", "run")
    assert run(*TEST_A, *words)[0] == 0
    results, _, summary = read(tmp_path / "run")
    assert results["splits"]["refcoco+_testA"]["masks"] == "gt"
    assert "masks: the annotations" in summary


def test_modes_without_masks_need_no_sam(
    run: Any, root: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_models, "load_demo_sam", None)
    root.save(root.detections())
    words = ("--data-root", root.path, "--modes", "crop,circle,B4,none", "--out", "run")
    assert run(*TEST_A, *words)[0] == 0
    assert read(tmp_path / "run")[0]["splits"]["refcoco+_testA"]["masks"] == "unused"


def test_corrupt_images_cost_their_own_sentences_only(run: Any, root: Any, tmp_path: Path) -> None:
    root.save(root.detections())
    whole = root.image_path(42).read_bytes()
    root.image_path(42).write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (10, 10)).save(root.image_path(7))
    code, out, err = run(*TEST_A, "--data-root", root.path, "--out", "run")
    assert code == 3
    assert out.count("\n") == 3
    lines = [line for line in err.splitlines() if "not scored" in line]
    assert len(lines) == 2
    assert "4 sentences" in lines[0]
    assert "COCO_train2014_000000000042.jpg cannot be decoded" in lines[0]
    assert "is 10x10, but instances.json says 64x48" in lines[1]
    results, samples, summary = read(tmp_path / "run")
    assert results["complete"] is False
    assert results["metrics"]["refcoco+_testA"]["blur_reverse_mask"]["n"] == len(samples) == 4
    unscored = results["splits"]["refcoco+_testA"]["unscored"]
    assert [entry["sample_id"] for entry in unscored[:1]] == ["refcoco+_testA:10:100"]
    assert len(unscored) == 8
    assert "**Incomplete:** 8 sentences could not be scored" in summary


def test_nothing_scored_still_gives_a_table(run: Any, root: Any) -> None:
    root.save(root.detections())
    for image in root.images:
        root.image_path(image["id"]).write_bytes(b"no image")
    code, out, _ = run(*TEST_A, "--data-root", root.path)
    assert code == 3
    assert re.search(r"blur_reverse_mask \|\s+- \|\s+- \|\s+0 \|\s+- \|", out)


def test_scores_that_are_not_finite_are_reported(
    run: Any, root: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.save(root.detections())
    monkeypatch.setattr(
        scorer.Scorer, "logits", lambda *args: np.full((1, len(args[2]), 3), np.nan, np.float32)
    )
    code, _, err = run(*TEST_A, "--data-root", root.path)
    assert code == 3
    assert "scores that are not finite" in err


def test_several_splits_share_models(run: Any, root: Any, make_root: Any, tmp_path: Path) -> None:
    demo = make_root("demo")
    for ref in demo.refs:
        ref["split"] = "val"
    demo.save()
    root.save(root.detections())
    words = ("--split", "demo,refcoco+_testA", "--data-root", root.path, "--modes", "crop")
    code, out, _ = run(*words, *DEMO_MODELS, "--out", "run")
    assert code == 0
    assert [line.split("|")[1].strip() for line in out.splitlines()[2:]] == [
        "demo",
        "refcoco+_testA",
    ]
    assert len(read(tmp_path / "run")[0]["models"]) == 1


def test_default_run_folder_is_named_after_split_and_time(
    run: Any, root: Any, tmp_path: Path
) -> None:
    root.save(root.detections())
    for _ in range(2):
        assert run(*TEST_A, "--data-root", root.path, "--limit", "1")[0] == 0
    names = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert len(names) == 2
    assert all(re.fullmatch(r"refcoco\+_testA-\d{8}-\d{6}(-2)?", name) for name in names)


def test_a_run_can_be_repeated_into_its_folder(run: Any, root: Any, tmp_path: Path) -> None:
    root.save(root.detections())
    for _ in range(2):
        assert run(*TEST_A, "--data-root", root.path, "--limit", "1", "--out", "run")[0] == 0
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        *("finished.json", "journal.jsonl", "misses.jsonl", "report.html"),
        *("results.json", "samples.jsonl", "summary.md"),
    ]
