"""The environment variables that matter here, and no others."""

from __future__ import annotations

import os

from fgvp_eval.commands.doctor.report import Line

_VARIABLES = (
    *("HF_HOME", "HF_HUB_OFFLINE", "TORCH_HOME", "TRITON_CACHE_DIR", "TRITON_INTERPRET"),
    *("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"),
)
_OWN_VARIABLES = "FGVP_"


def variable_lines() -> list[Line]:
    """Return the variables of a closed list that are set."""
    own = sorted(name for name in os.environ if name.startswith(_OWN_VARIABLES))
    names = [*own, *(name for name in _VARIABLES if name in os.environ)]
    return [Line(name, os.environ[name]) for name in names] or [Line("variables", "none is set")]
