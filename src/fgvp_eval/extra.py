"""What commands say where the packages of the extra ``eval`` are not installed.

The renderer needs torch, numpy and Pillow alone, so these may be missing from a sound installation.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

_PACKAGES = (
    *("jinja2", "open_clip", "packaging", "platformdirs", "pycocotools", "safetensors", "scipy"),
    *("segment_anything", "tabulate", "torchvision", "tqdm", "typing_extensions"),
)


def exit_without_extra() -> None:
    """End the program with one line if a package is missing; to be called before it is imported."""
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"fgvp_eval: error: not installed: {', '.join(missing)}; the commands need "
            'pip install "fgvp-kernels[eval]"\n'
        )
        sys.exit(2)
