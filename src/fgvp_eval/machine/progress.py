"""How far a long step is, on stderr: a bar on a terminal, plain lines in logs; rate and time left.

Nothing is shown where the ``fgvp_eval`` logger does not let information through: in processes
other than the first, and in programs that use this package as a library.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from contextlib import ExitStack
from types import TracebackType
from typing import NoReturn

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

_LOG = logging.getLogger(__name__)
_SECONDS_BETWEEN_LINES = 10.0
# What is done sooner needs no bar.
_SECONDS_UNTIL_BAR = 2.0


class Progress:
    """Counts what is done of a step; to be used in a ``with`` block, from any thread.

    A line reads ``refcoco_val: 1200 of 10834 sentences, 35.1/s, 4 min left``. The rate is that of
    this process since the step began.

    Args:
        name: What the line begins with.
        total: How many there are; None if that is not known.
        unit: One of what is counted; ``"byte"`` is written in MB.
    """

    def __init__(self, name: str, total: int | None, unit: str = "sentence") -> None:
        self._name, self._total, self._unit = name, total, unit
        self._done = self._own = self._bytes = 0
        self._start = self._last = time.monotonic()
        self._lock = threading.Lock()
        self._open = ExitStack()
        self._bar = self._make_bar() if _LOG.isEnabledFor(logging.INFO) and _on_terminal() else None

    def _make_bar(self) -> tqdm[NoReturn]:
        in_bytes = self._unit == "byte"
        return tqdm(
            total=self._total,
            desc=self._name,
            unit="B" if in_bytes else f" {self._unit}s",
            unit_scale=in_bytes,
            file=sys.stderr,
            dynamic_ncols=True,
            delay=_SECONDS_UNTIL_BAR,
            leave=None,  # an outer bar stays, one within it goes
        )

    def __enter__(self) -> Progress:
        if self._bar is not None:
            # Or what is logged meanwhile would be written into the bar.
            package = logging.getLogger("fgvp_eval")
            self._open.enter_context(logging_redirect_tqdm(loggers=[package]))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()
        if self._bar is not None:
            self._bar.close()
        elif error is None and time.monotonic() - self._start >= _SECONDS_BETWEEN_LINES:
            spent = duration(time.monotonic() - self._start)
            _LOG.info("%s: %s in %s, %s", self._name, self._amount(), spent, self._rates())

    def expect(self, total: int | None, done: int = 0) -> None:
        """Correct the total, and what is done of it already, once that turns out."""
        with self._lock:
            self._total, self._done = total, done
            if self._bar is not None:
                self._bar.total = total
                self._bar.n = self._bar.initial = self._bar.last_print_n = done

    def add(self, count: int = 1) -> None:
        """Count so many more as done."""
        with self._lock:
            self._done += count
            self._own += count
            if self._bar is not None:
                self._bar.update(count)
        self._say_now_and_then()

    def add_bytes(self, count: int) -> None:
        """Count bytes that were transferred for what is counted, to tell their rate as well."""
        with self._lock:
            self._bytes += count
            if self._bar is not None:
                self._bar.set_postfix_str(self._transfer(), refresh=False)
        self._say_now_and_then()

    def _say_now_and_then(self) -> None:
        with self._lock:
            now = time.monotonic()
            if self._bar is not None or now - self._last < _SECONDS_BETWEEN_LINES:
                return
            if self._done == self._total:  # the last line says that
                return
            self._last = now
            left = ""
            if self._total is not None and self._own:
                each = (now - self._start) / self._own
                left = f", {duration(each * max(0, self._total - self._done))} left"
            _LOG.info("%s: %s, %s%s", self._name, self._amount(), self._rates(), left)

    def _amount(self) -> str:
        in_bytes = self._unit == "byte"
        known = self._total is not None and self._done != self._total
        parts = [self._done, self._total] if known else [self._done]
        numbers = [f"{(part or 0) / 1e6:.1f}" if in_bytes else str(part) for part in parts]
        return f"{' of '.join(numbers)} {'MB' if in_bytes else self._unit + 's'}"

    def _rates(self) -> str:
        a_second = self._own / max(1e-9, time.monotonic() - self._start)
        if self._unit == "byte":
            return f"{a_second / 1e6:.1f} MB/s"
        rate = f"{a_second:.1f}/s" if a_second >= 1 else f"{60 * a_second:.1f}/min"
        return f"{rate}, {self._transfer()}" if self._bytes else rate

    def _transfer(self) -> str:
        return f"{self._bytes / 1e6 / max(1e-9, time.monotonic() - self._start):.1f} MB/s"


def duration(seconds: float) -> str:
    """Return seconds as a person says them: ``40 s``, ``4 min``, ``2 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _on_terminal() -> bool:
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return False
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns > 0  # 0 in some containers
    except OSError:  # a stream without a file has no size
        return True
