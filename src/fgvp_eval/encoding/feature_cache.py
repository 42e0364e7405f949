"""CLIP's features of candidates on disk, found by all that decides their bits.

A file holds what one model makes of the candidates of a group of images under one mode. Texts,
post-processing and the other modes are no part of its name: a run that differs in those neither
draws nor encodes again.
"""

from __future__ import annotations

import hashlib
import logging
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from fgvp_eval.encoding.clip_models import ClipModel
from fgvp_eval.encoding.drawing import DrawStyle
from fgvp_eval.machine.cache_folder import cache_folder
from fgvp_eval.machine.devices import device_name
from fgvp_eval.machine.tensor_cache import TensorCache
from fgvp_eval.machine.versions import package_version
from fgvp_eval.masks.masked_image import MaskedImage
from fgvp_kernels import Mode, algorithm_version, available_backends
from fgvp_kernels.modes import Region
from fgvp_kernels.source_digest import source_digest

_LOG = logging.getLogger(__name__)

# Of a group of images, the number of a model and the name of a mode.
Part = tuple[int, str]

LIMIT = 4 << 30

_PACKAGES = ("numpy", "open_clip_torch", "timm", "torch", "torchvision", "triton")


class FeatureCache:
    """Features of the candidates of groups of images.

    Args:
        tensors: Where they are kept.
        device: Where they are computed.
    """

    def __init__(self, tensors: TensorCache, device: torch.device) -> None:
        self._tensors, self._device = tensors, device
        self._environment = _environment(device)
        self._read = self._made = 0

    def keys(
        self,
        images: Sequence[MaskedImage],
        clips: Sequence[ClipModel],
        styles: Mapping[str, DrawStyle],
        batch_size: int,
    ) -> dict[Part, str]:
        """Return the name of the features of each model under each mode.

        Args:
            images: The group, in its order.
            clips: The models.
            styles: How each mode is drawn.
            batch_size: Pictures that are encoded at once. Where memory does not suffice they are
                fewer, and the name is the same: a later run gets the features that this one used.
        """
        looked_at = {
            mode: (style.order, Mode(mode).spec.region is Region.MASK)
            for mode, style in styles.items()
        }
        digests = {
            (order, masked): [image.drawn_on(order).digest(masked) for image in images]
            for order, masked in set(looked_at.values())
        }
        names = {}
        for index, clip in enumerate(clips):
            for mode, style in styles.items():
                model = (clip.identity(), str(clip.dtype))
                drawn = (mode, style, digests[looked_at[mode]])
                facts = (self._environment, model, drawn, batch_size)
                names[index, mode] = hashlib.sha256(repr(facts).encode()).hexdigest()
        return names

    def load(self, keys: Mapping[Part, str]) -> dict[Part, torch.Tensor]:
        """Return those features ``[n, D]`` that are there, on the device."""
        loaded = {part: self._tensors.load(key, self._device) for part, key in keys.items()}
        found = {part: features for part, features in loaded.items() if features is not None}
        self._read += len(found)
        return found

    def store(self, keys: Mapping[Part, str], made: Mapping[Part, torch.Tensor]) -> None:
        """Keep features ``[n, D]``."""
        self._made += len(made)
        for part, features in made.items():
            self._tensors.store(keys[part], features)

    def log(self) -> None:
        """Say how much came from the cache."""
        total = self._read + self._made
        if total:
            folder = self._tensors.folder
            _LOG.info("%d of %d batches of features came from %s", self._read, total, folder)


def open_feature_cache(device: torch.device) -> FeatureCache:
    """Return the cache in ``$FGVP_CACHE_DIR``, else in the platform's folder for caches."""
    tensors = TensorCache(cache_folder() / "clip-features", "features", LIMIT)
    return FeatureCache(tensors, device)


def _environment(device: torch.device) -> tuple[Any, ...]:
    """Return what decides the last bits besides the data and the model."""
    # All of it: a list of what lies between an image and its features falls behind the code.
    code = source_digest(Path(__file__).parents[1])
    versions = {name: package_version(name) for name in _PACKAGES}
    processor = (platform.machine(), torch.backends.cpu.get_cpu_capability())
    products = (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32)
    return (
        algorithm_version(),
        code,
        available_backends(),
        versions,
        torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        device_name(device),
        processor,
        torch.get_num_threads(),
        products,
    )
