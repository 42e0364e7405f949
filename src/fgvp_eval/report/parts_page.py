"""The page of a run on parts: its tables, without a gallery."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fgvp_eval.tasks.parts.part_results import PROTOCOL_TEXT

# The levels of "metrics", protocol aside; runs of schema version 1 have no inputs.
_LABELS = {3: ("split", "modes", "assignment"), 4: ("split", "input", "modes", "assignment")}


@dataclass(frozen=True)
class PartsRow:
    """One row of a table.

    Attributes:
        labels: What it is of.
        metrics: The fields of ``PartMetrics`` that the run stored.
    """

    labels: tuple[str, ...]
    metrics: Mapping[str, Any]

    @property
    def lost(self) -> dict[str, float]:
        """Shares of parts that were missed, by cause; empty where the run does not tell."""
        share, ceiling = self.metrics.get("share"), self.metrics.get("oracle_share")
        if share is None or ceiling is None:
            return {}
        return {"ranked_wrong": max(0.0, ceiling - share), "no_candidate": 1.0 - ceiling}


def parts_content(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables of ``parts.html.j2``, of the content of ``results.json``."""
    tables = {
        (protocol, objects): rows
        for protocol in ("naming", "detection")
        for objects in ("all", "two_or_more_parts")
        if (rows := list(_rows(results, protocol, objects)))
    }
    names = [
        (f"{protocol}", f"{protocol.capitalize()}")
        for protocol in ("naming", "detection")
        if (protocol, "all") in tables
    ]
    return {
        "title": f"Visual prompts on parts: {', '.join(results.get('metrics', {}))}",
        "unit": "parts",
        "first_sections": names,
        "last_sections": [],
        "tables": tables,
        "labels": next((_LABELS[len(rows[0].labels)] for rows in tables.values()), ()),
        "protocol_text": PROTOCOL_TEXT.replace("**", ""),
    }


def _rows(results: Mapping[str, Any], protocol: str, objects: str) -> Iterator[PartsRow]:
    for split, by_protocol in results.get("metrics", {}).items():
        for labels, found in _leaves(by_protocol.get(protocol, {}), (split,)):
            if objects in found:
                yield PartsRow(labels, found[objects])


def _leaves(
    tree: Mapping[str, Any], labels: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Yield what is stored under each assignment, with the labels that lead to it."""
    for name, below in tree.items():
        if "all" in below:
            yield (*labels, name), below
        else:
            yield from _leaves(below, (*labels, name))
