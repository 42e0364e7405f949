"""The result table, and what the summaries of all runs end with, in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from tabulate import tabulate

from fgvp_eval.data.records import Prediction, RunReport
from fgvp_eval.results.metrics import RECALL_RANKS, Cause, Metrics, measure


@dataclass(frozen=True)
class TableRow:
    """One row of the result table.

    Attributes:
        split: Name of the split.
        proposals: Kind of candidates.
        label: The modes.
        metrics: What was measured.
        post: The post-processing.
        preset: Name of the preset and, in brackets, what departs from it; None without one.
        published: The number printed for that row of the published table, in percent; None where
            nothing compares.
        as_released: Drawn and computed as the released code does.
        demo_models: Which models are the demo's although the split is not.
    """

    split: str
    proposals: str
    label: str
    metrics: Metrics
    post: str = "none"
    preset: str | None = None
    published: float | None = None
    as_released: bool = False
    demo_models: tuple[str, ...] = ()


def table_rows(
    rows: Mapping[tuple[str, str], Sequence[Prediction]],
    settings_of: Callable[[str], Mapping[str, Any]],
) -> list[TableRow]:
    """Return the rows of a run.

    Args:
        rows: Predictions by split and label of the row.
        settings_of: Returns the resolved options of a split, as ``results.json`` holds them; a run
            that another program wrote may lack some.
    """
    table = []
    for (split, label), predictions in rows.items():
        settings = settings_of(split)
        changed = settings.get("changed", [])
        table.append(
            TableRow(
                split=split,
                proposals=str(settings.get("proposals", "-")).partition(":")[0],
                label=label,
                metrics=measure(predictions),
                post=settings.get("post", "none"),
                preset=preset_label(settings.get("preset"), changed),
                demo_models=tuple(settings.get("demo_models", [])),
                published=settings.get("published_percent"),
                # Rescoring changes relations and no picture: then it is neither way as released.
                as_released=settings.get("as_released", False) and "as-released" not in changed,
            )
        )
    return table


def preset_label(preset: str | None, changed: Sequence[str]) -> str | None:
    """Return a preset's name with what departs from it; None without a preset."""
    if preset is None or not changed:
        return preset
    return f"{preset} (changed: {', '.join(changed)})"


def format_table(rows: Sequence[TableRow]) -> str:
    """Return rows as a Markdown table.

    Columns that say nothing are left out. Accuracies on different kinds of candidates, which do not
    compare, stand in columns of their own.
    """
    kinds = list(dict.fromkeys(row.proposals for row in rows))
    accuracies = {
        "accuracy %" if len(kinds) == 1 else f"accuracy % ({kind})": [
            percent(row.metrics.accuracy) if row.proposals == kind else "" for row in rows
        ]
        for kind in kinds
    }
    columns: dict[str, list[str]] = {
        "split": [row.split for row in rows],
        "proposals": [row.proposals for row in rows],
        "modes": [row.label for row in rows],
    }
    if any(row.post != "none" for row in rows):
        columns["post"] = [row.post for row in rows]
    if any(row.preset is not None for row in rows):
        columns["preset"] = [row.preset or "" for row in rows]
    if any(row.as_released for row in rows):
        columns["as released"] = ["yes" if row.as_released else "no" for row in rows]
    left = len(columns)
    columns |= accuracies
    if any(row.published is not None for row in rows):
        columns["published %"] = [
            "-" if row.published is None else f"{row.published:.1f}" for row in rows
        ]
    columns["95 % interval"] = [_interval(row.metrics.interval_95) for row in rows]
    columns["n"] = [str(row.metrics.n) for row in rows]
    columns["chance %"] = [percent(row.metrics.chance) for row in rows]
    alignment = ["left"] * left + ["right"] * (len(columns) - left)
    if any(row.demo_models for row in rows):
        columns["models"] = [demo_models_cell(row.demo_models) for row in rows]
        alignment.append("left")
    return tabulate(columns, "keys", tablefmt="github", disable_numparse=True, colalign=alignment)


def demo_models_cell(names: Sequence[str]) -> str:
    """Return what marks a row by models of the demo."""
    return f"demo {' and '.join(names)}" if names else ""


def miss_table(rows: Sequence[TableRow]) -> str:
    """Return what bounds the accuracy of each row and why sentences were missed, in Markdown."""
    columns: dict[str, list[str]] = {
        "split": [row.split for row in rows],
        "modes": [row.label for row in rows],
        "ceiling %": [percent(row.metrics.ceiling) for row in rows],
        "95 % interval, images drawn": [
            _interval(row.metrics.interval_95_clustered) for row in rows
        ],
    }
    for k in RECALL_RANKS:
        columns[f"recall@{k} %"] = [percent(row.metrics.recall_at.get(k)) for row in rows]
    for cause in get_args(Cause):
        columns[cause.replace("_", " ")] = [str(row.metrics.misses.get(cause, 0)) for row in rows]
    alignment = ["left"] * 2 + ["right"] * (len(columns) - 2)
    return tabulate(columns, "keys", tablefmt="github", disable_numparse=True, colalign=alignment)


def closing_paragraphs(report: RunReport[Any]) -> list[str]:
    """Return what the summary of either kind of run ends with: drawing, models, seconds."""
    blur = report.blur
    seconds = tabulate(
        [(stage, f"{spent:.1f}") for stage, spent in report.seconds.items()],
        ("stage", "seconds"),
        tablefmt="github",
    )
    return [
        f"Blur: {blur['kind']}, sigma {blur['sigma']:g} pixels ({blur['frame']}). "
        f"Device: {report.device}, CLIP in {report.precision}.",
        "## Models",
        "\n".join(_model_line(model) for model in report.models),
        "## Where the time went",
        seconds,
    ]


def _model_line(model: Mapping[str, Any]) -> str:
    told = f"sha256 `{model['sha256']}`" if "sha256" in model else f"version {model['version']}"
    return f"- {model['kind']} `{model['name']}`, {told}"


def _interval(low_high: tuple[float, float] | None) -> str:
    return "-" if low_high is None else f"{100 * low_high[0]:.1f} - {100 * low_high[1]:.1f}"


def percent(share: float | None) -> str:
    """Return a share as percent, ``-`` for None."""
    return "-" if share is None else f"{100 * share:.1f}"
