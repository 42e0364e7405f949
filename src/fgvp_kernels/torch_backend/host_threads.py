"""Threads on a CPU: how many ATen may use, and pieces of work that a few of our own share.

ATen and MKL cut an operation into one part for each OpenMP thread and wait for the slowest. Beside
a busy process a thread loses its core for a slice of the scheduler's, several milliseconds, and
then an operation of a tenth of one waits for it. So operations run on one thread each, and threads
get whole pieces of a call instead, taken from one queue: one that loses its core holds up the piece
it is at and nothing else.
"""

from __future__ import annotations

import ctypes
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import torch

_Piece = TypeVar("_Piece")


@contextmanager
def aten_threads(count: int) -> Iterator[None]:
    """Let ATen and MKL run what this thread asks of them on ``count`` threads at most.

    No other thread is affected, as it would be by ``torch.set_num_threads``, which sets what MKL
    uses everywhere and what threads start with that come to torch later. Where torch's runtimes
    cannot be asked for this (torch without OpenMP, or on Windows), nothing changes.
    """
    before = torch.get_num_threads()  # and, in a new thread, have torch set what it starts with
    limit_openmp, limit_mkl = _thread_limits()
    if limit_openmp is None or count >= before:
        yield
        return
    limit_openmp(count)
    mkl_before = limit_mkl(count) if limit_mkl else 0
    try:
        yield
    finally:
        limit_openmp(before)
        if limit_mkl:
            limit_mkl(mkl_before)


@lru_cache(maxsize=1)
def _thread_limits() -> tuple[Callable[[int], object] | None, Callable[[int], int] | None]:
    """``omp_set_num_threads`` and ``mkl_set_num_threads_local`` of the runtimes torch has loaded.

    Both set what the calling thread alone uses; the latter returns what it was.
    """
    folder = Path(torch.__file__).parent / "lib"
    for name in ("libtorch_cpu.so", "libtorch_cpu.dylib"):
        try:
            # A handle to what is loaded; calls keep Python's lock, which is worth more than they.
            library = ctypes.PyDLL(str(folder / name))
        except OSError:
            continue
        limits = [
            getattr(library, symbol, None)
            for symbol in ("omp_set_num_threads", "MKL_Set_Num_Threads_Local")
        ]
        for limit in filter(None, limits):
            limit.argtypes = [ctypes.c_int]
        if limits[0] is not None:
            limits[0].restype = None
        return limits[0], limits[1]
    return None, None


@contextmanager
def shared_out(
    work: Callable[[_Piece], None], pieces: Sequence[_Piece], threads: int
) -> Iterator[None]:
    """Have other threads do ``work`` on the pieces while the block runs; then do what is left.

    The other threads, ``threads - 1`` at most, last as long as the call, so that nothing has to
    survive a fork. They record no gradients. They need Python's lock between calls into torch and
    NumPy, and wait for it where the block makes many short ones: pieces should be few long calls.

    Args:
        work: What it raises first is raised here, when no thread is at work any more; pieces not
            begun by then are left.
        pieces: Begun in order.
        threads: 1 leaves all of it to the calling thread.
    """
    pending = deque(pieces)
    running = 0
    errors: list[BaseException] = []
    changed = threading.Condition()
    inference = torch.is_inference_mode_enabled()

    def take_pieces() -> None:
        nonlocal running
        while True:
            with changed:
                if not pending:
                    return
                piece = pending.popleft()
                running += 1
            try:
                work(piece)
            except BaseException as error:
                errors.append(error)
                pending.clear()
            finally:
                with changed:
                    running -= 1
                    changed.notify()

    def assist() -> None:
        with torch.inference_mode(inference), torch.no_grad(), aten_threads(1):
            take_pieces()

    for _ in range(min(threads - 1, len(pieces))):
        threading.Thread(target=assist, name="fgvp-kernels").start()
    try:
        yield
        take_pieces()
    finally:
        pending.clear()
        # Not until the helpers have ended: one that has no piece may be waiting for a core.
        with changed:
            changed.wait_for(lambda: running == 0)
    if errors:
        raise errors[0]
