"""SAM's image embeddings on disk, found by what they were computed from."""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from fgvp_eval.cache_folder import cache_folder
from fgvp_eval.sam_models import SamModel

_LOG = logging.getLogger(__name__)

# To be raised when the code between an image and its embedding changes.
_CODE_VERSION = 1
_TENSOR = "embedding"


class EmbeddingCache:
    """A folder of embeddings, one file each.

    A damaged file counts as none, and a full disk ends the storing, not the run.

    Args:
        folder: Made on first use.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writable = True

    def load(self, key: str, device: torch.device) -> torch.Tensor | None:
        """Return the embedding ``[1, C, h, w]`` stored under ``key``, or None."""
        path = self._path(key)
        if not path.is_file():
            return None
        try:
            return load_file(path, device=str(device))[_TENSOR]
        except (OSError, SafetensorError, KeyError) as error:
            _LOG.warning("%s is damaged and made anew: %s", path, error)
            return None

    def store(self, key: str, embedding: torch.Tensor) -> None:
        """Store an embedding ``[1, C, h, w]``; the file appears in one step."""
        if not self._writable:
            return
        path = self._path(key)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file({_TENSOR: embedding.detach().cpu().contiguous()}, partial)
            partial.replace(path)
        except (OSError, SafetensorError) as error:
            self._writable = False
            with suppress(OSError):
                partial.unlink()
            _LOG.warning("embeddings are no longer kept in %s: %s", self._folder, error)

    def _path(self, key: str) -> Path:
        # Two levels, since one folder of a hundred thousand files is slow on many file systems.
        return self._folder / key[:2] / f"{key}.safetensors"


def default_cache() -> EmbeddingCache:
    """Return the cache in ``$FGVP_CACHE_DIR``, else in the platform's folder for caches."""
    return EmbeddingCache(cache_folder() / "sam-embeddings")


def embedding_key(model: SamModel, image: NDArray[np.uint8]) -> str:
    """Return the name of an embedding: a hash of all that decides its values.

    Args:
        model: The SAM.
        image: ``[H, W, 3]`` uint8 RGB.
    """
    sam = model.sam
    facts = (
        _CODE_VERSION,
        model.sha256,
        sam.image_format,
        sam.image_encoder.img_size,
        sam.pixel_mean.flatten().tolist(),
        sam.pixel_std.flatten().tolist(),
        str(sam.pixel_mean.dtype),
        # Devices and releases differ in the last bits, and a resumed run must not.
        _device_name(sam.device),
        torch.__version__,
        metadata.version("segment-anything"),
        image.shape,
    )
    digest = hashlib.sha256(repr(facts).encode())
    digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
