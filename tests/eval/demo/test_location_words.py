"""What relations are for: telling twins apart by where they are, with the trained demo models."""

import json
from pathlib import Path

import pytest

from fgvp_eval.commands import compare, rescore
from fgvp_eval.commands.evaluate import run_command


def test_relations_beat_none_on_sentences_with_words_of_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("--split", "demo_location", "--modes", "D4", "--masks", "gt", "--post", "RS")
    assert run_command([*words, "--out", "rs"]) == 0, capsys.readouterr().err
    assert rescore.main(["rs", "--post", "none", "--out", "none"]) == 0
    assert compare.main(["none", "rs", "--json", "out.json"]) == 0
    (found,) = json.loads((tmp_path / "out.json").read_text())
    assert found["n"] > 100
    assert found["difference"] > 0.1
    assert found["p_value"] < 0.05
    assert found["interval_95"][0] > 0
