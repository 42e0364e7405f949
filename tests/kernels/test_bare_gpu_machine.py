"""A GPU machine needs torch, triton, numpy, Pillow, scipy, pytest and hypothesis, no more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from triton_cases import coco_string, run_lengths

ROOT = Path(__file__).parents[2]
# What the project's own files install besides cannot be imported, nor has this package a version.
SITE = """
import sys
from importlib import metadata
from importlib.machinery import PathFinder

MISSING = {"cv2", "kornia", "matplotlib", "open_clip", "platformdirs", "pycocotools",
           "safetensors", "segment_anything", "spacy", "tabulate", "torchvision", "tqdm"}

class Bare(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name in MISSING else super().find_spec(name, path, target)

def version(name, known=metadata.version):
    if name == "fgvp-kernels" or name in MISSING:
        raise metadata.PackageNotFoundError(name)
    return known(name)

sys.meta_path[sys.meta_path.index(PathFinder)] = Bare
metadata.version = version
"""


@pytest.fixture
def bare(tmp_path):
    """Runs Python on such a machine."""
    (tmp_path / "sitecustomize.py").write_text(SITE)
    paths = os.pathsep.join([str(tmp_path), str(ROOT / "src")])

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            capture_output=True, text=True, check=False, cwd=ROOT,
            env=os.environ | {"PYTHONPATH": paths},
        )  # fmt: skip

    return run


def test_the_kernels_tests_are_collected(bare):
    done = bare("-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider", "tests/kernels")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tests/kernels/test_triton.py::test_all_mask_forms_give_equal_pictures" in done.stdout


def test_the_benchmark_runs_and_says_who_is_missing(bare, tmp_path):
    path = tmp_path / "render.json"
    done = bare("benchmarks/bench_render.py", "--smoke", "--json", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {row["name"]: row for row in json.loads(path.read_text())["workloads"]["2 x 9"]}
    assert [name for name, row in rows.items() if "missing" in row] == ["kornia", "torchvision"]
    assert "not installed: kornia" in done.stdout


@pytest.mark.parametrize("shape", [(1, 1), (7, 9), (40, 300)])
def test_run_lengths_are_written_as_coco_writes_them(shape):
    coco_mask = pytest.importorskip("pycocotools.mask")
    for share in (0.0, 0.02, 0.5, 1.0):
        mask = torch.rand(shape) < share
        expected = coco_mask.encode(mask.numpy().astype("uint8", order="F"))["counts"]
        assert coco_string(run_lengths(mask)) == expected
