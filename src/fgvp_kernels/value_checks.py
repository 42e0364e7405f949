"""Checks of what tensors hold: done at once on a CPU, gathered and read back once from a GPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from fgvp_kernels.device_tables import is_capturing

Judge = Callable[[float, float], None]


@dataclass(eq=False)
class ValueChecks:
    """The ranges that a call looks at.

    Reading a value back makes the host wait for the device, so a call does it once, for all its
    arguments together, and not at all while a CUDA graph is being captured, where it cannot.
    """

    _ranges: list[torch.Tensor] = field(default_factory=list)
    _judges: list[Judge] = field(default_factory=list)

    def add(self, values: torch.Tensor, judge: Judge) -> None:
        """Have ``judge(low, high)`` raise if the range of ``values`` is wrong; NaN gives NaN."""
        if values.numel() == 0 or is_capturing(values.device):
            return
        low, high = torch.aminmax(values.detach())
        if values.device.type == "cpu":
            judge(low.item(), high.item())
            return
        self._ranges.append(torch.stack([low, high]).to(torch.float64))
        self._judges.append(judge)

    def run(self) -> None:
        """Look at what is still to be looked at."""
        if not self._ranges:
            return
        found = torch.stack(self._ranges).tolist()
        for judge, (low, high) in zip(self._judges, found, strict=True):
            judge(low, high)
