"""Rows of the published table: options, drawing, and where their numbers may stand."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fgvp_eval.commands.evaluate import parse_config
from fgvp_eval.encoding.drawing import DrawStyle, blur_facts, draw_styles, image_seed
from fgvp_eval.options.config import SplitSettings
from fgvp_eval.options.presets import PRESETS, parse_preset
from fgvp_eval.results.metrics import Metrics
from fgvp_eval.results.tables import TableRow, format_table
from fgvp_kernels import Mode, RenderOptions

# Codes of the visual prompts, kind of CLIP, post-processing and printed numbers of each row.
PUBLISHED = {
    "cpt-r": ("P B2", "B-32", "R", (41.3, 41.3, 51.3)),
    "reclip-r": ("P B4", "B-32", "R", (45.8, 47.9, 59.3)),
    "redcircle-r": ("P C1", "B-32", "R", (43.9, 45.3, 57.3)),
    "fgvp-r": ("P D4", "B-32", "R", (52.0, 53.3, 62.1)),
    "redcircle-s-nocrop": ("C1 C3 C4", "L-14-336", "S", (51.4, 56.3, 58.3)),
    "fgvp-s-nocrop": ("D1 D3 D4", "L-14-336", "S", (52.9, 57.4, 58.1)),
    "redcircle-s": ("P C1 C3 C4", "L-14-336", "S", (51.6, 58.1, 60.0)),
    "fgvp-s": ("P D1 D3 D4", "L-14-336", "S", (53.9, 59.3, 61.0)),
    "redcircle-rs": ("P C1 C3 C4", "L-14-336", "RS", (56.8, 58.6, 62.2)),
    "fgvp-rs": ("P D1 D3 D4", "L-14-336", "RS", (59.6, 60.0, 63.3)),
}
METRICS = Metrics(100, 52, 0.52, (0.42, 0.61), 0.2, 0.9)


def settings(*words: str) -> SplitSettings:
    config = parse_config(words)
    return config.settings(config.splits[0])


@pytest.mark.parametrize("name", PUBLISHED)
def test_row_of_the_published_table(name: str) -> None:
    codes, clip, post, numbers = PUBLISHED[name]
    preset = PRESETS[name]
    assert [Mode(mode).spec.code for mode in preset.modes] == codes.split()
    assert preset.clip == f"ViT-{clip}-quickgelu:openai+RN50x16-quickgelu:openai"
    assert preset.post == post
    assert preset.published == dict(
        zip(("refcoco_val", "refcoco+_val", "refcocog_val"), numbers, strict=True)
    )
    assert preset.template == ("{} is in red color." if name == "cpt-r" else "a photo of {}")
    found = settings("--split", "refcoco_val", "--preset", name)
    assert (found.modes, found.clip, found.post) == (preset.modes, preset.clip, post)
    assert (found.preset, found.changed, found.compare_modes) == (name, (), False)
    assert found.template == preset.template
    assert list(PRESETS) == list(PUBLISHED)


def test_name_of_a_preset_has_no_case() -> None:
    assert parse_preset("FGVP-RS") is PRESETS["fgvp-rs"]


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        (("--modes", "crop"), ("modes",)),
        (("--clip", "demo", "--sam", "demo"), ("clean-masks", "sam", "clip")),
        (("--post", "none", "--size-prior", "0.05"), ("post", "size-prior")),
        (("--limit", "3", "--color", "text"), ("color", "limit")),
        (("--template", "{}", "--aggregate", "max"), ("aggregate", "template")),
        (("--sam", "vit_h:/weights/file.pth", "--negatives", "500"), ()),
        (("--no-as-released",), ("as-released",)),
    ],
)
def test_options_beside_a_preset_win_and_are_named(
    words: tuple[str, ...], changed: tuple[str, ...]
) -> None:
    assert settings("--split", "refcoco_val", "--preset", "fgvp-s", *words).changed == changed


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), (False, None)),
        (("--as-released",), (True, "fgvp")),
        (("--preset", "fgvp-r"), (True, "fgvp")),
        (("--preset", "reclip-r"), (True, "reclip")),
        (("--preset", "fgvp-r", "--no-as-released"), (False, "fgvp")),
    ],
)
def test_as_released_goes_with_a_preset(words: tuple[str, ...], expected: Any) -> None:
    found = settings("--split", "refcoco_val", *words)
    assert (found.as_released, found.drawing) == expected


def test_demo_keeps_its_models_under_a_preset() -> None:
    found = settings("--split", "demo", "--preset", "fgvp-rs")
    assert (found.sam, found.clip, found.proposals.kind) == ("demo", "demo", "gt")
    assert not found.compare_modes
    assert {"clip", "proposals"} <= set(found.changed)


def test_fgvp_draws_as_released_and_crops_the_original() -> None:
    styles = draw_styles(PRESETS["fgvp-s"].modes, "fgvp", 0)
    assert styles["contour"] == DrawStyle(RenderOptions.official(), "resize_first", 384)
    assert (styles["crop"].order, styles["crop"].frame) == ("render_first", None)
    assert blur_facts(styles)["kind"] == "pil"
    assert blur_facts(styles)["frame"].startswith("short side = 384, or the CLIP size")


def test_reclip_draws_on_the_original_image() -> None:
    styles = draw_styles(PRESETS["cpt-r"].modes, "reclip", 0)
    assert {style.order for style in styles.values()} == {"render_first"}
    options = styles["box_mask"].options
    assert (options.tint_color, options.alpha) == ("cpt_red", 127 / 255)
    blur = draw_styles(PRESETS["reclip-r"].modes, "reclip", 0)
    assert blur_facts(blur)["frame"] == "image, original size"


def test_own_drawing_and_colours() -> None:
    styles = draw_styles(["contour", "mask"], None, 5, "random")
    assert styles["mask"].options == RenderOptions(tint_color="random", line_color="random", seed=5)
    assert draw_styles(["mask"], None, 0)["mask"] == DrawStyle(RenderOptions())


def test_random_colours_are_those_of_the_run_and_the_image() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    other = np.ones_like(image)
    seeds = [image_seed(*of) for of in ((0, image), (1, image), (0, other), (0, image[:, :5]))]
    assert len(set(seeds)) == 4
    assert image_seed(0, np.asfortranarray(image)) == seeds[0]
    RenderOptions(seed=seeds[0])


@pytest.mark.parametrize(("side", "drawn"), [(224, 384), (336, 384), (384, 384), (64, 64)])
def test_small_models_are_drawn_at_their_own_size(side: int, drawn: int) -> None:
    style = DrawStyle(RenderOptions(), frame=384)
    assert style.drawn_size((side, side)) == (drawn, drawn)


def cells(table: str) -> list[list[str]]:
    lines = table.splitlines()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in (lines[0], *lines[2:])]


def test_published_number_stands_beside_the_measured_one() -> None:
    row = TableRow("refcoco_val", "detections", "crop", METRICS, "R", "fgvp-r", 52.0)
    head, body = cells(format_table([row]))
    assert head == [
        *("split", "proposals", "modes", "post", "preset", "accuracy %", "published %"),
        *("95 % interval", "n", "chance %"),
    ]
    assert body[5:7] == ["52.0", "52.0"]


def test_kinds_of_candidates_have_columns_of_their_own() -> None:
    row = TableRow("refcoco_val", "detections", "crop", METRICS, "R", "fgvp-r", 52.0)
    other = replace(row, split="demo", proposals="gt", published=None)
    head, first, second = cells(format_table([row, other]))
    columns = head.index("accuracy % (detections)"), head.index("accuracy % (gt)")
    assert [first[column] for column in columns] == ["52.0", ""]
    assert [second[column] for column in columns] == ["", "52.0"]
    assert second[head.index("published %")] == "-"


@pytest.mark.usefixtures("random_models")
@pytest.mark.parametrize("name", PUBLISHED)
def test_presets_run_with_the_demo_models(run: Any, root: Any, tmp_path: Path, name: str) -> None:
    root.save(root.detections())
    words = ("--split", "refcoco+_testA", "--data-root", root.path, "--preset", name)
    code, out, err = run(*words, "--sam", "demo", "--clip", "demo", "--limit", "4", "--out", "run")
    assert code == 0, err
    head, body = cells(out)
    assert body[head.index("preset")] == f"{name} (changed: clean-masks, sam, clip, limit, data)"
    assert "published %" not in head  # nothing was published for testA
    assert body[head.index("post")] == PUBLISHED[name][2]
    assert body[head.index("as released")] == "yes"
    summary = (tmp_path / "run" / "summary.md").read_text()
    assert PRESETS[name].note in summary
    assert "- as released (`--as-released`)" in summary
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["config"]["settings"]["refcoco+_testA"]["as_released"]
    # Only FGVP's rows have masks of SAM, which the released code finds at long side 1024.
    expected = 1024 if name.startswith("fgvp") else None
    assert results["splits"]["refcoco+_testA"]["frame"] == expected
    assert ("at long side 1024" in summary) == (expected is not None)


@pytest.mark.usefixtures("random_models")
def test_the_mended_way_is_another_run_and_says_so(
    run: Any, refusal: Any, root: Any, tmp_path: Path
) -> None:
    root.save(root.detections())
    words = ("--split", "refcoco+_testA", "--data-root", root.path, "--preset", "fgvp-r")
    words = (*words, "--sam", "demo", "--clip", "demo", "--limit", "4")
    assert run(*words, "--out", "released")[0] == 0
    assert "as_released" in refusal(*words, "--no-as-released", "--out", "released")
    code, out, err = run(*words, "--no-as-released", "--out", "mended")
    assert code == 0, err
    head, body = cells(out)
    assert "as-released" in body[head.index("preset")]
    assert "as released" not in head
    results = json.loads((tmp_path / "mended" / "results.json").read_text())
    assert not results["config"]["settings"]["refcoco+_testA"]["as_released"]
    assert results["splits"]["refcoco+_testA"]["frame"] is None
    assert "- not as released" in (tmp_path / "mended" / "summary.md").read_text()
    samples = [
        [json.loads(line) for line in (tmp_path / name / "samples.jsonl").open()]
        for name in ("released", "mended")
    ]
    for released, mended in zip(*samples, strict=True):
        assert released["candidates_xyxy"] == mended["candidates_xyxy"]
        crops, masks = (
            [sample["scores_by_mode"][mode] for sample in (released, mended)]
            for mode in ("crop", "blur_reverse_mask")
        )
        assert crops[0] == crops[1]
        assert masks[0] != masks[1]


@pytest.mark.usefixtures("random_models")
@pytest.mark.parametrize("proposals", ["detections", "gt"])
@pytest.mark.parametrize(("name", "number"), [("reclip-r", "47.9"), ("redcircle-s-nocrop", "56.3")])
def test_published_number_is_for_detected_boxes_only(
    run: Any, make_root: Any, tmp_path: Path, proposals: str, name: str, number: str
) -> None:
    root = make_root("refcoco+")
    for ref in root.refs:
        ref["split"] = "val"
    root.save(root.detections())
    words = ("--split", "refcoco+_val", "--data-root", root.path, "--preset", name)
    models = ("--sam", "demo", "--clip", "demo", "--proposals", proposals, "--out", "run")
    code, out, err = run(*words, *models, "--limit", "3")
    assert code == 0, err
    head, body = cells(out)
    assert ("published %" in head) == (proposals == "detections")
    summary = (tmp_path / "run" / "summary.md").read_text()
    assert ("no published number stands beside these" in summary) == (proposals == "gt")
    if proposals == "detections":
        assert body[head.index("published %")] == number
