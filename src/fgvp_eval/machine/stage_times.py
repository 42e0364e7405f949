"""Seconds spent in each stage of a run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

STAGE_NAMES = {"sam": "SAM", "clip": "CLIP"}  # others are called as they are
_ORDER = ("decode", "sam", "masks", "render", "clip", "texts", "post")
# Stages that are no part of the evaluation itself, and what they are called.
ASIDE = {"load": "loading", "report": "report"}


class StageTimes:
    """Adds up the seconds of named stages.

    Args:
        device: On a GPU each stage waits for its own work, so that seconds land where they belong.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.seconds: dict[str, float] = {}

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the seconds of the ``with`` block to ``stage``."""
        start = time.perf_counter()
        try:
            yield
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)
        finally:
            spent = time.perf_counter() - start
            self.seconds[stage] = self.seconds.get(stage, 0.0) + spent

    def since(self, before: Mapping[str, float]) -> dict[str, float]:
        """Return the seconds that each stage took since ``seconds`` was ``before``."""
        return {
            stage: spent - before.get(stage, 0.0)
            for stage, spent in self.seconds.items()
            if spent > before.get(stage, 0.0)
        }


def in_order(seconds: Mapping[str, float]) -> dict[str, float]:
    """Return the stages of the evaluation in the order in which they come about."""
    names = sorted(set(seconds) - set(ASIDE), key=[*_ORDER, *seconds].index)
    return {name: seconds[name] for name in names}


def split_line(seconds: Mapping[str, float]) -> str:
    """Return one line that says where the time went: seconds and shares of the evaluation.

    Loading and the report stand aside.
    """
    stages = in_order(seconds)
    total = sum(stages.values()) or 1.0
    parts = [
        f"{STAGE_NAMES.get(name, name)} {spent:.1f} s ({100 * spent / total:.0f} %)"
        for name, spent in stages.items()
    ]
    aside = [f"loading {seconds.get('load', 0.0):.1f} s"]
    if "report" in seconds:
        aside.append(f"{ASIDE['report']} {seconds['report']:.1f} s")
    return f"time: {', '.join(parts)}; {', '.join(aside)}"
