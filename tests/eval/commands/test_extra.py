"""Without the packages of the extra ``eval`` every command says in one line what to install."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# As on a machine where they were never installed.
SITE = """
import sys
from importlib.machinery import PathFinder

class Core(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        missing = name in ("open_clip", "pycocotools", "platformdirs", "scipy", "tabulate")
        return None if missing else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Core
"""


@pytest.fixture
def python(tmp_path: Path) -> Path:
    (tmp_path / "sitecustomize.py").write_text(SITE)
    return tmp_path


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": paths},
    )  # fmt: skip


@pytest.mark.parametrize(
    "name", ["", ".compare", ".data", ".doctor", ".gallery", ".ground", ".report", ".rescore"]
)
def test_commands_say_what_to_install(python: Path, name: str) -> None:
    done = run(python, "-m", f"fgvp_eval{name}", "--split", "demo")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("fgvp_eval: error: not installed: open_clip, platformdirs, pycocotools")
    assert line.endswith('pip install "fgvp-kernels[eval]"')


def test_help_of_the_evaluation_needs_none_of_them(python: Path) -> None:
    done = run(python, "-m", "fgvp_eval", "--help")
    assert done.returncode == 0, done.stderr
    assert "--split" in done.stdout


def test_the_renderer_needs_none_of_them(python: Path) -> None:
    code = (
        "import torch, fgvp_kernels as fk\n"
        "image, masks = torch.zeros(3, 9, 9, dtype=torch.uint8), torch.ones(1, 9, 9).bool()\n"
        "print(fk.render_batch(image, masks, list(fk.Mode), size=8).shape[0] == len(fk.Mode))"
    )
    done = run(python, "-c", code)
    assert done.stdout == "True\n", done.stderr
