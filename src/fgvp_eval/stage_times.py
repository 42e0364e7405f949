"""Seconds spent in each stage of a run, and a progress line that suits terminals and logs."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

import torch
from tqdm import tqdm

_LOG = logging.getLogger(__name__)
_SECONDS_BETWEEN_LINES = 10.0


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


class Progress:
    """Counts sentences on stderr: a bar on a terminal, a plain line every ten seconds elsewhere."""

    def __init__(self, name: str, total: int) -> None:
        self._name, self._total, self._done = name, total, 0
        self._last = time.monotonic()
        self._bar = (
            tqdm(total=total, desc=name, unit="sentence", file=sys.stderr)
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
            _LOG.info("%s: %d of %d sentences", self._name, self._done, self._total)
