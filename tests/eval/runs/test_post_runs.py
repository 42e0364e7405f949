"""Whole runs with post-processing, and what is made of them afterwards."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fgvp_eval.commands import compare, rescore
from fgvp_eval.scoring.relations import relate

pytestmark = pytest.mark.usefixtures("random_models")

SPLIT = "refcoco+_testA"
RAWS = ("The RED box left of the green box", "leftmost thing", "Upper box", "thing on the right")


@pytest.fixture
def start(run: Any, root: Any, tmp_path: Path) -> Any:
    """Run with demo-shaped models on sentences that speak of places; gives the run folder."""
    sentences = [sentence for ref in root.refs for sentence in ref["sentences"]]
    for index, sentence in enumerate(sentences):
        sentence["raw"] = RAWS[index % len(RAWS)]
    root.save(root.detections())

    def call(name: str, *words: str) -> Path:
        options = ("--split", SPLIT, "--data-root", root.path, "--sam", "demo", "--clip", "demo")
        code, _, err = run(*options, *words, "--out", name)
        assert code == 0, err
        return tmp_path / name

    return call


def read(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    samples = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    return json.loads((folder / "results.json").read_text()), samples


def total(by_mode: dict[str, list[float]], subtracted: dict[str, list[float]]) -> np.ndarray:
    return sum(np.array(by_mode[mode]) - np.array(subtracted[mode]) for mode in by_mode)  # type: ignore[return-value]


def test_scores_follow_from_what_is_stored(start: Any) -> None:
    results, samples = read(start("run", "--modes", "crop,D4", "--post", "RS"))
    for sample in samples:
        negatives = sample["negatives_by_mode"]
        phrases = {sample["text"]: sample["scores_by_mode"], **sample["phrases_by_mode"]}
        boxes = np.array(sample["candidates_xyxy"])
        boxes_xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
        expected = relate(
            sample["text"], boxes_xywh, lambda text, p=phrases, n=negatives: total(p[text], n)
        )
        np.testing.assert_allclose(sample["scores"], expected, rtol=1e-4, atol=1e-7)
        assert sample["pred"] == int(np.argmax(sample["scores"]))
    assert any(sample["phrases_by_mode"] for sample in samples)
    assert results["config"]["post"] == "RS"
    metrics = results["metrics"][SPLIT]["crop+blur_reverse_mask"]
    low, high = metrics["interval_95_clustered"]
    assert low <= metrics["accuracy"] <= high
    assert metrics["recall_at"]["1"] == metrics["accuracy"]
    assert metrics["recall_at"]["5"] == metrics["ceiling"] == 1.0  # of three candidates
    flipped = [
        sample
        for sample in samples
        if not sample["correct"]
        and sample["candidates_xyxy"][sample["pred_before_post"]][0] == sample["gold_xyxy"][0] + 1
    ]
    assert metrics["misses"] == {
        "no_candidate": 0,
        "post_flipped": len(flipped),
        "ranked_wrong": 12 - metrics["correct"] - len(flipped),
    }
    assert results["config"]["settings"][SPLIT]["negatives"] == "all"
    parser = next(model for model in results["models"] if model["kind"] == "parser")
    assert parser["name"].startswith("en_core_web_sm")
    assert results["versions"]["spacy"] == parser["spacy"]


def test_negatives_are_the_mean_over_the_whole_split(start: Any) -> None:
    _, samples = read(start("all", "--modes", "crop", "--post", "S"))
    _, limited = read(start("limited", "--modes", "crop", "--post", "S", "--limit", "2"))
    of_image = [sample for sample in samples if sample["image"] == samples[0]["image"]]
    # Each image has the same sentences, so that the mean over its own is that over the split.
    expected = np.mean([sample["scores_by_mode"]["crop"] for sample in of_image], axis=0)
    for sample in (*of_image, *limited):
        np.testing.assert_allclose(sample["negatives_by_mode"]["crop"], expected, atol=1e-3)


def test_drawn_negatives_repeat_with_the_seed(start: Any) -> None:
    words = ("--modes", "crop", "--post", "S", "--negatives", "3")
    first, again, other = (
        [sample["scores"] for sample in read(start(name, *words, "--seed", seed))[1]]
        for name, seed in (("a", "1"), ("b", "1"), ("c", "2"))
    )
    assert first == again
    assert first != other


def test_too_many_negatives_are_refused(refusal: Any, root: Any) -> None:
    root.save(root.detections())
    options = ("--split", SPLIT, "--data-root", root.path, "--sam", "demo", "--clip", "demo")
    line = refusal(*options, "--post", "S", "--negatives", "500")
    assert "--negatives 500: refcoco+_testA has only 12 sentences to draw from" in line


def test_one_run_rescored_equals_runs_of_each_kind(
    start: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ("--modes", "crop,D4")
    full = start("full", *words, "--post", "RS")
    for post in ("none", "S", "R", "RS"):
        results, samples = read(start(f"own-{post}", *words, "--post", post))
        made = tmp_path / f"made-{post}"
        assert rescore.main([str(full), "--post", post, "--out", str(made)]) == 0
        again, rescored = read(made)
        for sample, other in zip(samples, rescored, strict=True):
            assert (sample["pred"], sample["correct"]) == (other["pred"], other["correct"])
            np.testing.assert_allclose(sample["scores"], other["scores"], rtol=1e-4, atol=1e-4)
        assert again["metrics"] == results["metrics"]
        assert again["config"]["settings"][SPLIT]["post"] == post
    assert "| post" in capsys.readouterr().out


def test_rescoring_as_it_was_changes_nothing(start: Any, tmp_path: Path) -> None:
    words = ("--modes", "crop,D4,none", "--compare-modes", "--size-prior", "0.08")
    folder = start("run", *words, "--post", "RS")
    assert rescore.main([str(folder), "--out", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again/samples.jsonl").read_text() == (folder / "samples.jsonl").read_text()


def test_relations_are_rescored_in_either_arithmetic(start: Any, tmp_path: Path) -> None:
    words = ("--modes", "crop,D4", "--post", "RS")
    runs = {way: start(way, *words, f"--{way}") for way in ("as-released", "no-as-released")}
    released, mended = (read(runs[way])[1] for way in runs)
    assert [one["scores"] for one in released] != [one["scores"] for one in mended]
    for way, folder in runs.items():
        made = tmp_path / f"again-{way}"
        assert rescore.main([str(folder), "--out", str(made)]) == 0
        assert (made / "samples.jsonl").read_bytes() == (folder / "samples.jsonl").read_bytes()
        there, back = tmp_path / f"there-{way}", tmp_path / f"back-{way}"
        other = next(name for name in runs if name != way)
        assert rescore.main([str(folder), f"--{other}", "--out", str(there)]) == 0
        settings = read(there)[0]["config"]["settings"][SPLIT]
        assert settings["as_released"] == (other == "as-released")
        assert settings["changed"] == ["as-released"]
        assert rescore.main([str(there), f"--{way}", "--out", str(back)]) == 0
        assert (back / "samples.jsonl").read_bytes() == (folder / "samples.jsonl").read_bytes()


def test_scores_that_are_nan_go_through_all_files(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def undefined(caption: str, boxes: Any, *_: Any, **__: Any) -> Any:
        return np.full(len(boxes), np.nan)

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    monkeypatch.setattr("fgvp_eval.scoring.postprocess.relate", undefined)
    folder = start("run", "--preset", "fgvp-r")
    for path in (*folder.glob("*.jsonl"), folder / "results.json"):
        texts = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
        for text in filter(None, texts):
            json.loads(text, parse_constant=refuse)
    results, samples = read(folder)
    assert all(sample["scores"] == [None] * 3 for sample in samples)
    assert all(sample["pred"] == 0 for sample in samples)
    metrics = results["metrics"][SPLIT]["crop+blur_reverse_mask"]
    assert metrics["recall_at"]["1"] == metrics["accuracy"]
    assert (
        "All candidates tie (nan), and the first is taken" in (folder / "report.html").read_text()
    )
    written = (folder / "samples.jsonl").read_bytes()
    (folder / "samples.jsonl").unlink()
    assert (start("run", "--preset", "fgvp-r") / "samples.jsonl").read_bytes() == written
    assert rescore.main([str(folder), "--out", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "samples.jsonl").read_bytes() == written


@pytest.mark.parametrize(
    ("post", "words", "match"),
    [
        ("none", ("--post", "RS"), "did not store each mode's scores, .*--post RS does"),
        ("R", ("--post", "S"), "did not store the scores of negatives, .*--post S or RS does"),
        ("S", ("--post", "R"), "did not store the scores of phrases, .*--post R or RS does"),
        ("none", ("--aggregate", "max"), "did not store each mode's scores"),
        ("S", ("--out", "run"), "--out run is the run itself"),
        ("S", ("--post", "X"), "--post: invalid choice"),
    ],
)
def test_rescoring_names_what_is_missing(
    start: Any, capsys: pytest.CaptureFixture[str], post: str, words: tuple[str, ...], match: str
) -> None:
    folder = start("run", "--modes", "crop,D4", "--post", post, "--limit", "2")
    capsys.readouterr()
    assert rescore.main([folder.name, *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    with pytest.raises(AssertionError, match=match):
        raise AssertionError(captured.err)


def test_size_prior_and_maximum(start: Any) -> None:
    words = ("--modes", "crop,D4", "--aggregate", "max", "--size-prior", "0.08")
    results, samples = read(start("run", *words))
    for sample in samples:
        boxes = np.array(sample["candidates_xyxy"])
        shares = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) / (48 * 64)
        assert sample["kept"] == (shares > 0.08).tolist()
        best = np.max(list(sample["scores_by_mode"].values()), axis=0)
        assert sample["pred"] == int(np.argmax(np.where(sample["kept"], best, -np.inf)))
    assert results["config"]["settings"][SPLIT]["size_prior"] == 0.08


@pytest.mark.parametrize("color", ["blue", "random", "text"])
def test_colours(start: Any, color: str) -> None:
    words = ("--modes", "mask", "--limit", "4")
    _, plain = read(start("plain", *words))
    results, colored = read(start(color, *words, "--color", color))
    assert results["config"]["settings"][SPLIT]["color"] == color
    if color != "text":  # which may well choose green
        assert [sample["scores"] for sample in plain] != [sample["scores"] for sample in colored]


def test_runs_compared_as_a_program(
    start: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    a = start("a", "--modes", "crop", "--post", "RS")
    b = tmp_path / "b"
    rescore.main([str(a), "--post", "none", "--out", str(b)])
    capsys.readouterr()
    assert compare.main([str(a), str(b), "--json", str(tmp_path / "out.json")]) == 0
    out = capsys.readouterr().out
    assert "only A right" in out
    (item,) = json.loads((tmp_path / "out.json").read_text())
    _, of_a = read(a)
    _, of_b = read(b)
    flips = [
        first["sample_id"]
        for first, second in zip(of_a, of_b, strict=True)
        if first["correct"] and not second["correct"]
    ]
    assert [flip["sample_id"] for flip in item["only_a"]] == flips
    assert item["n"] == 12


def test_a_repeated_run_takes_its_scores_from_the_journal(start: Any) -> None:
    words = ("--modes", "crop,D4", "--post", "RS", "--size-prior", "0.08")
    first = (start("run", *words) / "samples.jsonl").read_bytes()
    (start("run", *words) / "samples.jsonl").unlink()
    assert (start("run", *words) / "samples.jsonl").read_bytes() == first
