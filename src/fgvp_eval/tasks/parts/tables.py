"""Result tables and the summary page of part detection, in Markdown."""

from __future__ import annotations

from tabulate import tabulate

from fgvp_eval.options.demo_models import demo_models_warning
from fgvp_eval.results.tables import closing_paragraphs, demo_models_cell
from fgvp_eval.scoring.choice import IOU_THRESHOLD
from fgvp_eval.tasks.parts.candidates import LEAST_SHARE_INSIDE
from fgvp_eval.tasks.parts.crops import MARGIN
from fgvp_eval.tasks.parts.metrics import PartMetrics
from fgvp_eval.tasks.parts.outcome import PartsReport, PartsSplitResult

_ROW = ("split", "input", "modes", "assignment")
_NAMING = ("named %", "95 % interval", "per object %", "chance %", "chance per object %", "parts")
_DETECTION = (
    *("box IoU > 0.5 %", "95 % interval", "mask IoU > 0.5 %", "mean box IoU", "mean mask IoU"),
    *("chance %", "oracle box %", "oracle mask %", "parts"),
)
PROTOCOL_TEXT = (
    "The protocol is this project's own; no numbers were published for it. Input **object**: the "
    f"object is cut out with its box {1 + 2 * MARGIN:g} times as wide and high; input **image**: "
    "the whole image is looked at. Each of the object's annotated parts is asked for as "
    '"a photo of a PART of an OBJECT". **Naming**: the candidates are the masks of the object\'s '
    "own annotated parts, and a part is right if it is given its own. **Detection**: the "
    f"candidates are SAM-grid masks with at least {100 * LEAST_SHARE_INSIDE:.0f} % of their area "
    f"in the object's box, and a part is right if the box it is given has IoU > {IOU_THRESHOLD:g}; "
    "the oracle is the share of parts for which there is such a candidate at all. The two do not "
    "compare with each other. **argmax** gives each part its best candidate, **hungarian** all "
    "parts of an object at once and no candidate twice. Chance is a candidate drawn at random. "
    "Intervals are bootstraps over images."
)


def parts_tables(report: PartsReport, *, two_or_more: bool = False) -> str:
    """Return one table for each protocol that was run.

    Args:
        report: The results.
        two_or_more: Count only objects with two or more parts.
    """
    models = {
        result.plan.name: demo_models_cell(result.plan.demo_models) for result in report.splits
    }
    named = ("models",) if any(models.values()) else ()  # a column where it says anything
    tables = []
    for protocol, headers in (("naming", _NAMING), ("detection", _DETECTION)):
        cells_of = _naming if protocol == "naming" else _detection
        rows = [
            (
                *(row.split, row.input, row.modes, row.assignment),
                *(models[row.split] for _ in named),
                *cells_of(metrics),
            )
            for row in report.rows
            for metrics in (row.two_or_more if two_or_more else row.all,)
            if row.protocol == protocol
        ]
        if rows:
            firsts = (*_ROW, *named)
            alignment = ["left"] * len(firsts) + ["right"] * len(headers)
            tables.append(
                tabulate(
                    rows,
                    (*firsts, *headers),
                    tablefmt="github",
                    disable_numparse=True,
                    colalign=alignment,
                )
            )
    return "\n\n".join(tables) or "No part could be scored."


def parts_summary(report: PartsReport, command: str) -> str:
    """Return the page that tells a reader what was run and what came out.

    Args:
        report: The results.
        command: The command line that was run.
    """
    paragraphs = ["# Evaluation of visual prompts on parts", f"`{command}`", parts_tables(report)]
    if not report.complete:
        count = sum(len(result.unscored) for result in report.splits)
        paragraphs.append(f"**Incomplete:** {count} parts could not be scored (see below).")
    paragraphs += [PROTOCOL_TEXT, "## Objects with two or more parts"]
    paragraphs += ["With a single part there is nothing to tell apart, so here they are left out."]
    paragraphs.append(parts_tables(report, two_or_more=True))
    paragraphs += [_split_paragraph(result) for result in report.splits]
    return "\n\n".join([*paragraphs, *closing_paragraphs(report)]) + "\n"


def _naming(metrics: PartMetrics) -> tuple[str, ...]:
    return (
        _percent(metrics.share),
        _interval(metrics),
        _percent(metrics.share_of_objects),
        _percent(metrics.chance),
        _percent(metrics.chance_of_objects),
        str(metrics.parts),
    )


def _detection(metrics: PartMetrics) -> tuple[str, ...]:
    return (
        _percent(metrics.share),
        _interval(metrics),
        _percent(metrics.mask_share),
        _ratio(metrics.mean_box_iou),
        _ratio(metrics.mean_mask_iou),
        _percent(metrics.chance),
        _percent(metrics.oracle_share),
        _percent(metrics.oracle_mask_share),
        str(metrics.parts),
    )


def _split_paragraph(result: PartsSplitResult) -> str:
    plan, dataset = result.plan, result.plan.dataset
    counts, published = dataset.counts, dataset.published
    objects = sum(len(image.objects) for image in dataset.images)
    lines = [
        f"## {plan.name}",
        "",
        f"- on disk: {counts.images} images, {counts.objects} objects, {counts.parts} parts; "
        f"evaluated: {objects} objects on {len(dataset.images)} images",
    ]
    lines += [f"- left out: {count} {reason}" for reason, count in dataset.left_out.items()]
    if plan.bank is not None:
        lines.append(
            f"- each score is less the mean score of the other {len(plan.bank) - 1} phrases"
        )
    if plan.demo_models:
        lines.append(f"- **WARNING**: {demo_models_warning(plan.demo_models)}")
    if dataset.split.is_demo:
        lines.append(
            "- this is the **demo**: generated scenes and small models that were trained on other "
            "scenes, not a benchmark; it shows that the protocol runs. Its CLIP was trained on "
            "cut-outs and on blurred or grey surroundings, not on outlines, which mislead it"
        )
    if published is not None and published != counts:
        lines.append(
            f"- **WARNING**: the published split has {published.images} images, "
            f"{published.objects} objects, {published.parts} parts; these results do not compare "
            "with it"
        )
    lines += [
        f"- not scored: `{unscored.sample_id}`: {unscored.reason}" for unscored in result.unscored
    ]
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(metrics: PartMetrics) -> str:
    low_high = metrics.interval_95
    return "-" if low_high is None else f"{100 * low_high[0]:.1f} - {100 * low_high[1]:.1f}"
