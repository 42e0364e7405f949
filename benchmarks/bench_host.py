"""Host time of a call of the Triton backend, on a machine without a GPU.

    python benchmarks/bench_host.py [--json FILE]

Kernels are compiled for sm_90 and handed to a driver that launches nothing, so what is timed is
Python: checks, tables, buffers, dispatch. A real launch adds 2 to 3 µs each.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

os.environ.pop("TRITON_INTERPRET", None)  # decides at import whether kernels are interpreted

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

from bench_render import make_scene, mask_forms
from fgvp_kernels import render_batch
from fgvp_kernels.triton_backend import rendering  # noqa: F401  (imports the kernels)
from timing import environment, take_turns, write_json


class _Utilities:
    def load_binary(self, name: str, kernel: bytes, shared: int, device: int) -> tuple[int, ...]:
        return 0, 0, 32, 0, 1024  # module, function, registers, spills, threads

    def unload_module(self, module: int) -> None:
        pass

    def get_device_properties(self, device: int) -> dict[str, int]:
        return {"max_shared_mem": 232448, "multiprocessor_count": 132}


class NoDevice:
    """A driver of Triton that compiles for an H100 and launches nothing."""

    utils = _Utilities()

    def __init__(self) -> None:
        self.launches: list[str] = []

    def launcher_cls(self, source: Any, metadata: Any) -> Any:
        return lambda *arguments: self.launches.append(metadata.name)

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int | None = None) -> int:
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--masks", type=int, default=64)
    parser.add_argument("--size", type=int, default=336)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    nowhere = NoDevice()
    driver.set_active(nowhere)
    os.environ["TRITON_INTERPRET"] = "1"  # lets the backend accept tensors on the CPU
    images, masks = make_scene(1, args.masks, 480, 640, torch.device("cpu"))
    out = torch.empty(args.masks, 3, args.size, args.size, dtype=torch.float16)
    forms = {name: form for name, (form, _) in mask_forms(masks).items()}
    del forms["uint8"]  # looking at all their values on a CPU would be all the time there is

    def render(form: Any) -> None:
        render_batch(
            images[0], form, "blur_reverse_mask", size=args.size, normalize="clip",
            dtype=torch.float16, backend="triton", out=out,
        )  # fmt: skip

    launches = {}
    for name, (form, *_) in forms.items():
        render(form)  # compiles
        nowhere.launches.clear()
        render(form)
        launches[name] = len(nowhere.launches)
    calls = {name: lambda form=form: render(form) for name, (form, *_) in forms.items()}
    timings = take_turns(calls, args.rounds)
    for name, timing in timings.items():
        print(
            f"{name:8} {1e3 * timing.median:7.0f} µs ({1e3 * timing.low:.0f} to "
            f"{1e3 * timing.high:.0f}), {launches[name]} launches"
        )
    if args.json:
        settings = {"masks": args.masks, "size": args.size, "rounds": args.rounds}
        record = {"settings": settings, "launches": launches, "milliseconds": timings}
        write_json(args.json, record | {"environment": environment()})


if __name__ == "__main__":
    main()
