"""Run lengths of many masks at once, on the device they are on: a thousandth of their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, eq=False)
class MaskRuns:
    """N masks as the pixels at which each changes, column by column as COCO runs go.

    Attributes:
        changes: ``[R]`` int64, positions x·H + y at which a mask differs from the pixel before;
            a mask that begins with a set pixel has a change at 0. Ascending within each mask.
        counts: ``[N]`` int64, how many changes each mask has; they lie one after another.
        size: (H, W) of the masks.
    """

    changes: torch.Tensor
    counts: torch.Tensor
    size: tuple[int, int]

    @classmethod
    def encode(cls, masks: torch.Tensor) -> MaskRuns:
        """Return the runs of masks ``[N, H, W]`` bool; waits for the device once, not N times."""
        height, width = masks.shape[1:]
        columns = masks.transpose(1, 2).flatten(1)  # [N, W*H]
        differs = columns.clone()
        differs[:, 1:] ^= columns[:, :-1]
        owner, position = differs.nonzero(as_tuple=True)  # [R], [R]
        return cls(position, torch.bincount(owner, minlength=len(masks)), (height, width))

    @classmethod
    def join(cls, parts: Sequence[MaskRuns]) -> MaskRuns:
        """Return the masks of all ``parts``, at least one, one after another."""
        changes = torch.cat([part.changes for part in parts])
        return cls(changes, torch.cat([part.counts for part in parts]), parts[0].size)

    def __len__(self) -> int:
        return len(self.counts)

    def select(self, index: torch.Tensor) -> MaskRuns:
        """Return the masks ``index`` ``[K]`` int64, in that order."""
        starts = self.counts.cumsum(0) - self.counts  # [N]
        counts = self.counts[index]  # [K]
        first = counts.cumsum(0) - counts  # [K]
        shift = torch.repeat_interleave(starts[index] - first, counts)  # [R']
        source = shift + torch.arange(len(shift), device=shift.device)  # [R']
        return MaskRuns(self.changes[source], counts, self.size)

    def decode(self) -> torch.Tensor:
        """Return the masks, ``[N, H, W]`` bool on the device."""
        height, width = self.size
        owner = torch.repeat_interleave(
            torch.arange(len(self), device=self.counts.device), self.counts
        )  # [R]
        flips = torch.zeros(
            (len(self), width * height), dtype=torch.uint8, device=self.changes.device
        )
        flips[owner, self.changes] = 1
        # Sums wrap at 256, which leaves their parity, and with it the pixel, as it is.
        set_pixels = flips.cumsum(1, dtype=torch.uint8) & 1  # [N, W*H]
        return set_pixels.view(-1, width, height).transpose(1, 2).contiguous().bool()

    def to_coco(self) -> list[dict[str, Any]]:
        """Return uncompressed COCO RLE dicts; the runs are copied to the CPU in one piece."""
        height, width = self.size
        changes = torch.split(self.changes.cpu(), self.counts.tolist())
        ends = torch.tensor([height * width])
        return [
            {
                "size": [height, width],
                "counts": torch.diff(torch.cat([mask, ends]), prepend=ends.new_zeros(1)).tolist(),
            }
            for mask in changes
        ]
