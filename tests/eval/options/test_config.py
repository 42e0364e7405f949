from pathlib import Path

import pytest

from fgvp_eval.commands.evaluate import parse_config
from fgvp_eval.errors import UsageError
from fgvp_eval.options.config import DEFAULT_CLIP, DEMO_MODES, EvalConfig, Proposals, SplitSettings
from fgvp_eval.options.splits import DEMO


def settings(*words: str) -> SplitSettings:
    config = parse_config(words)
    return config.settings(config.splits[0])


def refuses(*words: str, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        parse_config(words)


def test_demo_defaults_compare_five_modes_on_annotated_boxes() -> None:
    found = settings("--split", "demo")
    assert found.modes == DEMO_MODES
    assert found.compare_modes
    assert (found.sam, found.clip, found.proposals.kind) == ("demo", "demo", "gt")
    assert found.mode_groups == tuple((mode,) for mode in DEMO_MODES)


def test_explicit_flags_win_on_demo() -> None:
    found = settings("--split", "demo", "--modes", "crop,D4", "--sam", "vit_b", "--clip", "RN50:x")
    assert (found.modes, found.compare_modes) == (("crop", "blur_reverse_mask"), False)
    assert found.mode_groups == (("crop", "blur_reverse_mask"),)
    assert (found.sam, found.clip) == ("vit_b", "RN50:x")
    assert not settings("--split", "demo", "--no-compare-modes").compare_modes


def test_refcoco_defaults_are_those_of_the_contract() -> None:
    found = settings("--split", "refcoco_val")
    assert found.modes == ("blur_reverse_mask",)
    assert not found.compare_modes
    assert found.proposals == Proposals("detections")
    assert (found.masks, found.sam, found.clip) == ("sam", "vit_h", DEFAULT_CLIP)


def test_underscores_and_dashes_are_one_spelling() -> None:
    a = parse_config(["--split", "demo", "--data_root", "d_x", "--batch_size=3", "--compare_modes"])
    b = parse_config(["--split", "demo", "--data-root", "d_x", "--batch-size=3", "--compare-modes"])
    assert a == b
    assert (a.data_root, a.batch_size, a.compare_modes) == (Path("d_x"), 3, True)


def test_data_root_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FGVP_DATA_ROOT", "from_environment")
    assert parse_config(["--split", "demo"]).folder_of_data() == Path("from_environment")
    given = parse_config(["--split", "demo", "--data-root", "given"])
    assert given.folder_of_data() == Path("given")
    monkeypatch.delenv("FGVP_DATA_ROOT")
    assert parse_config(["--split", "demo"]).folder_of_data() == Path("data")


def test_mode_names_codes_and_official_flags() -> None:
    found = settings("--split", "demo", "--modes", "D4,official:contour, none")
    assert found.modes == ("blur_reverse_mask", "contour", "none")


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--modes", "blurr"], "--modes: mode must be one of .*got 'blurr'.*blur_mask"),
        (["--modes", "D4,blur_reverse_mask"], "names blur_reverse_mask twice"),
        (["--proposals", "sam-grid", "--masks", "gt"], "--masks gt needs --proposals gt on demo"),
        (["--clean-masks", "-1"], "--clean-masks must be at least 0, got -1"),
        (["--proposals", "boxes"], "--proposals must be one of gt, detections, detections:FILE"),
        (["--proposals", "detections:"], "--proposals must be one of"),
        (["--sam", "vit_x"], r"--sam must be one of vit_h\[:CHECKPOINT\], .*got 'vit_x'"),
        (["--sam", "vit_h:"], "--sam must be one of"),
        (["--post", "SR"], "--post: invalid choice: 'SR' .*none.*RS"),
        (["--preset", "fgvp"], "--preset must be one of cpt-r, reclip-r, .*; got 'fgvp'"),
        (["--aggregate", "mean"], "--aggregate: invalid choice: 'mean'"),
        (["--negatives", "some", "--post", "S"], "--negatives must be all or a number, got 'some'"),
        (["--negatives", "0", "--post", "S"], "--negatives must be at least 1, got 0"),
        (["--negatives", "5", "--post", "R"], "--negatives needs --post S or RS, got --post R"),
        (["--template", "a photo"], "--template must hold {} once, for the sentence"),
        (["--template", "{} and {}"], "--template must hold {} once"),
        (["--template", "{} {x}"], "--template must hold {} once"),
        (["--size-prior", "1"], "--size-prior must be at least 0 and below 1, got 1.0"),
        (["--size-prior", "-0.1"], "--size-prior must be at least 0 and below 1"),
        (["--color", "pink"], "--color must be one of red, .*random, text; got 'pink'"),
        (["--limit", "0"], "--limit must be at least 1, got 0"),
        (["--batch-size", "-4"], "--batch-size must be at least 1, got -4"),
        (["--seed", "-1"], "--seed must be at least 0, got -1"),
        (["--limit", "many"], "--limit: invalid int value: 'many'"),
        (["--masks", "gt", "--proposals", "detections"], "--masks gt needs --proposals gt on demo"),
        (["--seed", str(2**63)], "--seed: must be a number of 64 bits, got 9223372036854775808"),
        (["--limit", "9" * 5000], "--limit: must be a number of 64 bits, got 9+$"),
        (["--post", "S", "--negatives", "9" * 30], "--negatives must be all or a number"),
        (["--out", ""], "--out: a path must not be empty"),
        (["--data-root", ""], "--data-root: a path must not be empty"),
        (["--data-root", "/a" * 2500], "--data-root: no path can be .*File name too long"),
        (["--data-root", "a" * 256], "--data-root: no path can be .*File name too long"),
        (["--proposals", f"detections:{'a' * 256}"], "--proposals: no path can be"),
        (["--sam", f"vit_h:{'a' * 256}"], "--sam: no path can be"),
        (["--clip", ""], "--clip must be MODEL:PRETRAINED or demo, got nothing"),
        (["--clip", f"demo+RN50:a+{'b' * 256}"], "--clip: no path can be"),
        (["--split-name", "demo"], "unrecognized arguments: --split-name demo"),
    ],
)
def test_wrong_usage_is_named(words: list[str], match: str) -> None:
    refuses("--split", "demo", *words, match=match)


def test_masks_of_annotations_need_candidates_of_annotations() -> None:
    refuses("--split", "refcoco_val", "--masks", "gt", match="--masks gt needs --proposals gt")
    parse_config(["--split", "refcoco_val", "--masks", "gt", "--proposals", "gt"])


def test_split_is_required() -> None:
    refuses(match="required: --split")


def test_detections_file_is_taken_as_given() -> None:
    found = settings("--split", "refcoco_val", "--proposals", "detections:/a:b/c.json")
    assert found.proposals == Proposals("detections", Path("/a:b/c.json"))


def test_config_is_frozen() -> None:
    config = parse_config(["--split", "demo"])
    assert isinstance(config, EvalConfig)
    with pytest.raises(AttributeError):
        config.seed = 3  # type: ignore[misc]


def test_data_root_of_the_environment_is_checked_as_the_option_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FGVP_DATA_ROOT", "a" * 5000)
    refuses("--split", "demo", match="the variable FGVP_DATA_ROOT: no path can be 'aaa")
    assert parse_config(["--split", "demo", "--data-root", "given"]).data_root == Path("given")


def test_options_given_in_python_have_the_same_bounds() -> None:
    with pytest.raises(UsageError, match=r"--seed must be below 2\*\*63"):
        EvalConfig((DEMO,), seed=2**63)
    assert EvalConfig((DEMO,), seed=2**63 - 1).seed == 2**63 - 1
