"""An image with its candidates, as they are drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fgvp_eval.records import Box


@dataclass(frozen=True, eq=False)
class MaskedImage:
    """An image and its N candidates, N >= 1.

    Attributes:
        pixels: ``[H, W, 3]`` uint8 RGB.
        masks: ``[N, H, W]`` bool on any device.
        boxes_xyxy: N boxes in pixels of the image.
    """

    pixels: NDArray[np.uint8]
    masks: torch.Tensor
    boxes_xyxy: Sequence[Box]

    def __len__(self) -> int:
        return len(self.boxes_xyxy)

    def digest(self, with_masks: bool) -> str:
        """Return a hash of the pixels, the boxes and, if asked, the masks."""
        facts = (self.pixels.shape, tuple(self.boxes_xyxy), with_masks)
        digest = hashlib.sha256(repr(facts).encode())
        digest.update(self.pixels.tobytes())
        if with_masks:
            digest.update(np.packbits(self.masks.cpu().numpy()).tobytes())
        return digest.hexdigest()
