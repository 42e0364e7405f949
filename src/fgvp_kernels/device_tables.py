"""Small tables, on a device or on the host, kept between calls.

Kernels read sizes, taps, matrices and lists of work from tables. Most depend on shapes and options
alone, so they are made and sent once and kept: a repeated call copies nothing to the device and
waits for nothing. That is also what a CUDA graph needs, in whose capture nothing can be sent: a
capture reads what calls before it have left here, and what it has read is never dropped again, for
the graph goes on reading it.

Whatever the package keeps is kept here, so that one number bounds it: 64 MiB for each device (the
host is one), or as many as the environment variable ``FGVP_TABLE_CACHE_MB`` says.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from enum import Enum
from types import FunctionType
from typing import Any, TypeVar

import numpy as np
import torch

_Value = TypeVar("_Value")
_Array = np.ndarray[Any, Any]

HOST = torch.device("cpu")
_LIMIT = "FGVP_TABLE_CACHE_MB"
_DEFAULT_LIMIT_MB = 64.0


def is_capturing(device: torch.device) -> bool:
    """Whether a CUDA graph is being captured on the current stream."""
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def send(arrays: Sequence[_Array], device: torch.device) -> list[torch.Tensor]:
    """Copy int32 and float32 arrays to ``device``: in one transfer, without waiting for it."""
    # Kernels read 16 bytes at a time where tables begin at multiples of 16 bytes.
    starts, size = [], 0
    for array in arrays:
        starts.append(size)
        size += -(-array.size // 4) * 4
    words = np.empty(size, np.int32)
    for start, array in zip(starts, arrays, strict=True):
        words[start : start + array.size] = array.view(np.int32).ravel()
    host = torch.from_numpy(words)
    if device.type == "cuda":
        host = host.pin_memory()
    packed = host.to(device, non_blocking=True)
    tables = []
    for start, array in zip(starts, arrays, strict=True):
        table = packed[start : start + array.size].view(array.shape)
        tables.append(table.view(torch.float32) if array.dtype == np.float32 else table)
    return tables


@dataclass(eq=False)
class _Entry:
    """A value that is kept.

    Attributes:
        value: Holds tables.
        objects: Bytes of the Python objects that value and key are made of.
        memory: Bytes of each piece of memory that they hold, by its address.
        tensors: One tensor in each piece of memory on the device.
        sent: When the tables have arrived; None once that is known.
        streams: Addresses of the streams that the device's allocator knows to use the tables.
    """

    value: Any
    objects: int
    memory: dict[int, int]
    tensors: list[torch.Tensor]
    sent: torch.cuda.Event | None
    streams: set[int]


class TableCache:
    """What is kept for one device: the least recently used is dropped beyond ``limit`` bytes.

    Memory that several values hold counts once, and as long as any of them is kept. What a CUDA
    graph has read is kept forever and not counted.

    Safe for threads, and for streams: whoever asks on another stream than the one that sent a
    table has his stream wait for it, and its memory is not used again before that stream is done.
    """

    def __init__(self, device: torch.device, limit: int) -> None:
        self.device = device
        self.on_gpu = device.type == "cuda"
        self.limit = limit
        self.bytes = 0
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._captured: dict[Hashable, _Entry] = {}
        self._holders: dict[int, int] = {}  # of each piece of memory: how many entries hold it
        self._lock = threading.Lock()

    def has(self, key: Hashable) -> bool:
        """Whether ``key`` is kept."""
        with self._lock:
            return key in self._entries or key in self._captured

    def get(self, key: Hashable, make: Callable[[], _Value]) -> _Value:
        """Return the value of ``key``; see :func:`kept`."""
        capturing = self.on_gpu and is_capturing(self.device)
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                entry = self._captured.get(key)
            elif capturing:
                self._captured[key] = entry
                self._drop(key)
            else:
                self._entries.move_to_end(key)
        if entry is not None:
            if self.on_gpu and not capturing:
                self._use(entry)
            value: _Value = entry.value
            return value
        if capturing:
            raise RuntimeError(
                "a CUDA graph can capture only what was rendered before with the same shapes and "
                "options: call render_batch once in the same way, then capture (its tables must "
                f"not be larger than {_LIMIT}, now {self.limit / 2**20:g})"
            )
        with torch.inference_mode(False):  # a later call may record gradients
            value = make()
        objects, memory, tensors = _footprint((key, value))
        there = [tensor for tensor in tensors if tensor.device == self.device]
        entry = _Entry(value, objects, memory, there, None, set())
        if self.on_gpu:
            entry.sent = torch.cuda.Event()  # type: ignore[no-untyped-call]
            entry.sent.record(torch.cuda.current_stream(self.device))
            entry.streams.add(_stream_address(self.device))
        with self._lock:
            self._drop(key)  # another thread may have made it meanwhile
            self._entries[key] = entry
            self.bytes += objects
            for address, size in memory.items():
                holders = self._holders.get(address, 0)
                self._holders[address] = holders + 1
                self.bytes += 0 if holders else size
            while self.bytes > self.limit:
                self._drop(next(iter(self._entries)))
        return value

    def _drop(self, key: Hashable) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self.bytes -= entry.objects
        for address, size in entry.memory.items():
            self._holders[address] -= 1
            if not self._holders[address]:
                del self._holders[address]
                self.bytes -= size

    def _use(self, entry: _Entry) -> None:
        """Make the tables of ``entry`` safe to read on the current stream."""
        address = _stream_address(self.device)
        if address not in entry.streams:
            stream = torch.cuda.current_stream(self.device)
            for tensor in entry.tensors:
                tensor.record_stream(stream)
            entry.streams.add(address)
        if entry.sent is not None:
            if entry.sent.query():  # type: ignore[no-untyped-call]
                entry.sent = None
            else:
                torch.cuda.current_stream(self.device).wait_event(entry.sent)


def _stream_address(device: torch.device) -> int:
    """The current stream's, without making an object of it, which takes longer."""
    return torch._C._cuda_getCurrentRawStream(device.index)


def _footprint(value: object) -> tuple[int, dict[int, int], list[torch.Tensor]]:
    """What ``value`` takes: ``objects`` and ``memory`` of an entry, and a tensor in each piece."""
    objects, memory = 0, dict[int, int]()
    tensors, waiting, seen = list[torch.Tensor](), [value], set[int]()
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, torch.Tensor):
            storage = item.untyped_storage()
            if storage.nbytes() and storage.data_ptr() not in memory:
                memory[storage.data_ptr()] = storage.nbytes()
                tensors.append(item)
        elif isinstance(item, np.ndarray):
            while isinstance(item.base, np.ndarray):
                item = item.base
            memory[item.ctypes.data] = item.nbytes
        elif not isinstance(item, (type, Enum, FunctionType)):
            objects += sys.getsizeof(item)
            if isinstance(item, (tuple, list)):
                waiting += item
            elif isinstance(item, dict):
                waiting += [*item, *item.values()]
            elif hasattr(item, "__dict__"):
                waiting.append(vars(item))
    return objects, memory, tensors


_CACHES: dict[torch.device, TableCache] = {}


def _cache_of(device: torch.device) -> TableCache:
    """What is kept for ``device``; made with the limit that the environment sets now."""
    text = os.environ.get(_LIMIT, str(_DEFAULT_LIMIT_MB))
    try:
        limit = int(float(text) * 2**20)
    except (ValueError, OverflowError):
        limit = -1
    if limit < 0:
        raise ValueError(f"{_LIMIT} must be a number of megabytes, got {text!r}")
    return _CACHES.setdefault(device, TableCache(device, limit))


def kept(key: Hashable, make: Callable[[], _Value], device: torch.device = HOST) -> _Value:
    """Return what ``make`` makes: the first time, and from then on what it made then.

    Args:
        key: All that the value depends on but the device, and what it is.
        make: Builds the value, of which nothing may be written; its tensors may be on their way.
        device: Where the value's tensors are.

    Raises:
        RuntimeError: The value is missing and a CUDA graph is being captured.
        ValueError: The environment variable that sets the limit is no number of megabytes.
    """
    return (_CACHES.get(device) or _cache_of(device)).get(key, make)


def _has(key: Hashable, device: torch.device) -> bool:
    return device in _CACHES and _CACHES[device].has(key)


def content_tables(arrays: Sequence[_Array], device: torch.device) -> list[torch.Tensor]:
    """Tables with these contents, which must not be written: sent unless they are kept."""
    key = ("contents", *((array.shape, array.dtype.str, array.tobytes()) for array in arrays))
    return kept(key, lambda: send(arrays, device), device)


def numbers_on(numbers: tuple[float, ...], device: torch.device) -> torch.Tensor:
    """fp32 ``[n]``, which must not be written: sent unless it is kept."""
    return kept(
        ("numbers", numbers), lambda: send([np.array(numbers, np.float32)], device)[0], device
    )


def offsets_of(tensors: Sequence[torch.Tensor], device: torch.device) -> torch.Tensor:
    """int64 ``[B]``: where the tensors begin, in elements from the first one's beginning.

    A kernel is handed the first tensor and reaches the others from it. Slices of one tensor, and
    single ones, always lie in the same places, whatever their address.
    """
    first, size = tensors[0].data_ptr(), tensors[0].element_size()
    offsets = tuple([(tensor.data_ptr() - first) // size for tensor in tensors])
    key = ("offsets", offsets)
    if is_capturing(device) and not _has(key, device):
        # Copies made while capturing lie where nobody could know before: write, do not send.
        return torch.stack([torch.full((), offset, device=device) for offset in offsets])

    def make() -> torch.Tensor:
        words = np.array(offsets, np.int64).view(np.int32)
        return send([words], device)[0].view(torch.int64)

    return kept(key, make, device)
