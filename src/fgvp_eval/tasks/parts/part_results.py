"""What a run on parts found out: its tables, its summary, and its facts in ``results.json``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from tabulate import tabulate

from fgvp_eval.data.parts_records import PartResult
from fgvp_eval.data.records import RunReport, Unscored
from fgvp_eval.options.demo_models import demo_models_warning
from fgvp_eval.results.tables import closing_paragraphs, demo_models_cell, percent
from fgvp_eval.scoring.choice import IOU_THRESHOLD
from fgvp_eval.tasks.parts.candidates import LEAST_SHARE_INSIDE
from fgvp_eval.tasks.parts.crops import MARGIN
from fgvp_eval.tasks.parts.metrics import PartMetrics, measure_parts
from fgvp_eval.tasks.parts.plan import PartsPlan
from fgvp_eval.tasks.task import count_check

SCHEMA_VERSION = 2  # 1 had no inputs
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


@dataclass(frozen=True)
class PartsSplitResult:
    """Everything measured on one split.

    Attributes:
        plan: The split as read, with what was asked for.
        results: One for each part, protocol, input, ensemble of modes, and way of assignment.
        unscored: Parts that could not be scored.
    """

    plan: PartsPlan
    results: tuple[PartResult, ...]
    unscored: tuple[Unscored, ...]

    @property
    def name(self) -> str:
        """Name of the split."""
        return self.plan.name

    def facts(self) -> dict[str, Any]:
        """Return what ``results.json`` says of the split."""
        dataset = self.plan.dataset
        return {
            "count_check": count_check(self.plan),
            "evaluated_objects": sum(len(image.objects) for image in dataset.images),
            "left_out": dataset.left_out,
            "files_sha256": dataset.files_sha256,
            "unscored": [asdict(unscored) for unscored in self.unscored],
        }

    def settings_facts(self) -> dict[str, Any]:
        """Return every option of the split as it was resolved."""
        return {
            "data_root": str(self.plan.dataset.root),
            **self.plan.facts(),
            "cache": self.plan.settings.cache,
        }


@dataclass(frozen=True)
class PartsRow:
    """One row of the result tables.

    Attributes:
        split: Name of the split.
        protocol, input, modes, assignment: As in :class:`PartResult`, which calls modes ``mode``.
        all: Metrics of all parts.
        two_or_more: Metrics of the objects with two or more parts.
    """

    split: str
    protocol: str
    input: str
    modes: str
    assignment: str
    all: PartMetrics
    two_or_more: PartMetrics


@dataclass(frozen=True)
class PartsReport(RunReport[PartsSplitResult]):
    """Everything a run on parts found out."""

    @cached_property
    def rows(self) -> tuple[PartsRow, ...]:
        """The rows of all tables, measured; those of a split in the order of its conditions."""
        rows = []
        for result in self.splits:
            members: dict[tuple[str, str, str, str], list[PartResult]] = {}
            for part in result.results:
                key = (part.protocol, part.input, part.mode, part.assignment)
                members.setdefault(key, []).append(part)
            for key, parts in members.items():
                of_all = measure_parts(parts, seed=self.config.seed)
                fewer = measure_parts(parts, seed=self.config.seed, least_parts=2)
                rows.append(PartsRow(result.plan.name, *key, of_all, fewer))
        return tuple(rows)

    def table(self, *, two_or_more: bool = False) -> str:
        """Return one table for each protocol that was run.

        Args:
            two_or_more: Count only objects with two or more parts.
        """
        models = {
            result.plan.name: demo_models_cell(result.plan.demo_models) for result in self.splits
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
                for row in self.rows
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

    def summary(self, command: str) -> str:
        """Return the page that tells a reader what was run and what came out."""
        paragraphs = ["# Evaluation of visual prompts on parts", f"`{command}`", self.table()]
        if not self.complete:
            count = sum(len(result.unscored) for result in self.splits)
            paragraphs.append(f"**Incomplete:** {count} parts could not be scored (see below).")
        paragraphs += [PROTOCOL_TEXT, "## Objects with two or more parts"]
        paragraphs += [
            "With a single part there is nothing to tell apart, so here they are left out."
        ]
        paragraphs.append(self.table(two_or_more=True))
        paragraphs += [_split_paragraph(result) for result in self.splits]
        return "\n\n".join([*paragraphs, *closing_paragraphs(self)]) + "\n"

    def samples(self) -> Iterator[dict[str, Any]]:
        """Yield the records of ``samples.jsonl``."""
        for result in self.splits:
            for part in result.results:
                yield part.record()

    def kind_facts(self) -> dict[str, Any]:
        """Return what ``results.json`` begins with."""
        return {
            "schema_version": SCHEMA_VERSION,
            "task": "parts",
            "protocol": "own: naming of annotated parts, and detection among SAM-grid masks",
        }

    def metrics(self) -> dict[str, Any]:
        """Return metrics by split, protocol, input, ensemble of modes, and way of assignment."""
        return _tree(
            self.rows,
            lambda row: {"all": asdict(row.all), "two_or_more_parts": asdict(row.two_or_more)},
        )

    def option_facts(self) -> dict[str, Any]:
        """Return nothing: every option is one of the splits' or of all kinds of runs."""
        return {}

    def _accuracies(self) -> dict[str, Any]:
        return _tree(self.rows, lambda row: row.all.share)


def _tree(rows: Sequence[PartsRow], content: Callable[[PartsRow], Any]) -> dict[str, Any]:
    """Return what is to be said of each row, below its names."""
    tree: dict[str, Any] = {}
    for row in rows:
        place = tree
        for key in (row.split, row.protocol, row.input, row.modes):
            place = place.setdefault(key, {})
        place[row.assignment] = content(row)
    return tree


def _naming(metrics: PartMetrics) -> tuple[str, ...]:
    return (
        percent(metrics.share),
        _interval(metrics),
        percent(metrics.share_of_objects),
        percent(metrics.chance),
        percent(metrics.chance_of_objects),
        str(metrics.parts),
    )


def _detection(metrics: PartMetrics) -> tuple[str, ...]:
    return (
        percent(metrics.share),
        _interval(metrics),
        percent(metrics.mask_share),
        _ratio(metrics.mean_box_iou),
        _ratio(metrics.mean_mask_iou),
        percent(metrics.chance),
        percent(metrics.oracle_share),
        percent(metrics.oracle_mask_share),
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


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(metrics: PartMetrics) -> str:
    low_high = metrics.interval_95
    return "-" if low_high is None else f"{100 * low_high[0]:.1f} - {100 * low_high[1]:.1f}"
