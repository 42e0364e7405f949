"""Launches: what is launched again in the same way costs the host little."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import index
from typing import Any

import torch
from triton.compiler import CompiledKernel

# Launches that are ready, each with the integers and constants it was compiled for.
_READY: dict[object, tuple[Callable[..., None], tuple[int, ...], list[Any]]] = {}
_MOST_READY = 4096  # sizes that never come back would fill the memory


def launch(
    kernel: Any,
    grid: tuple[int, int, int],
    tensors: Sequence[torch.Tensor],
    integers: tuple[int, ...],
    floats: Sequence[float] = (),
    **constants: Any,
) -> None:
    """Launch ``kernel`` on the device of its tensors.

    From the second time on Triton's own dispatch is left out, which is most of what a launch costs
    the host. It compiles for more than constants: for dtypes, for integers that are 1 or a multiple
    of 16, for numbers that are whole, for addresses that are multiples of 16. Whatever it looks at
    either decides here which kernel is ready, or is of one kind always, as floats are.

    Args:
        kernel: A ``@triton.jit`` function that takes tensors, integers, floats and constants, in
            this order.
        grid: Programs.
        tensors: All on one device.
        integers: Numbers that are whole in every call.
        floats: Numbers that need not be, alpha 1 no less than alpha 0.5.
        constants: Its compile-time arguments, and options of the compiler.
    """
    key, bits = None, 0
    for tensor in tensors:
        bits |= tensor.data_ptr()
    if bits % 16 == 0:
        key = (
            kernel.fn, grid, tensors[0].get_device(), integers,
            *[tensor.dtype for tensor in tensors], *constants, *constants.values(),
        )  # fmt: skip
        ready = _READY.get(key)
        if ready is not None:
            run, integers, more = ready
            run(*tensors, *integers, *map(float, floats), *more)
            return
    integers = tuple(map(index, integers))
    compiled = kernel[grid](*tensors, *integers, *map(float, floats), **constants)
    if key is not None and isinstance(compiled, CompiledKernel):  # the interpreter has none
        if len(_READY) >= _MOST_READY:
            _READY.clear()
        more = [constants[name] for name in kernel.arg_names if name in constants]
        _READY[key] = (compiled[grid], integers, more)
