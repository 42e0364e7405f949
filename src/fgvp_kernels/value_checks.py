"""Checks of what arguments hold: of a tensor on a CPU at once, on a GPU gathered and read once."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch

from fgvp_kernels.device_tables import is_capturing

Judge = Callable[[float, float], None]

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

_LONGEST = 80  # characters of a value in a message


def shown(value: object) -> str:
    """``repr(value)`` for a message, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python does not write integers of thousands of digits
        return f"a very large {type(value).__name__}"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def nearest(word: str, names: Iterable[str]) -> str:
    """The end of a message about an unknown name: those most like it, if any are."""
    near = difflib.get_close_matches(word[:_LONGEST], names, n=3, cutoff=0.4)
    return f": did you mean {', '.join(near)}?" if near else ""


def check_dense(name: str, tensor: torch.Tensor) -> None:
    """Raise TypeError unless ``tensor`` is an ordinary one, whose values lie in memory."""
    kind = (
        "meta" if tensor.is_meta
        else "quantized" if tensor.is_quantized
        else "nested" if tensor.is_nested
        else "sparse" if tensor.layout is not torch.strided
        else None
    )  # fmt: skip
    if kind is not None:
        raise TypeError(f"{name} must be a dense tensor that holds values, got a {kind} one")


@dataclass(eq=False)
class ValueChecks:
    """The ranges that a call looks at.

    Reading a value back makes the host wait for the device, so a call does it once, for all its
    arguments together, and not at all while a CUDA graph is being captured, where it cannot.
    """

    _ranges: list[torch.Tensor] = field(default_factory=list)
    _judges: list[Judge] = field(default_factory=list)

    def add(self, values: torch.Tensor, judge: Judge) -> None:
        """Have ``judge(low, high)`` raise if the range of ``values`` is wrong.

        A single NaN makes both ends NaN (``torch.aminmax`` hands it on), which lies in no range: a
        judge must ask whether the range is right, ``not (low >= 0 and high <= 1)``, since whether
        it is wrong, ``low < 0 or high > 1``, is false of NaN.
        """
        if values.numel() == 0 or is_capturing(values.device):
            return
        low, high = torch.aminmax(values.detach())
        if values.device.type == "cpu":
            judge(low.item(), high.item())
            return
        # float64 for float64 alone, which not every device has.
        self._ranges.append(
            torch.stack([low, high]).to(torch.promote_types(low.dtype, torch.float32))
        )
        self._judges.append(judge)

    def run(self) -> None:
        """Look at what is still to be looked at."""
        if not self._ranges:
            return
        ranges = torch.stack(self._ranges).tolist()  # [n, 2]
        for judge, (low, high) in zip(self._judges, ranges, strict=True):
            judge(low, high)
