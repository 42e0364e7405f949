"""The result table and the summary page, in Markdown."""

from __future__ import annotations

from tabulate import tabulate

from fgvp_eval.metrics import measure
from fgvp_eval.records import RunReport, SplitResult

_HEADERS = ("split", "proposals", "modes", "accuracy %", "95 % interval", "n", "chance %")
_ALIGNMENT = ("left", "left", "left", "right", "right", "right", "right")
_PROTOCOLS = {
    "gt": "candidates are **all annotated boxes** of the image (`--proposals gt`), an easier "
    "protocol than detected boxes",
    "detections": "candidates are a detector's boxes (`--proposals detections`)",
}
_MASK_SOURCES = {
    "sam": "SAM, prompted with each candidate's box",
    "gt": "the annotations",
    "unused": "not needed by these modes",
}


def result_table(report: RunReport) -> str:
    """Return the table of a run, a row for each split and each ensemble of modes."""
    rows = []
    for result in report.splits:
        for label, predictions in result.rows.items():
            metrics = measure(predictions)
            low_high = metrics.interval_95
            interval = f"{100 * low_high[0]:.1f} - {100 * low_high[1]:.1f}" if low_high else "-"
            rows.append(
                (
                    result.dataset.split.name,
                    result.settings.proposals.kind,
                    label,
                    _percent(metrics.accuracy),
                    interval,
                    str(metrics.n),
                    _percent(metrics.chance),
                )
            )
    return tabulate(rows, _HEADERS, tablefmt="github", disable_numparse=True, colalign=_ALIGNMENT)


def summary_page(report: RunReport, command: str) -> str:
    """Return the page that tells a reader what was run and what came out.

    Args:
        report: The results.
        command: The command line that was run.
    """
    paragraphs = ["# Evaluation of visual prompts", f"`{command}`", result_table(report)]
    if not report.complete:
        count = sum(len(result.unscored) for result in report.splits)
        paragraphs.append(f"**Incomplete:** {count} sentences could not be scored (see below).")
    paragraphs.append(
        "Accuracy is the share of sentences whose chosen box overlaps the annotated one with IoU "
        "strictly above 0.5; the interval is Wilson's; chance is a choice at random among the "
        "candidates."
    )
    paragraphs += [_split_paragraph(result) for result in report.splits]
    blur = report.blur
    models = "\n".join(
        f"- {model['kind']} `{model['name']}`, sha256 `{model['sha256']}`"
        for model in report.models
    )
    seconds = tabulate(
        [(stage, f"{spent:.1f}") for stage, spent in report.seconds.items()],
        ("stage", "seconds"),
        tablefmt="github",
    )
    paragraphs += [
        f"Blur: {blur['kind']}, sigma {blur['sigma']:g} pixels ({blur['frame']}). "
        f"Device: {report.device}, CLIP in {report.precision}.",
        "## Models",
        models,
        "## Where the time went",
        seconds,
    ]
    return "\n\n".join(paragraphs) + "\n"


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


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"
