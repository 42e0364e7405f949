"""Counts on disk against those of the published data."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TypeVar

from fgvp_eval.data.parts_records import PartCounts
from fgvp_eval.errors import DataError
from fgvp_eval.options.splits import Counts

_LOG = logging.getLogger(__name__)
_AnyCounts = TypeVar("_AnyCounts", Counts, PartCounts)


def warn_of_counts(name: str, found: _AnyCounts, published: _AnyCounts | None) -> None:
    """Say so loudly if a split is not of the published size.

    Args:
        name: The split.
        found: Its counts on disk.
        published: What they should be; None if there is nothing to compare with.
    """
    if published is not None and found != published:
        _LOG.warning(
            "WARNING: %s: results do not compare with published ones",
            _difference(name, found, published),
        )


def require_counts(name: str, found: _AnyCounts, published: _AnyCounts | None) -> None:
    """Refuse a split that is not of the published size; arguments as above.

    Raises:
        DataError: The counts differ.
    """
    if published is not None and found != published:
        raise DataError(f"{_difference(name, found, published)} (--strict-data)")


def _difference(name: str, found: Counts | PartCounts, published: Counts | PartCounts) -> str:
    return f"{name} has {_listed(found)}, but the published split has {_listed(published)}"


def _listed(counts: Counts | PartCounts) -> str:
    return ", ".join(f"{count} {name}" for name, count in asdict(counts).items())
