"""Seconds spent in each stage of a run, and a progress line that suits terminals and logs."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType

import torch
from tqdm import tqdm

_LOG = logging.getLogger(__name__)
_SECONDS_BETWEEN_LINES = 10.0
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


class Progress:
    """Counts sentences on stderr: a bar on a terminal, a plain line every ten seconds elsewhere.

    Args:
        name: What the line begins with.
        total: How many there are.
        unit: One of what is counted.
    """

    def __init__(self, name: str, total: int, unit: str = "sentence") -> None:
        self._name, self._total, self._done, self._unit = name, total, 0, unit
        self._last = time.monotonic()
        self._bar = (
            tqdm(total=total, desc=name, unit=unit, file=sys.stderr)
            if sys.stderr.isatty()
            else None
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def add(self, sentences: int) -> None:
        """Count ``sentences`` more as done."""
        self._done += sentences
        if self._bar is not None:
            self._bar.update(sentences)
        elif time.monotonic() - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            _LOG.info("%s: %d of %d %ss", self._name, self._done, self._total, self._unit)
