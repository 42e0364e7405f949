"""All checks in the order of the report.

Each imports what it needs by itself: a package that is broken fails the checks that need it, and
no others.
"""

from __future__ import annotations

from pathlib import Path

from fgvp_eval.commands.doctor.report import Line, run_checks
from fgvp_eval.options.config import DEFAULT_CLIP


def examine(sam: str, clip: str | None, data_root: Path, device: str) -> dict[str, list[Line]]:
    """Check everything.

    Args:
        sam: ``demo`` or ``KIND[:CHECKPOINT]``.
        clip: As of ``--clip``; None checks the names of the default ensemble, and the
            preprocessing of the demo CLIP, which needs no download.
        data_root: The data root, which need not exist.
        device: ``auto`` or a name that torch knows.
    """

    def versions() -> list[Line]:
        from fgvp_eval.commands.doctor.versions import version_lines

        return version_lines()

    def devices() -> list[Line]:
        from fgvp_eval.commands.doctor.machine import device_lines

        return device_lines(device)

    def environment() -> list[Line]:
        from fgvp_eval.commands.doctor.environment import variable_lines

        return variable_lines()

    def backends() -> list[Line]:
        from fgvp_eval.commands.doctor.backends import backend_lines
        from fgvp_eval.commands.doctor.machine import chosen_device

        return backend_lines(chosen_device(device))

    def clip_names() -> list[Line]:
        from fgvp_eval.commands.doctor.clip_checks import name_lines

        return name_lines(clip or DEFAULT_CLIP)

    def clip_models() -> list[Line]:
        from fgvp_eval.commands.doctor.clip_checks import model_lines
        from fgvp_eval.commands.doctor.machine import chosen_device

        return model_lines(clip or "demo", chosen_device(device))

    def weights() -> list[Line]:
        from fgvp_eval.commands.doctor.storage import weights_lines

        return weights_lines(sam, data_root)

    def data() -> list[Line]:
        from fgvp_eval.commands.doctor.storage import data_lines

        return data_lines(data_root)

    def caches() -> list[Line]:
        from fgvp_eval.commands.doctor.storage import cache_lines

        return cache_lines()

    def room() -> list[Line]:
        from fgvp_eval.commands.doctor.storage import room_lines

        return room_lines(data_root)

    return run_checks(
        {
            "versions": versions,
            "devices": devices,
            "environment": environment,
            "backends": backends,
            "CLIP names": clip_names,
            "CLIP": clip_models,
            "weights": weights,
            "data": data,
            "caches": caches,
            "free disk": room,
        }
    )
