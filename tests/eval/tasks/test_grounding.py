"""Grounding of one picture: the scores of an evaluation, and the files that show them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from fgvp_eval.commands.evaluate import run_command
from fgvp_eval.commands.ground.__main__ import main
from fgvp_eval.data.boxes import iou_matrix, xyxy_from_xywh
from fgvp_eval.data.photos import demo_picture, read_demo

# Of pycocotools.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

MODES = ("blur_reverse_mask", "crop")
TEXTS = ("the circle", "a green thing", "the star on the left")


def ground(out: Path, *words: object) -> dict[str, Any]:
    assert main([*map(str, words), "--out", str(out)]) == 0
    record: dict[str, Any] = json.loads((out / "ground.json").read_text())
    return record


@pytest.mark.parametrize(("proposals", "post"), [("gt", "none"), ("sam-grid", "RS")])
def test_scores_are_those_of_an_evaluation(tmp_path: Path, proposals: str, post: str) -> None:
    samples = demo_picture("demo")[1].samples
    options = ["--modes", ",".join(MODES), "--proposals", proposals, "--post", post]
    options += ["--clean-masks", "200"]
    command = ["--split", "demo", *options, "--limit", len(samples), "--out", tmp_path / "run"]
    assert run_command([str(word) for word in command]) == 0
    lines = (tmp_path / "run" / "samples.jsonl").read_text().splitlines()
    expected = [json.loads(line) for line in lines]
    texts = [sample.text for sample in samples]
    found = ground(tmp_path / "ground", "demo", *options, "--text", *texts)
    assert [line["text"] for line in expected] == found["texts"]
    for index, line in enumerate(expected):
        assert found["candidates_xyxy"] == line["candidates_xyxy"]
        assert found["scores"][index] == line["scores"]
        assert found["argmax"][index] == line["pred"]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("ground")
    words = ("demo:2", "--text", *TEXTS, TEXTS[0], "--modes", ",".join(MODES), "--top", 3)
    return out, ground(out, *words)


def test_record_holds_together(found: tuple[Path, dict[str, Any]]) -> None:
    _, record = found
    photo = read_demo(demo_picture("demo:2")[1])
    assert record["schema_version"] == 1
    assert record["image"]["size"] == list(photo.size)
    boxes = np.array(record["candidates_xyxy"])  # [N, 4]
    masks = coco_mask.decode(record["masks"])  # [H, W, N]
    assert masks.shape == (*photo.size, len(boxes))
    for box, mask in zip(boxes, masks.transpose(2, 0, 1), strict=True):
        ys, xs = np.nonzero(mask)
        assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
    by_mode = np.array([[rows[mode] for mode in MODES] for rows in record["scores_by_mode"]])
    scores = np.array(record["scores"])  # [T, N]
    np.testing.assert_allclose(scores, by_mode.sum(1), rtol=1e-6)
    powers = np.exp(scores - scores.max(1, keepdims=True))
    np.testing.assert_allclose(
        record["probabilities"], powers / powers.sum(1, keepdims=True), rtol=1e-9
    )
    assert record["argmax"] == scores.argmax(1).tolist()
    assert record["config"]["sam"] == record["config"]["clip"] == "demo"
    assert [model["kind"] for model in record["models"]] == ["sam", "clip"]


def test_the_showcase_is_right(tmp_path: Path) -> None:
    record = ground(tmp_path / "out", "demo:5", "--modes", "D4,crop")
    assert record["config"]["clean_masks"] == 400
    _, image = demo_picture("demo:5")
    golds = {a.ann_id: xyxy_from_xywh(a.box_xywh) for a in image.annotations}
    gold_of = {sample.text: golds[sample.gold_ann_ids[0]] for sample in image.samples}
    boxes_xyxy = [record["candidates_xyxy"][index] for index in record["assignment"]]
    overlaps = {
        text: iou_matrix([box_xyxy], [gold_of[text]]).item()
        for text, box_xyxy in zip(record["texts"], boxes_xyxy, strict=True)
    }
    assert min(overlaps.values()) > 0.5
    assert overlaps["the large checked star"] > 0.8  # 0.53 with an island of its mask


def test_no_two_texts_get_one_candidate_and_the_sum_is_the_best(
    found: tuple[Path, dict[str, Any]],
) -> None:
    _, record = found
    scale = record["models"][1]["logit_scale"] * len(MODES)
    costs = np.exp(-np.array(record["scores"]) / scale)  # [T, N]

    def cost(chosen: tuple[int, ...]) -> float:
        return float(costs[range(len(costs)), chosen].sum())

    assigned = tuple(record["assignment"])
    ways = itertools.permutations(range(costs.shape[1]), len(costs))
    assert len(set(assigned)) == len(costs)
    assert cost(assigned) == pytest.approx(min(map(cost, ways)), rel=1e-12)
    # The first and the last text are the same, so one of them gets its second choice.
    assert record["argmax"][0] == record["argmax"][3]
    assert min(record["margins"][0], record["margins"][3]) < 0


def test_pictures_show_every_text(found: tuple[Path, dict[str, Any]]) -> None:
    out, _ = found
    annotated = np.asarray(Image.open(out / "annotated.png"))
    for color in ((213, 94, 0), (0, 114, 178), (0, 158, 115), (204, 121, 167)):
        assert (annotated == color).all(-1).sum() > 400
    assert 800 <= max(annotated.shape) <= 1280
    prompts = Image.open(out / "prompts.png")
    assert prompts.height > len(TEXTS) * len(MODES) * 192


def test_table_and_files_of_given_boxes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = read_demo(demo_picture("demo:3")[1])
    Image.fromarray(photo.pixels).save(tmp_path / "own.png")
    height, width = photo.size
    half = np.zeros((height, width), np.uint8, order="F")
    half[:, : width // 2] = 1
    rle = coco_mask.encode(half)
    rle["counts"] = rle["counts"].decode("ascii")
    entry = {"bbox": [0, 0, width // 2, height], "label": "left half", "segmentation": rle}
    (tmp_path / "boxes.json").write_text(json.dumps([entry]))
    own = (tmp_path / "own.png", "--boxes", tmp_path / "boxes.json", "--sam", "demo")
    record = ground(
        tmp_path / "out", *own, "--clip", "demo", "--masks", "given", "--text", "it", "all of it"
    )
    out, err = capsys.readouterr()
    assert out.splitlines()[0].split() == [
        *("text", "candidate", "box", "x1", "y1", "x2", "y2"),
        *("score", "probability", "margin", "best", "alone"),
    ]
    assert f"0 left half  0 0 {width // 2} {height}" in out
    assert "boxes.json: boxes are read as xywh" in err
    assert "CLIP is the demo's and knows generated scenes only" in err  # SAM has nothing to do
    assert sorted(record["assignment"], key=str) == [0, None]
    assert record["labels"] == ["left half"]
    np.testing.assert_array_equal(coco_mask.decode(record["masks"][0]), half)


def test_negatives_of_a_file_are_subtracted(tmp_path: Path) -> None:
    (tmp_path / "negatives.txt").write_text("A red star\n\nthe circle\n")
    common = ("demo:2", "--proposals", "gt", "--modes", "D4")
    raw = ground(tmp_path / "raw", *common, "--text", "a green thing", "a red star", "the circle")
    words = ("--post", "S", "--negatives", tmp_path / "negatives.txt", "--text", "a green thing")
    # So few are shown that the chosen candidate of a text may have to be added.
    found = ground(tmp_path / "found", *common, *words, "a green thing", "--top", 1)
    scores = np.array(raw["scores"])  # [3, N]
    np.testing.assert_allclose(found["scores"][0], scores[0] - scores[1:].mean(0), atol=1e-4)
    width = Image.open(tmp_path / "found" / "prompts.png").width
    assert width > 140 + 2 * 200


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["own.png"], "--text is needed"),
        (["own.png", "--text", " "], "--text must not be empty"),
        (["own.png", "--text", "x", "--proposals", "gt"], "only demo pictures"),
        (["own.png", "--text", "x", "--masks", "given"], "--masks given needs"),
        (["own.png", "--text", "x", "--boxes", "b.json", "--masks", "given"], "needs a 'segm"),
        (["own.png", "--text", "x", "--post", "S"], "--negatives FILE"),
        (["demo", "--negatives", "own.png"], "--negatives needs --post S"),
        (["demo", "--post", "S", "--negatives", "own.png"], "cannot be read as text"),
        (["demo", "--image-id", "3"], "the file of --boxes"),
        (["demo", "--modes", "blurr"], "--modes: mode must be one of"),
        (["demo", "--top", "0"], "--top must be at least 1"),
        (["demo:999"], "demo pictures are demo:1 to"),
        (["none.png", "--text", "x"], "none.png: no such file"),
        (["cut.png", "--text", "x"], "cut.png: cannot be read as a picture"),
        (["own.png", "--text", "x"], "--sam demo --clip demo"),
        (
            ["own.png", "--text", "x", "--sam", "demo", "--clip", "demo", "--boxes", "no.json"],
            "no.json is missing",
        ),
    ],
)
def test_refusals_are_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("FGVP_DATA_ROOT", raising=False)
    Image.new("RGB", (40, 30)).save("own.png")
    Path("b.json").write_text("[[1, 2, 3, 4]]")
    Path("cut.png").write_bytes(Path("own.png").read_bytes()[:60])
    assert main([*words, "--out", "out"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1, err
    assert message in err
    assert not Path("out").exists()
