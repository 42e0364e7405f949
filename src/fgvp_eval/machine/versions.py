"""Versions that results may depend on."""

from __future__ import annotations

import platform
from importlib import metadata

from fgvp_eval.machine.checkout import commit
from fgvp_kernels import algorithm_version

_PACKAGES = (
    "fgvp-kernels",
    "torch",
    "triton",
    "open_clip_torch",
    "segment-anything",
    "numpy",
    "scipy",
    "pillow",
    "pycocotools",
    "spacy",
)


def package_version(package: str) -> str | None:
    """Return the version of an installed package; None if it is not there."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def versions_of_run() -> dict[str, str | None]:
    """Return all versions that a run is recorded with; ``renderer`` names the code that draws."""
    return {
        "python": platform.python_version(),
        **{package: package_version(package) for package in _PACKAGES},
        "commit": commit(),
        "renderer": algorithm_version(),
    }
