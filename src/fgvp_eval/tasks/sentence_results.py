"""What a run on sentences found out: its table, its summary, and its facts in ``results.json``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from fgvp_eval.data.records import Prediction, RunReport, Unscored
from fgvp_eval.options.demo_models import demo_models_warning
from fgvp_eval.options.presets import PRESETS
from fgvp_eval.results.tables import (
    TableRow,
    closing_paragraphs,
    format_table,
    miss_table,
    percent,
    table_rows,
)
from fgvp_eval.tasks.split_plan import SplitPlan
from fgvp_eval.tasks.task import count_check

SCHEMA_VERSION = 1
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
class SentencesSplitResult:
    """Everything measured on one split.

    Attributes:
        plan: The split as read, with what was asked for.
        rows: Predictions of each row of the result table, by label, in the same order of
            sentences.
        unscored: Sentences that could not be scored.
    """

    plan: SplitPlan
    rows: dict[str, list[Prediction]]
    unscored: list[Unscored]

    @property
    def name(self) -> str:
        """Name of the split."""
        return self.plan.name

    @property
    def departures(self) -> tuple[str, ...]:
        """What departs from a preset: options, and data of other counts than the published."""
        settings = self.plan.settings
        same_data = self.plan.published is None or self.plan.published == self.plan.counts
        follows = settings.preset is None or same_data
        return settings.changed if follows else (*settings.changed, "data")

    @property
    def published_percent(self) -> float | None:
        """The published number, which is of detected boxes and compares with nothing else."""
        settings = self.plan.settings
        if settings.preset is None or settings.proposals.kind != "detections":
            return None
        return PRESETS[settings.preset].published.get(self.name)

    def facts(self) -> dict[str, Any]:
        """Return what ``results.json`` says of the split."""
        plan = self.plan
        return {
            "proposals": plan.settings.proposals.kind,
            "masks": plan.masks,
            "frame": plan.frame,
            "count_check": count_check(plan),
            "files_sha256": plan.files_sha256,
            "unscored": [asdict(unscored) for unscored in self.unscored],
        }

    def settings_facts(self) -> dict[str, Any]:
        """Return every option of the split as it was resolved."""
        settings, path = self.plan.settings, self.plan.settings.proposals.path
        return {
            "data_root": str(self.plan.dataset.root),
            "modes": list(settings.modes),
            "compare_modes": settings.compare_modes,
            "proposals": settings.proposals.kind if path is None else f"detections:{path}",
            "masks": settings.masks,
            "sam_grid": vars(self.plan.grid) if self.plan.masks == "sam-grid" else None,
            "sam": settings.sam,
            "clip": settings.clip,
            "clean_masks": settings.clean_masks,
            "cache": settings.cache,
            "feature_cache": settings.feature_cache,
            "post": settings.post,
            "aggregate": settings.aggregate,
            "negatives": "all" if settings.negatives is None else settings.negatives,
            "template": settings.template,
            "size_prior": settings.size_prior,
            "color": settings.color,
            "drawing": settings.drawing,
            "demo_models": self.plan.demo_models,
            "as_released": settings.as_released,
            "preset": settings.preset,
            "changed": list(self.departures),
            "published_percent": self.published_percent,
        }


@dataclass(frozen=True)
class SentencesReport(RunReport[SentencesSplitResult]):
    """Everything a run on sentences found out."""

    @cached_property
    def rows(self) -> tuple[TableRow, ...]:
        """The rows of the table, one for each split and each ensemble of modes."""
        settings = {result.name: result.settings_facts() for result in self.splits}
        rows = {
            (result.name, label): predictions
            for result in self.splits
            for label, predictions in result.rows.items()
        }
        return tuple(table_rows(rows, settings.__getitem__))

    def table(self) -> str:
        """Return the rows as a table."""
        return format_table(self.rows)

    def summary(self, command: str) -> str:
        """Return the page that tells a reader what was run and what came out."""
        paragraphs = ["# Evaluation of visual prompts", f"`{command}`", self.table()]
        if not self.complete:
            count = sum(len(result.unscored) for result in self.splits)
            paragraphs.append(f"**Incomplete:** {count} sentences could not be scored (see below).")
        paragraphs.append(
            "Accuracy is the share of sentences whose chosen box overlaps the annotated one with "
            "IoU strictly above 0.5; the interval is Wilson's; chance is a choice at random among "
            "the candidates."
        )
        presets = [result.plan.settings.preset for result in self.splits]
        notes = {PRESETS[preset].note for preset in presets if preset}
        paragraphs += [f"Preset: {note}." for note in sorted(notes)]
        paragraphs += [
            "## What was missed",
            miss_table(self.rows),
            "Ceiling: at least one candidate is right. Recall@k: one of the k of highest score is. "
            "A miss has one cause: no candidate was right; post-processing flipped a right choice; "
            "or a wrong candidate had the highest score before it.",
        ]
        for result in self.splits:
            ceiling = next(row.metrics.ceiling for row in self.rows if row.split == result.name)
            paragraphs.append(_split_paragraph(result, ceiling))
        return "\n\n".join([*paragraphs, *closing_paragraphs(self)]) + "\n"

    def samples(self) -> Iterator[dict[str, Any]]:
        """Yield the records of ``samples.jsonl``, sentence by sentence, one for each row."""
        for result in self.splits:
            for predictions in zip(*result.rows.values(), strict=True):
                for prediction in predictions:
                    yield prediction.record()

    def kind_facts(self) -> dict[str, Any]:
        """Return what ``results.json`` begins with."""
        return {"schema_version": SCHEMA_VERSION}

    def metrics(self) -> dict[str, Any]:
        """Return the metrics by split and modes."""
        found: dict[str, Any] = {}
        for row in self.rows:
            found.setdefault(row.split, {})[row.label] = asdict(row.metrics)
        return found

    def option_facts(self) -> dict[str, Any]:
        """Return post-processing and preset."""
        post, preset = self.config.post, self.config.preset
        return {
            "post": post or (preset.post if preset else "none"),
            "preset": preset.name if preset else None,
        }

    def _accuracies(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for row in self.rows:
            found.setdefault(row.split, {})[row.label] = row.metrics.accuracy
        return found


def _split_paragraph(result: SentencesSplitResult, ceiling: float | None) -> str:
    plan, settings = result.plan, result.plan.settings
    counts, published = plan.counts, plan.published
    lines = [
        f"## {plan.name}",
        "",
        f"- {_PROTOCOLS[settings.proposals.kind]}; at least one right candidate exists for "
        f"{percent(ceiling)} % of sentences",
        f"- masks: {_MASK_SOURCES[plan.masks]}",
        f"- on disk: {counts.refs} objects, {counts.images} images, {counts.sentences} sentences",
    ]
    lines += _arithmetic_lines(plan)
    if settings.preset is not None and settings.proposals.kind != "detections":
        lines.append(
            f"- no published number stands beside these: that of {settings.preset} is of a "
            "detector's boxes"
        )
    if plan.demo_models:
        lines.append(f"- **WARNING**: {demo_models_warning(plan.demo_models)}")
    if plan.dataset.split.is_demo:
        lines.append("- this is the **demo**: generated scenes and small models, not a benchmark")
    if published is not None and published != counts:
        lines.append(
            f"- **WARNING**: the published split has {published.refs} objects, {published.images} "
            f"images, {published.sentences} sentences; these results do not compare with it"
        )
    lines += [
        f"- not scored: `{unscored.sample_id}`: {unscored.reason}" for unscored in result.unscored
    ]
    return "\n".join(lines)


def _arithmetic_lines(plan: SplitPlan) -> list[str]:
    """Say which of the two arithmetics a row of the published table was made with."""
    if plan.settings.as_released:
        place = "on the original image"
        if plan.frame is not None:
            place = f"on the image at long side {plan.frame}, where its masks were found"
        return [
            f"- as released (`--as-released`): prompts are drawn {place}, crops cut from the "
            "original; relations are computed in float32, and 0 / 0 chooses the first candidate"
        ]
    if plan.settings.preset is not None:
        return [
            "- not as released (`--no-as-released`): prompts are drawn on the original image; "
            "relations are computed in float64, and nothing is divided by zero"
        ]
    return []
