"""What a part-detection run found out, before it is written down."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from fgvp_eval.data.parts_records import PartResult
from fgvp_eval.data.records import RunReport, Unscored
from fgvp_eval.tasks.parts.metrics import PartMetrics, measure_parts
from fgvp_eval.tasks.parts.plan import PartsPlan


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
    """Everything a run found out, before it is written down."""

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
