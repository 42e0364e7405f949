"""``report.html``: filled templates, written whole or not at all."""

from __future__ import annotations

import base64
import functools
import hashlib
import logging
import os
import time
from collections.abc import Mapping
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fgvp_eval.errors import DataError
from fgvp_eval.options.config import DEFAULT_REPORT_MISSES
from fgvp_eval.report.parts_page import parts_content
from fgvp_eval.report.run_facts import run_facts, sections_of
from fgvp_eval.report.sentences_page import sentences_content
from fgvp_eval.results.stored_runs import read_results

_LOG = logging.getLogger(__name__)

FILE_NAME = "report.html"


def report_of_run(folder: Path, per_row: int = DEFAULT_REPORT_MISSES) -> float:
    """Write the report of a run that has just ended; returns the seconds that this took.

    Never raises an ``Exception``: the results are on the disk, and a report that fails is a
    warning.
    """
    start = time.perf_counter()
    try:
        path = write_report(folder, per_row=per_row)
        _LOG.info("report: %s (%.1f MB)", path, path.stat().st_size / 1e6)
    except Exception as error:  # whatever it is, the run is done
        _LOG.warning("no %s: %s: %s", FILE_NAME, type(error).__name__, " ".join(str(error).split()))
    return time.perf_counter() - start


def write_report(
    folder: Path,
    *,
    per_row: int = DEFAULT_REPORT_MISSES,
    data_root: Path | None = None,
    out: Path | None = None,
) -> Path:
    """Write the report of a run folder and return its path.

    Args:
        folder: A run folder.
        per_row: How many misses of each row are shown at most.
        data_root: Where the images are; None for where the run had them.
        out: The file; None for ``report.html`` in the run folder.

    Raises:
        DataError: The run folder lacks a file, or one is broken.
        OSError: The report cannot be written.
    """
    results = read_results(folder)
    if results.get("task") == "parts":
        name, content = "parts.html.j2", parts_content(results)
    else:
        name = "sentences.html.j2"
        content = sentences_content(folder, per_row=per_row, data_root=data_root)
    try:
        facts = run_facts(results)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{folder / 'results.json'} is not of the form that python -m fgvp_eval writes: "
            f"{type(error).__name__}: {error}"
        ) from None
    sections = [*content["first_sections"], *sections_of(facts), *content["last_sections"]]
    page = _render(name, facts | content | {"sections": sections})
    path = out or folder / FILE_NAME
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_bytes(page.encode("utf-8", "replace"))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _render(name: str, content: Mapping[str, Any]) -> str:
    script = _text("filters.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return (
        _environment()
        .get_template(name)
        .render(
            content,
            # The page's own code, and not text of a data set.
            style=Markup(_text("style.css")),
            script=Markup(script),
            script_sha256=digest,
            version=metadata.version("fgvp-kernels"),
        )
    )


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("fgvp_eval.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": _percent,
        "interval": _interval,
        "short": _short,
        "breakable": _breakable,
    }
    return environment


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def _interval(low_high: tuple[float, float] | None) -> str:
    return "–" if low_high is None else f"{100 * low_high[0]:.1f} – {100 * low_high[1]:.1f}"


def _short(score: float) -> str:
    if 0 < abs(score) < 0.001:
        return "< 0.001" if score > 0 else "> −0.001"
    return f"{score:#.3g}".rstrip(".").replace("-", "−")


def _breakable(name: str) -> Markup:
    """Return the label of a row, which may be broken after each ``+``."""
    return Markup("+<wbr>").join(name.split("+"))
