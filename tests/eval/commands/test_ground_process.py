"""``python -m fgvp_eval.ground`` as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = (sys.executable, "-m", "fgvp_eval.ground")


def test_demo_picture_out_of_the_box(tmp_path: Path) -> None:
    ended = subprocess.run(
        [*COMMAND, "demo"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("ground-demo-")
    assert {path.name for path in folder.iterdir()} == {
        *("ground.json", "annotated.png", "prompts.png")
    }
    record = json.loads((folder / "ground.json").read_text())
    table = ended.stdout.splitlines()
    assert len(table) == 2 + len(record["texts"]) >= 3
    for line, text in zip(table[2:], record["texts"], strict=True):
        assert line.startswith(text)
    assert ended.stderr.splitlines()[-1].endswith(f"to runs/{folder.name}")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a named pipe")
def test_interrupt_is_exit_130(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    child = subprocess.Popen(
        [*COMMAND, "pipe.png", "--text", "x"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    with (tmp_path / "pipe.png").open("wb"):  # returns when the other side reads
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert err.splitlines() == ["fgvp_eval: interrupted"]
