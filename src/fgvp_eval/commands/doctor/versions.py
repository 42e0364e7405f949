"""Versions of this package and of what it stands on, held against what it needs.

Nothing is imported to tell its version, so that a package that is broken still has one.
"""

from __future__ import annotations

import platform
from importlib import metadata

from packaging.requirements import Requirement

from fgvp_eval.commands.doctor.report import Line, one_line
from fgvp_eval.errors import UsageError
from fgvp_eval.machine.checkout import commit, output_of
from fgvp_eval.scoring.entity_trees import load_parser, parser_identity

_PACKAGE = "fgvp-kernels"
_SHOWN = (
    *("torch", "torchvision", "triton", "open_clip_torch", "segment-anything"),
    *("numpy", "pillow"),
)


def version_lines() -> list[Line]:
    """Return this package, Python, the system, and every package that matters."""
    needed = _requirements()
    return [
        _own(),
        Line("Python", f"{platform.python_version()} {platform.machine()}"),
        Line("system", _system()),
        *(_package(name, needed.get(name)) for name in _SHOWN),
        _cuda(),
        _parser(),
    ]


def _requirements() -> dict[str, Requirement]:
    """Return what the package and its commands ask for here; empty if it is not installed."""
    try:
        texts = metadata.requires(_PACKAGE) or []
    except metadata.PackageNotFoundError:
        return {}
    found = [Requirement(text) for text in texts]
    return {
        item.name: item
        for item in found
        if item.marker is None or item.marker.evaluate({"extra": "eval"})
    }


def _package(name: str, needed: Requirement | None) -> Line:
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        if needed is None:
            return Line(name, "not installed", "ok", "not needed on this system")
        return Line(name, "not installed", "failed", f"needed: pip install '{needed}'")
    if needed is None:
        return Line(name, version, "not checked", f"{_PACKAGE} does not say what it needs of it")
    if not needed.specifier.contains(version, prereleases=True):
        return Line(name, version, "failed", f"needed: {needed.specifier}")
    return Line(name, version)


def _own() -> Line:
    at = commit()
    suffix = f", commit {at}" if at else ""
    try:
        version = metadata.version(_PACKAGE)
    except metadata.PackageNotFoundError:
        reason = "what it needs is not known: pip install -e '.[eval]'"
        return Line(_PACKAGE, f"not installed{suffix}", "warning", reason)
    return Line(_PACKAGE, f"{version}{suffix}")


def _system() -> str:
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):  # no Linux, or one without that file
        return platform.platform()
    return f"{name}, kernel {platform.release()}"


def _cuda() -> Line:
    """Return what torch is built for, and the driver of the machine."""
    try:
        import torch
    except (ImportError, OSError) as error:  # one of its libraries is missing
        return Line("CUDA", "torch does not load", "failed", one_line(error))
    if torch.version.hip:
        return Line("ROCm", f"{torch.version.hip} (torch)")
    driver = driver_version() or ("not known" if torch.cuda.is_available() else "none")
    return Line("CUDA", f"{torch.version.cuda or 'none'} (torch), driver {driver}")


def driver_version() -> str:
    """Return the version of the NVIDIA driver; empty if there is none."""
    text = output_of("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    return text.splitlines()[0].strip() if text else ""


def _parser() -> Line:
    try:
        load_parser()
    except UsageError as error:
        return Line("spaCy", "not to be used", "warning", f"--post R and RS: {error}")
    except (OSError, ValueError, ImportError) as error:  # of a model for another release of spaCy
        return Line("spaCy", "does not load", "warning", f"--post R and RS: {error}")
    found = parser_identity()
    return Line("spaCy", f"{found['spacy']}, model {found['name']} {found['version']}")
