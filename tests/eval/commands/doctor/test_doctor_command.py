"""The command as a person runs it, and what it does with checks that fail or break."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fgvp_eval.commands.doctor import backends, clip_checks
from fgvp_eval.commands.doctor.__main__ import main
from fgvp_eval.commands.doctor.report import (
    Line,
    as_block,
    as_record,
    private,
    run_checks,
    size_text,
)

SECTIONS = (
    *("versions", "devices", "environment", "backends", "CLIP names", "CLIP", "weights", "data"),
    *("caches", "free disk"),
)


def doctor(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fgvp_eval.doctor", *words]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""} | variables
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_a_sound_machine_gives_a_block_without_names_of_users(tmp_path):
    home = tmp_path / "alice"
    (home / "data").mkdir(parents=True)
    done = doctor(
        *("--sam", "demo", "--data-root", str(home / "data")),
        **{"HOME": str(home), "USER": "alice", "LOGNAME": "alice", "FGVP_OLD": "/x/alice/y"},
        **{"TRITON_INTERPRET": "0", "SECRET_TOKEN": "hunter2"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert (lines[0], lines[-1]) == ("```text", "```")
    assert [line for line in lines[1:-2] if not line.startswith("  ")] == list(SECTIONS)
    states = ("ok", "warning", "failed", "not checked")
    for line in lines[1:-2]:
        last = [part.split(":")[0].strip() for part in line.split("  ")]
        assert not line.startswith("  ") or any(state in last for state in states), line
    assert "failed 0" in lines[-2]
    assert "not checked: the images are on the CPU (set TRITON_INTERPRET=1" in done.stdout
    assert "/x/USER/y" in done.stdout
    assert "~/data" in done.stdout
    assert "alice" not in done.stdout
    assert "hunter2" not in done.stdout


def test_json_says_the_same_and_a_missing_device_is_a_failure(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(clip_checks, "model_lines", lambda names, device: [Line("CLIP", "")])
    assert main(["--json", "--device", "cuda:99", "--data-root", str(tmp_path / "none")]) == 1
    record = json.loads(capsys.readouterr().out)
    assert tuple(record["sections"]) == SECTIONS
    failed = [
        line["what"]
        for found in record["sections"].values()
        for line in found
        if line["state"] == "failed"
    ]
    assert failed == ["--device"]
    assert record["counts"]["failed"] == 1
    # Neither weights nor data are at hand, which is no failure.
    assert record["sections"]["weights"][0]["state"] == "warning"
    assert record["sections"]["data"][0]["state"] == "warning"


def test_a_package_that_does_not_load_fails_what_needs_it_only(tmp_path):
    broken = tmp_path / "torch"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError('libcudart.so: not found')")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = doctor("--sam", "demo", PYTHONPATH=path)
    assert done.returncode == 1
    assert "torch does not load" in done.stdout
    assert "a package is missing or broken: libcudart.so: not found" in done.stdout
    assert "free at" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_backend_that_draws_wrongly_makes_the_exit_code_1(monkeypatch, capsys):
    right = backends.render_batch
    monkeypatch.setattr(backends, "render_batch", lambda *a, **k: right(*a, **k) + 1 / 255)
    monkeypatch.setattr(clip_checks, "model_lines", lambda names, device: [Line("CLIP", "")])
    assert main(["--sam", "demo"]) == 1
    out = capsys.readouterr().out
    assert "0.5 are allowed; wrong: blur of sigma 3, blur of sigma 100" in out
    assert "free disk" in out


@pytest.mark.parametrize(
    ("words", "message"), [(["--sam", "vit_x"], "--sam must be one of"), (["--what"], "--what")]
)
def test_wrong_usage_is_one_line(words, message, capsys):
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert len(captured.err.splitlines()) == 1


def test_help_has_an_example(capsys):
    assert main(["--help"]) == 0
    assert "python -m fgvp_eval.doctor --data-root /data" in capsys.readouterr().out


def test_a_check_that_breaks_hides_no_other():
    def broken() -> list[Line]:
        raise KeyError("name")

    def missing() -> list[Line]:
        raise ImportError("No module named 'x'")

    def unreadable() -> list[Line]:
        raise PermissionError(13, "Permission denied", "/data")

    checks = {"a": broken, "b": missing, "c": lambda: [Line("fine", "1")], "d": unreadable}
    found = run_checks(checks)
    assert found["a"] == [Line("this check", "broke", "failed", "unexpected KeyError: 'name'")]
    assert found["b"][0].state == "failed"
    assert found["c"] == [Line("fine", "1")]
    assert found["d"][0].reason == "[Errno 13] Permission denied: '/data'"


def test_block_and_record_hold_the_same():
    sections = {"versions": [Line("torch", "2.14"), Line("x", "", "not checked", "no GPU")]}
    assert as_block(sections).splitlines() == [
        *("```text", "versions", "  torch  2.14  ok", "  x            not checked: no GPU"),
        *("ok 1, warning 0, failed 0, not checked 1", "```"),
    ]
    record = as_record(sections)["sections"]["versions"]
    assert record[1] == {"what": "x", "value": "", "state": "not checked", "reason": "no GPU"}


def test_paths_are_private(monkeypatch):
    monkeypatch.setenv("HOME", "/home/bob")
    monkeypatch.setattr("getpass.getuser", lambda: "bob")
    text = "/home/bob/a, /home/bob, /home/bobby/b, /scratch/bob: full, /tmp/bob.txt, bob"
    expected = "~/a, ~, /home/bobby/b, /scratch/USER: full, /tmp/bob.txt, bob"
    assert private(text) == expected
    monkeypatch.setenv("HOME", "/")
    assert private("/data/x") == "/data/x"
    assert Path.home() == Path("/")


@pytest.mark.parametrize(
    ("count", "text"), [(999, "999 B"), (4_194_304, "4.2 MB"), (2.56e9, "2.6 GB"), (7e12, "7.0 TB")]
)
def test_sizes_are_readable(count, text):
    assert size_text(count) == text
