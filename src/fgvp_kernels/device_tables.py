"""Small tables on a device, kept between calls.

Kernels read sizes, taps, matrices and lists of work from tables. Most depend on shapes and options
alone, so they are sent once and kept: a repeated call copies nothing to the device and waits for
nothing. That is also what a CUDA graph needs, in whose capture nothing can be sent: a capture reads
what calls before it have left here, and what it has read is never dropped again, for the graph goes
on reading it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch

_Value = TypeVar("_Value")
_Array = np.ndarray[Any, Any]


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
class _Entry(Generic[_Value]):
    value: _Value
    sent: torch.cuda.Event | None  # None once the tables are known to have arrived


class DeviceCache(Generic[_Value]):
    """The values of the last ``maxsize`` keys; values hold tensors on a device.

    Safe for threads, and for streams: whoever asks on another stream than the one that sent a
    table has his stream wait for it.
    """

    def __init__(self, maxsize: int) -> None:
        self._maxsize = maxsize
        self._entries: OrderedDict[Hashable, _Entry[_Value]] = OrderedDict()
        self._captured: dict[Hashable, _Entry[_Value]] = {}
        self._lock = threading.Lock()

    def has(self, key: Hashable) -> bool:
        """Whether ``key`` is kept."""
        with self._lock:
            return key in self._entries or key in self._captured

    def get(self, key: Hashable, make: Callable[[], _Value], device: torch.device) -> _Value:
        """Return the value of ``key``; ``make`` builds it the first time.

        Args:
            key: All that the value depends on, the device included.
            make: Builds the value; its tensors may still be on their way.
            device: Where the value's tensors are.

        Raises:
            RuntimeError: The value is missing and a CUDA graph is being captured.
        """
        capturing = is_capturing(device)
        with self._lock:
            entry = self._entries.get(key) or self._captured.get(key)
            if entry is not None:
                if capturing:
                    self._captured[key] = entry
                elif key in self._entries:
                    self._entries.move_to_end(key)
        if entry is not None:
            if entry.sent is not None and not capturing:
                if entry.sent.query():  # type: ignore[no-untyped-call]
                    entry.sent = None
                else:
                    torch.cuda.current_stream(device).wait_event(entry.sent)
            return entry.value
        if capturing:
            raise RuntimeError(
                "a CUDA graph can capture only what was rendered before with the same shapes and "
                "options: call render_batch once in the same way, then capture"
            )
        with torch.inference_mode(False):  # a later call may record gradients
            value = make()
        sent = None
        if device.type == "cuda":
            sent = torch.cuda.Event()  # type: ignore[no-untyped-call]
            sent.record(torch.cuda.current_stream(device))
        with self._lock:
            self._entries[key] = _Entry(value, sent)
            if len(self._entries) > self._maxsize:
                self._entries.popitem(last=False)
        return value


_CONTENTS: DeviceCache[list[torch.Tensor]] = DeviceCache(64)
_OFFSETS: DeviceCache[torch.Tensor] = DeviceCache(256)


def content_tables(arrays: Sequence[_Array], device: torch.device) -> list[torch.Tensor]:
    """Tables with these contents, which must not be written: sent unless they are kept."""
    key = (device, *((array.shape, array.dtype.str, array.tobytes()) for array in arrays))
    return _CONTENTS.get(key, lambda: send(arrays, device), device)


def offsets_of(tensors: Sequence[torch.Tensor], device: torch.device) -> torch.Tensor:
    """int64 ``[B]``: where the tensors begin, in elements from the first one's beginning.

    A kernel is handed the first tensor and reaches the others from it. Slices of one tensor, and
    single ones, always lie in the same places, whatever their address.
    """
    first, size = tensors[0].data_ptr(), tensors[0].element_size()
    offsets = tuple([(tensor.data_ptr() - first) // size for tensor in tensors])
    if is_capturing(device) and not _OFFSETS.has((device, offsets)):
        # Copies made while capturing lie where nobody could know before: write, do not send.
        return torch.stack([torch.full((), offset, device=device) for offset in offsets])

    def make() -> torch.Tensor:
        words = np.array(offsets, np.int64).view(np.int32)
        return send([words], device)[0].view(torch.int64)

    return _OFFSETS.get((device, offsets), make, device)
