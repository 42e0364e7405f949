"""What the pages of docs/ show is run: Python, commands on the demo, the notebook, links."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from fgvp_eval.options.command_line import parse_config
from fgvp_kernels import Mode

ROOT = Path(__file__).parents[1]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"]
README = ROOT / "README.md"  # its examples are run by test_readme.py and by CI


def blocks(page: Path, *languages: str) -> list[str]:
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.M)
    return [text for language, text in fences if language in languages]


def commands(page: Path) -> list[list[str]]:
    """The commands of this package on a page: module and arguments."""
    lines = "\n".join(blocks(page, "", "sh")).replace("\\\n", " ")
    return [shlex.split(line, comments=True) for line in re.findall(r"-m (fgvp_eval.*)", lines)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks(page, "python"):
        exec(compile(block, page.name, "exec"), names)


@pytest.mark.parametrize("page", [*PAGES, README], ids=lambda page: page.name)
def test_commands_of_the_evaluation_parse(page):
    for module, *arguments in commands(page):
        if module == "fgvp_eval" and "..." not in arguments:
            assert parse_config(arguments).splits


def test_commands_on_the_demo_run(tmp_path):
    lines = [line for page in PAGES for block in blocks(page, "sh") for line in block.splitlines()]
    assert lines
    for line in lines:
        program, *arguments = shlex.split(line, comments=True)
        assert program == "python", line
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"


def test_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    notebook = nbformat.read(ROOT / "docs" / "demo.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "commit it without outputs"
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    assert "blur_reverse_mask" in str(notebook.cells[-1].outputs)


@pytest.mark.parametrize("page", [*PAGES, README], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_every_mode_is_on_its_page():
    lines = (ROOT / "docs" / "modes.md").read_text("utf-8").splitlines()
    rows = [[cell.strip(" `") for cell in line.split("|")[1:4]] for line in lines if "|" in line]
    for mode in Mode:
        assert [mode.value, mode.spec.code or "", mode.spec.official or ""] in rows
