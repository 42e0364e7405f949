"""What makes two runs the same run: every option, file, model and version that decides results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from fgvp_eval.machine.versions import package_version
from fgvp_eval.options.config import EvalConfig, SplitSettings
from fgvp_eval.runs.run_models import RunModels
from fgvp_eval.tasks.task import Plan
from fgvp_kernels import algorithm_version

# Options of caches, which change nothing that comes out.
_CACHES = {"cache", "feature_cache"}
# Further options that do not decide what comes out, or that stand in the identity as resolved.
_LEFT_OUT = {
    *("splits", "data_root", "device", "precision", "out", "resume", "strict_data"),
    *("part_input", "report", "report_misses"),
}
_PACKAGES = ("fgvp-kernels", "torch", "open_clip_torch", "segment-anything")


def run_identity(
    config: EvalConfig,
    plans: Sequence[Plan],
    models: RunModels,
    *,
    device: torch.device,
    at_once: int,
) -> dict[str, Any]:
    """Return what a journal must agree with for a run to go on where it ended.

    Args:
        config: The options as given.
        plans: The splits, with what the options mean for each.
        models: The models.
        device: Of which the kind counts.
        at_once: Pictures of a batch.
    """
    given = vars(config) | {"proposals": None}  # which every split resolves for itself
    options = {name: value for name, value in given.items() if name not in _LEFT_OUT | _CACHES}
    deciding = {plan.name: plan.deciding(at_once) for plan in plans}
    chosen = {split: _without_caches(one.settings) for split, one in deciding.items()}
    packing = {name: size for one in deciding.values() for name, size in one.packing.items()}
    return {
        "splits": list(chosen),
        "settings": plain(chosen),
        # Options that every split resolves for itself stand in its settings.
        "options": plain(
            {
                name: value
                for name, value in options.items()
                if not any(name in setting for setting in chosen.values())
            }
        ),
        "device": device.type,
        "precision": models.precision,
        "packing": plain(packing),
        "files": plain({plan.name: plan.files_sha256 for plan in plans}),
        "models": plain(models.facts),
        "sam_grid": plain({split: one.grid for split, one in deciding.items() if one.grid}),
        "versions": {
            **{package: package_version(package) for package in _PACKAGES},
            "renderer": algorithm_version(),
        },
    }


def differences(before: Any, now: Any, where: str = "") -> list[str]:
    """Return one phrase for each value in which two identities differ."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        found: list[str] = []
        for key in dict.fromkeys([*before, *now]):
            found += differences(before.get(key), now.get(key), f"{where}.{key}" if where else key)
        return found
    return [] if before == now else [f"{where} was {before!r:.80}, is {now!r:.80}"]


def plain(value: Any) -> Any:
    """Return ``value`` as JSON can hold it: paths as text, tuples as lists, records as dicts."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "__dataclass_fields__"):
        return plain(vars(value))
    return value


def _without_caches(settings: SplitSettings | Mapping[str, Any]) -> dict[str, Any]:
    named = asdict(settings) if isinstance(settings, SplitSettings) else settings
    return {name: value for name, value in named.items() if name not in _CACHES}
