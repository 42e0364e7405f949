"""Exit codes and the one line that goes with each of them."""

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from fgvp_eval import __main__ as program
from fgvp_eval.options.command_line import build_parser
from fgvp_eval.runs import evaluation

TEST_A = ("--split", "refcoco+_testA", "--sam", "demo", "--clip", "demo")


def test_help_is_fast_and_shows_examples() -> None:
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "fgvp_eval", "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "examples:" in done.stdout
    assert "refcoco+_testA" in done.stdout
    assert not re.search(r"\| +torch$", done.stderr, re.MULTILINE)
    assert time.monotonic() - start < 10


def test_help_says_what_every_option_does_by_default() -> None:
    text = build_parser().format_help().split("examples:")[0]
    groups = re.findall(r"^(\w.*):$", text, re.MULTILINE)
    assert groups[1:] == [
        *("data", "candidates, prompts and models", "texts and post-processing", "run")
    ]
    options = re.split(r"^  (?=--)", text, flags=re.MULTILINE)[1:]
    assert len(options) > 20
    for option in options:
        assert re.search(r"default:|required", option), option


def test_wrong_usage_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fgvp_eval", "--split", "refcoco_tset"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        r"fgvp_eval: error: unknown split 'refcoco_tset' \(did you mean refcocog_test, .*\n",
        done.stderr,
    )


def test_console_script_gives_the_exit_code() -> None:
    assert program.main(["--split", "paco_val"]) == 2
    assert program.main(["--help"]) == 0


def test_interrupt_while_modules_load(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("fgvp_eval.commands.evaluate.run_command", interrupted)
    assert program.main(["--split", "demo"]) == 130
    assert "repeat the run with: python -m fgvp_eval --split demo\n" in capsys.readouterr().err


def test_missing_data(refusal: Any, tmp_path: Path) -> None:
    line = refusal("--split", "refcoco_val", "--data-root", tmp_path)
    assert f"refs(unc).p is missing, expected at {tmp_path}/refcoco/refs(unc).p; source: " in line


def test_data_root_of_the_environment(
    refusal: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FGVP_DATA_ROOT", str(tmp_path / "elsewhere"))
    assert "elsewhere/refcocog/refs(umd).p" in refusal("--split", "refcocog_val")


def test_missing_detections_never_become_annotations(refusal: Any, root: Any) -> None:
    root.save()
    line = refusal(*TEST_A, "--data-root", root.path)
    assert "the detector's boxes are missing" in line
    assert "--proposals gt needs no file, but is a different, easier protocol" in line


def test_demo_has_no_detector(refusal: Any, make_root: Any) -> None:
    root = make_root("demo")
    for ref in root.refs:
        ref["split"] = "val"
    root.save()
    line = refusal("--split", "demo", "--data-root", root.path, "--proposals", "detections")
    assert "source: none, as no detector was run on demo" in line


def test_missing_sam_weights(
    refusal: Any, root: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    root.save(root.detections())
    line = refusal("--split", "refcoco+_testA", "--clip", "demo", "--data-root", root.path)
    assert "sam_vit_h_4b8939.pth is missing" in line
    assert "https://dl.fbaipublicfiles.com/segment_anything/sam_vit_h_4b8939.pth" in line


def test_wrong_activation(refusal: Any) -> None:
    line = refusal("--split", "refcoco_val", "--clip", "ViT-B-32:openai")
    assert "use ViT-B-32-quickgelu:openai" in line


@pytest.mark.parametrize(
    ("device", "reason"), [("cuda:99", "cannot be used"), ("abacus", "cannot be used")]
)
def test_device_that_is_not_there(refusal: Any, device: str, reason: str) -> None:
    assert f"--device {device} {reason}" in refusal("--split", "demo", "--device", device)


def test_pickle_that_holds_code(refusal: Any, root: Any) -> None:
    root.save(root.detections())
    root.refs_path.write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    line = refusal(*TEST_A, "--data-root", root.path)
    assert "holds code (os.system)" in line


def test_truncated_json(refusal: Any, root: Any) -> None:
    root.save(root.detections())
    root.instances_path.write_text(root.instances_path.read_text()[:300])
    assert "instances.json is truncated or no JSON" in refusal(*TEST_A, "--data-root", root.path)


def test_run_folder_that_cannot_be_made(
    refusal: Any, root: Any, tmp_path: Path, random_models: None
) -> None:
    root.save(root.detections())
    (tmp_path / "file").write_text("")
    line = refusal(*TEST_A, "--data-root", root.path, "--out", tmp_path / "file" / "run")
    assert re.search(r"--out .*file/run cannot be made: Not a directory", line)


def test_refused_run_leaves_no_folder(refusal: Any, root: Any, tmp_path: Path) -> None:
    refusal(*TEST_A, "--data-root", root.path, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_interrupt_tells_how_to_resume(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluation, "evaluate", interrupted)
    code, out, err = run("--split", "demo", "--out", "a b")
    assert (code, out) == (130, "")
    assert err == (
        "fgvp_eval: interrupted; resume it with: python -m fgvp_eval --split demo --out 'a b'\n"
    )


def test_unexpected_error_is_a_failure_with_its_trace(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(evaluation, "evaluate", failing)
    code, out, err = run("--split", "demo")
    assert (code, out) == (1, "")
    assert err.startswith("fgvp_eval: failed: ZeroDivisionError: by zero\nTraceback")
