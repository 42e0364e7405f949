"""An image with its candidates, as they are drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fgvp_eval.data.records import Box


@dataclass(frozen=True, eq=False)
class MaskedImage:
    """An image and its N candidates.

    Attributes:
        pixels: ``[H, W, 3]`` RGB, uint8 or, of a program, float in 0 to 1.
        masks: ``[N, H, W]`` on any device, bool or, of a program, float in 0 to 1 (soft).
        boxes_xyxy: N boxes in pixels of the image.
        resized: The same image and candidates at the size at which their masks were found, if
            prompts are drawn there as the released code draws them; ``masks`` are empty then.
    """

    pixels: NDArray[Any]
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
        facts = (self.pixels.shape, str(self.pixels.dtype), tuple(self.boxes_xyxy), with_masks)
        digest = hashlib.sha256(repr(facts).encode())
        digest.update(self.pixels.tobytes())
        if with_masks:
            soft = self.masks.is_floating_point()
            masks = (self.masks.float() if soft else self.masks).cpu().numpy()  # [N, H, W]
            digest.update((masks if soft else np.packbits(masks)).tobytes())
        return digest.hexdigest()
