"""The result table and the summary page, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from tabulate import tabulate

from fgvp_eval.data.records import RunReport, SplitResult
from fgvp_eval.options.demo_models import demo_models_warning, misplaced_demo_models
from fgvp_eval.options.presets import PRESETS
from fgvp_eval.results.metrics import RECALL_RANKS, Cause, Metrics, measure
from fgvp_eval.results.stored_runs import StoredRun

_PROTOCOLS = {
    "gt": "candidates are **all annotated boxes** of the image (`--proposals gt`), an easier "
    "protocol than detected boxes",
    "detections": "candidates are a detector's boxes (`--proposals detections`)",
    "sam-grid": "candidates are the masks that SAM finds from a grid of points "
    "(`--proposals sam-grid`)",
}
_MASK_SOURCES = {
    "sam": "SAM, prompted with each candidate's box",
    "sam-grid": "SAM, prompted with a grid of points",
    "gt": "the annotations",
    "unused": "not needed by these modes",
}


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


def table_rows(report: RunReport) -> list[TableRow]:
    """Return the rows of a run, one for each split and each ensemble of modes."""
    rows = []
    for result in report.splits:
        settings = result.settings
        changed = departures(result)
        preset = preset_label(settings.preset, changed)
        for label, predictions in result.rows.items():
            rows.append(
                TableRow(
                    split=result.dataset.split.name,
                    proposals=settings.proposals.kind,
                    label=label,
                    metrics=measure(predictions),
                    post=settings.post,
                    preset=preset,
                    demo_models=demo_models(result),
                    published=published_percent(result),
                    as_released=settings.as_released,
                )
            )
    return rows


def stored_rows(run: StoredRun) -> list[TableRow]:
    """Return the rows of a run that was read from its folder."""
    rows = []
    for (split, label), predictions in run.rows.items():
        settings = run.settings(split)
        changed = settings.get("changed", [])
        rows.append(
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
    return rows


def departures(result: SplitResult) -> tuple[str, ...]:
    """Return what departs from a preset: options, and data of other counts than the published."""
    split = result.dataset.split
    same_data = split.published is None or split.published == result.dataset.counts
    follows = result.settings.preset is None or same_data
    return result.settings.changed if follows else (*result.settings.changed, "data")


def demo_models(result: SplitResult) -> tuple[str, ...]:
    """Return which models are the demo's although the split is not."""
    needs_sam = result.masks in ("sam", "sam-grid")
    return tuple(misplaced_demo_models(result.dataset.split, result.settings, needs_sam))


def preset_label(preset: str | None, changed: Sequence[str]) -> str | None:
    """Return a preset's name with what departs from it; None without a preset."""
    if preset is None or not changed:
        return preset
    return f"{preset} (changed: {', '.join(changed)})"


def published_percent(result: SplitResult) -> float | None:
    """Return the published number, which is of detected boxes and compares with nothing else."""
    settings = result.settings
    if settings.preset is None or settings.proposals.kind != "detections":
        return None
    return PRESETS[settings.preset].published.get(result.dataset.split.name)


def result_table(report: RunReport) -> str:
    """Return the table of a run, a row for each split and each ensemble of modes."""
    return format_table(table_rows(report))


def format_table(rows: Sequence[TableRow]) -> str:
    """Return rows as a Markdown table.

    Columns that say nothing are left out. Accuracies on different kinds of candidates, which do not
    compare, stand in columns of their own.
    """
    kinds = list(dict.fromkeys(row.proposals for row in rows))
    accuracies = {
        "accuracy %" if len(kinds) == 1 else f"accuracy % ({kind})": [
            _percent(row.metrics.accuracy) if row.proposals == kind else "" for row in rows
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
    columns["chance %"] = [_percent(row.metrics.chance) for row in rows]
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
        "ceiling %": [_percent(row.metrics.ceiling) for row in rows],
        "95 % interval, images drawn": [
            _interval(row.metrics.interval_95_clustered) for row in rows
        ],
    }
    for k in RECALL_RANKS:
        columns[f"recall@{k} %"] = [_percent(row.metrics.recall_at.get(k)) for row in rows]
    for cause in get_args(Cause):
        columns[cause.replace("_", " ")] = [str(row.metrics.misses.get(cause, 0)) for row in rows]
    alignment = ["left"] * 2 + ["right"] * (len(columns) - 2)
    return tabulate(columns, "keys", tablefmt="github", disable_numparse=True, colalign=alignment)


def summary_page(report: RunReport, command: str) -> str:
    """Return the page that tells a reader what was run and what came out.

    Args:
        report: The results.
        command: The command line that was run.
    """
    rows = table_rows(report)
    paragraphs = ["# Evaluation of visual prompts", f"`{command}`", format_table(rows)]
    if not report.complete:
        count = sum(len(result.unscored) for result in report.splits)
        paragraphs.append(f"**Incomplete:** {count} sentences could not be scored (see below).")
    paragraphs.append(
        "Accuracy is the share of sentences whose chosen box overlaps the annotated one with IoU "
        "strictly above 0.5; the interval is Wilson's; chance is a choice at random among the "
        "candidates."
    )
    notes = {PRESETS[name].note for name in _presets(report)}
    paragraphs += [f"Preset: {note}." for note in sorted(notes)]
    paragraphs += [
        "## What was missed",
        miss_table(rows),
        "Ceiling: at least one candidate is right. Recall@k: one of the k of highest score is. A "
        "miss has one cause: no candidate was right; post-processing flipped a right choice; or a "
        "wrong candidate had the highest score before it.",
    ]
    paragraphs += [_split_paragraph(result) for result in report.splits]
    return "\n\n".join([*paragraphs, *closing_paragraphs(report)]) + "\n"


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


def _presets(report: RunReport) -> list[str]:
    return [result.settings.preset for result in report.splits if result.settings.preset]


def _model_line(model: Mapping[str, Any]) -> str:
    told = f"sha256 `{model['sha256']}`" if "sha256" in model else f"version {model['version']}"
    return f"- {model['kind']} `{model['name']}`, {told}"


def _split_paragraph(result: SplitResult) -> str:
    split, counts = result.dataset.split, result.dataset.counts
    predictions = next(iter(result.rows.values()))
    lines = [
        f"## {split.name}",
        "",
        f"- {_PROTOCOLS[result.settings.proposals.kind]}; at least one right candidate exists for "
        f"{_percent(measure(predictions).ceiling)} % of sentences",
        f"- masks: {_MASK_SOURCES[result.masks]}",
        f"- on disk: {counts.refs} objects, {counts.images} images, {counts.sentences} sentences",
    ]
    lines += _arithmetic_lines(result)
    if result.settings.preset is not None and result.settings.proposals.kind != "detections":
        lines.append(
            f"- no published number stands beside these: that of {result.settings.preset} is of a "
            "detector's boxes"
        )
    if demo_models(result):
        lines.append(f"- **WARNING**: {demo_models_warning(demo_models(result))}")
    if split.is_demo:
        lines.append("- this is the **demo**: generated scenes and small models, not a benchmark")
    if split.published is not None and split.published != counts:
        wanted = split.published
        lines.append(
            f"- **WARNING**: the published split has {wanted.refs} objects, {wanted.images} "
            f"images, {wanted.sentences} sentences; these results do not compare with it"
        )
    lines += [
        f"- not scored: `{unscored.sample_id}`: {unscored.reason}" for unscored in result.unscored
    ]
    return "\n".join(lines)


def _arithmetic_lines(result: SplitResult) -> list[str]:
    """Say which of the two arithmetics a row of the published table was made with."""
    settings = result.settings
    if settings.as_released:
        place = "on the original image"
        if result.frame is not None:
            place = f"on the image at long side {result.frame}, where its masks were found"
        return [
            f"- as released (`--as-released`): prompts are drawn {place}, crops cut from the "
            "original; relations are computed in float32, and 0 / 0 chooses the first candidate"
        ]
    if settings.preset is not None:
        return [
            "- not as released (`--no-as-released`): prompts are drawn on the original image; "
            "relations are computed in float64, and nothing is divided by zero"
        ]
    return []


def _interval(low_high: tuple[float, float] | None) -> str:
    return "-" if low_high is None else f"{100 * low_high[0]:.1f} - {100 * low_high[1]:.1f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"
