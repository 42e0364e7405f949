"""The commit of a checkout, and of nothing else."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest

from fgvp_eval.machine import checkout


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with the package in ``src``; gives a function that moves the package there."""
    package = tmp_path / "src" / "fgvp_kernels"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    for words in (("init", "-q"), ("add", "."), (*identity, "commit", "-q", "-m", "x")):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)

    def place(origin: str) -> None:
        spec = SimpleNamespace(origin=str(tmp_path / origin))
        monkeypatch.setattr(checkout.importlib.util, "find_spec", lambda name: spec)

    return place


def test_the_commit_of_a_checkout(repository, tmp_path):
    repository("src/fgvp_kernels/__init__.py")
    head = subprocess.run(
        ["git", "-C", str(tmp_path), "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert checkout.commit() == head.stdout[:12]
    (tmp_path / "src" / "fgvp_kernels" / "__init__.py").write_text("x = 1\n")
    assert checkout.commit() == f"{head.stdout[:12]}-dirty"


@pytest.mark.parametrize("missing", [False, True])
def test_no_commit(repository, tmp_path, monkeypatch, missing):
    # An environment inside of a repository, and a machine without git.
    repository("venv/site-packages/fgvp_kernels/__init__.py")
    (tmp_path / "venv" / "site-packages" / "fgvp_kernels").mkdir(parents=True)
    if missing:
        repository("src/fgvp_kernels/__init__.py")
        monkeypatch.setenv("PATH", str(tmp_path))
    assert checkout.commit() is None
