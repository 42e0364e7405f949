"""Tensors on disk, each found by a hash of all that decides its values."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
import uuid
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

_LOG = logging.getLogger(__name__)

_TENSOR = "tensor"
_CHECKSUM = "sha256"
# What a process writes before it looks again how much the others have written.
_UNSEEN_BYTES = 64 << 20


class TensorCache:
    """A folder of tensors, one file each, which several processes may use at once.

    A damaged file counts as none, and so does one under the name of another; a full disk ends the
    storing, not the run.

    Args:
        folder: Made on first use.
        what: Name of the tensors, for the log.
        limit: Bytes that the folder may hold; None for any number. What was used least lately
            makes room for what is new, but nothing that was used since this was opened: a run
            larger than the limit keeps what it stored first.
    """

    def __init__(self, folder: Path, what: str, limit: int | None = None) -> None:
        self.folder = folder
        self._what = what
        self._limit = limit
        self._opened = time.time()
        self._room = 0
        self._writable = True

    def load(self, key: str, device: torch.device) -> torch.Tensor | None:
        """Return the tensor stored under ``key``, or None."""
        path = self._path(key)
        try:
            content = path.read_bytes()  # safe_open refuses paths that are no UTF-8
            tensor = load(content)[_TENSOR]
            length = int.from_bytes(content[:8], "little")
            expected = json.loads(content[8 : 8 + length])["__metadata__"][_CHECKSUM]
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            _LOG.warning("%s is damaged and made anew: %s", path, error)
            return None
        if _checksum(key, tensor) != expected:
            _LOG.warning("%s is damaged and made anew: its checksum differs", path)
            return None
        with suppress(OSError):  # a cache that can only be read
            os.utime(path)
        # A copy in memory of its own: the last bits of a product may depend on the alignment.
        return tensor.to(device, copy=True)

    def store(self, key: str, tensor: torch.Tensor) -> None:
        """Store a tensor; the file appears in one step."""
        if not self._writable:
            return
        kept = tensor.detach().cpu().contiguous()
        content = save({_TENSOR: kept}, {_CHECKSUM: _checksum(key, kept)})
        path = self._path(key)
        partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            if not self._make_room(len(content)):
                self._stop(f"it has reached its limit of {self._limit} bytes")
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(content)
            partial.replace(path)
        except OSError as error:
            with suppress(OSError):
                partial.unlink()
            self._stop(str(error))

    def _stop(self, reason: str) -> None:
        self._writable = False
        _LOG.warning("%s are no longer kept in %s: %s", self._what, self.folder, reason)

    def _make_room(self, size: int) -> bool:
        """Say whether a file of so many bytes may be stored, after old ones made room for it."""
        if self._limit is None:
            return True
        self._room -= size
        if self._room >= 0:
            return True
        slack = min(_UNSEEN_BYTES, self._limit // 16)
        files = sorted(self._files())
        left = self._limit - size - sum(length for _, length, _ in files)
        for used, length, path in files:
            if left >= slack or used >= self._opened:
                break
            path.unlink(missing_ok=True)
            left += length
        self._room = min(left, slack)
        return left >= 0

    def _files(self) -> list[tuple[float, int, Path]]:
        """Return when each file was used last, its bytes and its path."""
        found = []
        for path in self.folder.glob("*/*"):
            with suppress(FileNotFoundError):  # another process was faster
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        return found

    def _path(self, key: str) -> Path:
        # Two levels, since one folder of a hundred thousand files is slow on many file systems.
        return self.folder / key[:2] / f"{key}.safetensors"


def _checksum(key: str, tensor: torch.Tensor) -> str:
    """Return the SHA-256 of a tensor's name, type, shape and values."""
    digest = hashlib.sha256(repr((key, tensor.dtype, tuple(tensor.shape))).encode())
    digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
