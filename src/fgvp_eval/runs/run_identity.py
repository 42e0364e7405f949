"""What makes two runs the same run: every option, file, model and version that decides results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fgvp_eval.options.config import EvalConfig, SplitSettings
from fgvp_eval.machine.versions import package_version
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
    settings: Mapping[str, SplitSettings | Mapping[str, Any]],
    files_sha256: Mapping[str, Mapping[str, str]],
    models: Sequence[Mapping[str, Any]],
    *,
    device: str,
    precision: str,
    packing: Mapping[str, int] | None = None,
    grids: Mapping[str, object] | None = None,
) -> dict[str, Any]:
    """Return what a journal must agree with for a run to go on where it ended.

    Args:
        config: The options as given.
        settings: What they mean for each split, by its name.
        files_sha256: SHA-256 of annotations and detections, by split and path.
        models: What identifies each model.
        device: Kind of device.
        precision: Of the CLIP towers.
        packing: How images are grouped for full batches.
        grids: Settings of the mask generator, for each split that uses it.
    """
    options = {
        name: value for name, value in vars(config).items() if name not in _LEFT_OUT | _CACHES
    }
    chosen = {split: _without_caches(setting) for split, setting in settings.items()}
    return {
        "splits": list(settings),
        "settings": plain(chosen),
        # Options that every split resolves for itself stand in its settings.
        "options": plain(
            {
                name: value
                for name, value in options.items()
                if not any(name in setting for setting in chosen.values())
            }
        ),
        "device": device,
        "precision": precision,
        "packing": plain(packing or {}),
        "files": plain(files_sha256),
        "models": plain(models),
        "sam_grid": plain(grids or {}),
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
