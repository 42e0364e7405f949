"""SAM's image embeddings on disk, found by what they were computed from."""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fgvp_eval.machine.cache_folder import cache_folder
from fgvp_eval.machine.devices import device_name
from fgvp_eval.machine.tensor_cache import TensorCache
from fgvp_eval.masks.sam_models import SamModel

# To be raised when the code between an image and its embedding changes, or how it is kept.
_CODE_VERSION = 3


class EmbeddingCache(TensorCache):
    """Embeddings ``[1, C, h, w]``, without a limit.

    Args:
        folder: Made on first use.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "embeddings")


def default_cache() -> EmbeddingCache:
    """Return the cache in ``$FGVP_CACHE_DIR``, else in the platform's folder for caches."""
    return EmbeddingCache(cache_folder() / "sam-embeddings")


def embedding_key(model: SamModel, seen: NDArray[np.uint8]) -> str:
    """Return the name of an embedding: a hash of all that decides its values.

    Args:
        model: The SAM.
        seen: ``[h, w, 3]`` uint8 RGB, the image at the size of SAM's input, not yet padded.
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
        device_name(sam.device),
        torch.__version__,
        metadata.version("segment-anything"),
        seen.shape,
    )
    digest = hashlib.sha256(repr(facts).encode())
    digest.update(np.ascontiguousarray(seen).tobytes())
    return digest.hexdigest()
