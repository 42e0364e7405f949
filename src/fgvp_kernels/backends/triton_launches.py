"""Launches made ready: what is launched again in the same way costs the host little."""

from __future__ import annotations

from typing import Any

import torch
from triton.compiler import CompiledKernel


class Launches:
    """Kernels that calls of equal shapes and options launch, each under a name of its own."""

    def __init__(self) -> None:
        self._ready: dict[object, tuple[CompiledKernel, list[Any]]] = {}

    def launch(
        self, name: object, kernel: Any, grid: tuple[int, int, int], *arguments: Any,
        **constants: Any,
    ) -> None:  # fmt: skip
        """Launch ``kernel``.

        From the second time on Triton's own dispatch is left out, which is most of what a launch
        costs the host. It looks at what kernels are compiled for: integers and dtypes, which a
        name stands for, and whether addresses are multiples of 16, which is looked at here.

        Args:
            name: Distinguishes the launches of a plan, and so their integers and dtypes.
            kernel: A ``@triton.jit`` function.
            grid: Programs.
            arguments: Its arguments, tensors and numbers.
            constants: Its compile-time arguments, and options of the compiler.
        """
        bits = 0
        for argument in arguments:
            if type(argument) is torch.Tensor:
                bits |= argument.data_ptr()
        aligned = bits % 16 == 0
        if aligned and name in self._ready:
            ready, more = self._ready[name]
            ready[grid](*arguments, *more)
            return
        compiled = kernel[grid](*arguments, **constants)
        if aligned and isinstance(compiled, CompiledKernel):  # the interpreter compiles nothing
            more = [constants[key] for key in kernel.arg_names if key in constants]
            self._ready[name] = (compiled, more)
