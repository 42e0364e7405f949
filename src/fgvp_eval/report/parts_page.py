"""The page of a run on parts: its tables, without a gallery."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fgvp_eval.paco_tables import PROTOCOL_TEXT


@dataclass(frozen=True)
class PartsRow:
    """One row of a table: its labels, and the fields of ``PartMetrics`` that the run stored."""

    split: str
    modes: str
    assignment: str
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
        "protocol_text": PROTOCOL_TEXT.replace("**", ""),
    }


def _rows(results: Mapping[str, Any], protocol: str, objects: str) -> Iterator[PartsRow]:
    for split, by_protocol in results.get("metrics", {}).items():
        for modes, by_assignment in by_protocol.get(protocol, {}).items():
            for assignment, found in by_assignment.items():
                if objects in found:
                    yield PartsRow(split, modes, assignment, found[objects])
