"""What a part-detection run found out, before it is written down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fgvp_eval.config import EvalConfig, SplitSettings
from fgvp_eval.parts_records import PartResult, PartsDataset
from fgvp_eval.records import Unscored


@dataclass(frozen=True)
class PartsSplitResult:
    """Everything measured on one split.

    Attributes:
        dataset: The split as read.
        settings: What was asked for, defaults filled in.
        results: One for each part, protocol, ensemble of modes, and way of assignment.
        unscored: Parts that could not be scored.
    """

    dataset: PartsDataset
    settings: SplitSettings
    results: tuple[PartResult, ...]
    unscored: tuple[Unscored, ...]

    def rows(self) -> dict[tuple[str, str, str], list[PartResult]]:
        """Return the results of each row: protocol, ensemble of modes, way of assignment."""
        rows: dict[tuple[str, str, str], list[PartResult]] = {}
        for result in self.results:
            key = (result.protocol, result.mode, result.assignment)
            rows.setdefault(key, []).append(result)
        return dict(sorted(rows.items(), key=lambda row: row[0][0] != "naming"))


@dataclass(frozen=True)
class PartsReport:
    """Everything a run found out, before it is written down.

    Attributes:
        config: The options as given.
        splits: One result per split.
        models: What identifies each model.
        device: Name of the device.
        precision: Of the CLIP towers.
        seconds: Seconds by stage.
    """

    config: EvalConfig
    splits: tuple[PartsSplitResult, ...]
    models: list[dict[str, Any]]
    device: str
    precision: str
    seconds: dict[str, float]

    @property
    def complete(self) -> bool:
        """Every part was scored, and no image of a split was missing."""
        return not any(
            result.unscored or result.dataset.left_out.get("objects whose image is missing")
            for result in self.splits
        )
