"""What the demo shows: prompting matters, and the unmarked control scores at chance."""

from __future__ import annotations

import json

import pytest

from fgvp_eval.commands.evaluate import run_command


@pytest.fixture(scope="module")
def metrics(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    assert run_command(["--split", "demo", "--out", str(folder)]) == 0
    return json.loads((folder / "results.json").read_text())["metrics"]["demo"]


def test_the_table_compares_five_prompts(metrics):
    assert list(metrics) == ["none", "crop", "circle", "contour", "blur_reverse_mask"]
    assert {row["n"] for row in metrics.values()} == {349}


def test_the_unmarked_control_scores_at_chance(metrics):
    assert abs(metrics["none"]["accuracy"] - metrics["none"]["chance"]) < 0.05


def test_blur_reverse_mask_is_best_and_crop_far_above_chance(metrics):
    blur, crop = metrics["blur_reverse_mask"], metrics["crop"]
    assert blur["accuracy"] >= 0.85
    assert crop["accuracy"] > crop["chance"] + 0.3
    assert blur["accuracy"] == max(row["accuracy"] for row in metrics.values())
