"""Evaluation of visual prompts on referring-expression and part-detection data.

The names of the API are found when they are first used: importing the package needs no torch.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fgvp_eval.runs.api import evaluate
    from fgvp_eval.scoring.region_encoder import RegionEncoder
    from fgvp_eval.tasks.grounder import Grounder

# Python prints warnings of a logger without handlers.
logging.getLogger("fgvp_eval").addHandler(logging.NullHandler())

__all__ = ["Grounder", "RegionEncoder", "evaluate"]

_MODULES = {
    "Grounder": "fgvp_eval.tasks.grounder",
    "RegionEncoder": "fgvp_eval.scoring.region_encoder",
    "evaluate": "fgvp_eval.runs.api",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
