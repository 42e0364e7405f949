"""An image with its candidates, as they are drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fgvp_eval.data.records import Box


@dataclass(frozen=True, eq=False)
class MaskedImage:
    """An image and its N candidates, N >= 1.

    Attributes:
        pixels: ``[H, W, 3]`` uint8 RGB.
        masks: ``[N, H, W]`` bool on any device.
        boxes_xyxy: N boxes in pixels of the image.
        resized: The same image and candidates at the size at which their masks were found, if
            prompts are drawn there as the released code draws them; ``masks`` are empty then.
    """

    pixels: NDArray[np.uint8]
    masks: torch.Tensor
    boxes_xyxy: Sequence[Box]
    resized: MaskedImage | None = None

    def __len__(self) -> int:
        return len(self.boxes_xyxy)

    def drawn_on(self, order: str) -> MaskedImage:
        """Return the image that a prompt is drawn on.

        Args:
            order: Of ``render_batch``; ``render_first`` is ReCLIP's, which always draws on the
                image itself, at its own size.
        """
        return self if self.resized is None or order == "render_first" else self.resized

    def digest(self, with_masks: bool) -> str:
        """Return a hash of the pixels, the boxes and, if asked, the masks; not of ``resized``."""
        facts = (self.pixels.shape, tuple(self.boxes_xyxy), with_masks)
        digest = hashlib.sha256(repr(facts).encode())
        digest.update(self.pixels.tobytes())
        if with_masks:
            digest.update(np.packbits(self.masks.cpu().numpy()).tobytes())
        return digest.hexdigest()
