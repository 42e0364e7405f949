"""What a kernel was compiled for is what it is launched with, in whatever order calls come.

The interpreter compiles nothing, so a process of its own compiles for a GPU that is not there and
hands every launch to a driver that looks at it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

CALLS = """
import os, sys
os.environ.pop("TRITON_INTERPRET", None)
sys.path.insert(0, BENCHMARKS)
from bench_host import NoDevice
import numpy as np
import torch
from triton.runtime import driver
from fgvp_kernels import RenderOptions, render_batch
from fgvp_kernels.triton_backend import rendering

seen = []


class Watcher(NoDevice):
    def launcher_cls(self, source, metadata):
        names = source.fn.arg_names
        places = {names[index]: attributes for (index,), attributes in source.attrs.items()}

        def launch(*arguments):
            given = dict(zip(names, arguments[-len(names):], strict=True))
            seen.append((metadata.name, given))
            for name, kind in source.signature.items():
                value = given[name]
                if kind == "constexpr":
                    baked = [v for (i,), v in source.constants.items() if names[i] == name]
                    assert len(baked) == 1 and baked[0] == value, (metadata.name, name, value)
                elif kind == "fp32":
                    assert type(value) is float, (metadata.name, name, value)
                elif kind == "i32":
                    assert type(value) is int and -(2**31) <= value < 2**31, (name, value)
                else:
                    dtypes = {"u8": "uint8", "i8": "int8", "i32": "int32", "i64": "int64",
                              "fp16": "float16", "bf16": "bfloat16", "fp32": "float32"}
                    assert str(value.dtype) == "torch." + dtypes[kind.lstrip("*")], (name, kind)
                if any(what == "tt.divisibility" for what, _ in places.get(name, [])):
                    number = value.data_ptr() if isinstance(value, torch.Tensor) else value
                    assert number % 16 == 0, (metadata.name, name, number)

        return launch


driver.set_active(Watcher())
os.environ["TRITON_INTERPRET"] = "1"  # lets the backend accept tensors on the CPU


def draw(mode, size=16, dtype=torch.float16, shape=(16, 16), **options):
    image = torch.zeros(3, *shape, dtype=torch.uint8)
    masks = torch.ones(2, *shape, dtype=torch.bool)
    seen.clear()
    render_batch(image, masks, mode, size=size, normalize=None if dtype == torch.uint8 else "clip",
                 dtype=dtype, backend="triton", options=RenderOptions(**options))
    return list(seen)


"""

ALPHAS = """
for alphas in ([1, 0.5, 0, 1.0], [0, 0.5, 1], [0.5, 1, np.float32(0.25), 1]):
    for alpha in alphas:
        drawn = [given["alpha"] for name, given in draw("mask", alpha=alpha) if "alpha" in given]
        assert drawn == [float(alpha)], (alpha, drawn)
"""

APART = """
for alpha in (1, 0.5, 0):
    for color in ("green", "random"):
        drawn = [given["alpha"] for name, given in draw("mask", alpha=alpha, tint_color=color)
                 if "alpha" in given]
        assert drawn == [float(alpha)], (alpha, drawn)
"""

SIZES = """
for size, width, dtype in (
    (16, 2, torch.float16), (17, 2, torch.float16), (1, 4, torch.float16), (16, 3, torch.uint8),
    (16, 32, torch.float32), (16, 2, torch.float16),
):
    assert draw("contour", size, dtype, (size, size), line_width=width)
"""


@pytest.mark.parametrize("calls", [ALPHAS, APART, SIZES], ids=["alphas", "apart", "sizes"])
def test_what_is_compiled_is_what_is_given(calls):
    pytest.importorskip("triton")
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    script = f"BENCHMARKS = {str(ROOT / 'benchmarks')!r}\n{CALLS}{calls}"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
