"""Work in batches that shrink when memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import torch

_Result = TypeVar("_Result")

_LOG = logging.getLogger(__name__)


class ShrinkingBatch:
    """A batch size that is halved whenever a batch does not fit, and stays so.

    Args:
        size: Items that go together at first, >= 1.
        what: Name of the items, for the log.
    """

    def __init__(self, size: int, what: str) -> None:
        self.size = size
        self._what = what

    def run(self, work: Callable[[slice], _Result], count: int) -> list[_Result]:
        """Call ``work`` on slices that cover ``count`` items in order, and return its results.

        A batch that did not fit is done again in halves; what was done before is kept.

        Args:
            work: Takes the slice of items to work on.
            count: How many items there are; 0 calls nothing.

        Raises:
            torch.OutOfMemoryError, RuntimeError, MemoryError: A single item does not fit.
        """
        results: list[_Result] = []
        start = 0
        while start < count:
            batch = slice(start, min(start + self.size, count))
            try:
                results.append(work(batch))
            except (RuntimeError, MemoryError) as error:
                used = batch.stop - batch.start
                if not is_out_of_memory(error) or used == 1:
                    raise
                self.size = (used + 1) // 2
            else:
                start = batch.stop
                continue
            # Past the handler, whose traceback keeps the tensors of the failed batch alive.
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            _LOG.warning(
                "out of memory with %d %s at once; going on with %d", used, self._what, self.size
            )
        return results


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that a device or the machine has no memory left."""
    # On the CPU torch raises a plain RuntimeError, from DefaultCPUAllocator; NumPy, whose memory
    # pictures are drawn into there, a MemoryError.
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return "DefaultCPUAllocator" in str(error)
