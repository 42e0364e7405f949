"""Timing on a GPU: events, the wall clock, kernels one by one, and the copy bandwidth."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from timing import Timing

_FLUSH_BYTES = 256 << 20  # more than the L2 cache of any GPU there is


class Clock:
    """Times calls on a device; on a CPU by the wall clock, so that benchmarks can be tested."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.on_gpu = device.type == "cuda"
        size = _FLUSH_BYTES if self.on_gpu else 1
        self._flushed = torch.empty(size, dtype=torch.int8, device=device)

    def time(self, call: Callable[[], object], rounds: int) -> Timing:
        """Milliseconds of ``call`` between events on the device, each time with a cold cache.

        The flush takes about 100 µs, in which the host prepares the call: of a call that the host
        is slower at than the device, this is not what a caller waits. :meth:`wall` is.
        """
        call()
        seconds = [self._once(call) for _ in range(rounds)]
        return Timing.of(seconds)

    def _once(self, call: Callable[[], object]) -> float:
        self._flushed.zero_()
        if not self.on_gpu:
            start = time.perf_counter()
            call()
            return time.perf_counter() - start
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        call()
        last.record()
        last.synchronize()
        return first.elapsed_time(last) / 1e3

    def wall(self, call: Callable[[], object], rounds: int) -> Timing:
        """Milliseconds from calling to the device's being done, each time with a cold cache."""
        call()
        seconds = []
        for _ in range(rounds):
            self._flushed.zero_()
            self.synchronize()
            start = time.perf_counter()
            call()
            self.synchronize()
            seconds.append(time.perf_counter() - start)
        return Timing.of(seconds)

    def kernel_milliseconds(self, call: Callable[[], object]) -> dict[str, float]:
        """Time of each kernel and copy of one call on the device, added up by name."""
        if not self.on_gpu:
            return {}
        call()
        self.synchronize()
        activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
        with torch.profiler.profile(activities=activities) as profile:
            call()
            self.synchronize()
        on_device = torch.autograd.DeviceType.CUDA
        rows = [row for row in profile.key_averages() if row.device_type == on_device]
        rows.sort(key=lambda row: -row.device_time_total)
        return {row.key: row.device_time_total / 1e3 for row in rows}

    def host_overhead(self, call: Callable[[], object], rounds: int) -> Timing:
        """Milliseconds until ``call`` returns, without waiting for the device."""
        call()
        seconds = []
        for _ in range(rounds):
            self.synchronize()
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
        self.synchronize()
        return Timing.of(seconds)

    def synchronize(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize(self.device)

    def copy_bandwidth(self, size: int = 1 << 30, rounds: int = 20) -> float:
        """Bytes a second, read and written, of a large copy."""
        if not self.on_gpu:
            size = 1 << 24
        source = torch.empty(size, dtype=torch.int8, device=self.device)
        target = torch.empty_like(source)
        return 2 * size / (self.time(lambda: target.copy_(source), rounds).median / 1e3)

    def peak_bytes(self, call: Callable[[], object]) -> int | None:
        """The most memory that ``call`` held at a time, or None on a CPU."""
        if not self.on_gpu:
            return None
        self.synchronize()
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        call()
        self.synchronize()
        return torch.cuda.max_memory_allocated(self.device) - before


class Replay:
    """Replays ``call``, which has run before, as a CUDA graph that the first replay captures."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        if self._graph is None:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self._call()
            self._graph = graph
        self._graph.replay()
