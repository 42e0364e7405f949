"""What is said where the demo's models meet data that is not the demo's.

They were trained on generated scenes alone, so on anything else they show that the chain works and
nothing more. A table, a summary or a report that does not say so reads like a result.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from fgvp_eval.options.config import SplitSettings
from fgvp_eval.options.splits import Split

_LOG = logging.getLogger(__name__)


def misplaced_demo_models(split: Split, settings: SplitSettings, needs_sam: bool) -> list[str]:
    """Return which of ``SAM`` and ``CLIP`` are the demo's although the split is not.

    Args:
        split: What is evaluated.
        settings: With which models.
        needs_sam: SAM is used at all.
    """
    if split.is_demo:
        return []
    used = {"SAM": needs_sam and settings.sam == "demo", "CLIP": "demo" in settings.clip.split("+")}
    return [name for name, is_demo in used.items() if is_demo]


def warn_of_demo_models(split: str, names: Sequence[str]) -> None:
    """Say so if ``names`` are the demo's on this split, which is not."""
    if names:
        _LOG.warning("WARNING: %s: %s", split, demo_models_warning(names))


def demo_models_warning(names: Sequence[str]) -> str:
    """Say in one sentence what figures are worth where ``names``, at least one, are the demo's."""
    verbs = ("is", "knows") if len(names) == 1 else ("are", "know")
    return (
        f"{' and '.join(names)} {verbs[0]} the demo's and {verbs[1]} generated scenes only; what "
        "comes out says nothing of this data or of the prompts"
    )
