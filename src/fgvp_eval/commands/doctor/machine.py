"""The devices of this machine, and which of them is used."""

from __future__ import annotations

import os

import torch

from fgvp_eval.commands.doctor.report import Line, one_line
from fgvp_eval.commands.doctor.versions import driver_version
from fgvp_eval.errors import UsageError
from fgvp_eval.machine.devices import choose_device, cpu_name

_OLDEST_CAPABILITY = (8, 0)  # the oldest that the kernels are compiled for in tests
_GIB = 1 << 30


def chosen_device(name: str) -> torch.device:
    """Return the device that ``name`` stands for, or the CPU where there is no such device."""
    try:
        return choose_device(name)
    except UsageError:
        return torch.device("cpu")


def device_lines(name: str) -> list[Line]:
    """Return each GPU that torch can use, the processor, the memory, and the device ``name``."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    lines = [_gpu(index) for index in range(count)] or [_no_gpu()]
    threads = f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()}"
    lines.append(Line("CPU", f"{cpu_name()}, {threads}"))
    if hasattr(os, "sysconf"):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        lines.append(Line("memory", f"{memory / _GIB:.1f} GiB"))
    try:
        lines.append(Line("--device", str(choose_device(name))))
    except UsageError as error:
        lines.append(Line("--device", f"{name}; cpu instead", "failed", one_line(error)))
    return lines


def _gpu(index: int) -> Line:
    name = f"GPU {index}"
    try:
        facts = torch.cuda.get_device_properties(index)
        free, total = torch.cuda.mem_get_info(index)
    except (RuntimeError, AssertionError) as error:
        return Line(name, "cannot be used", "failed", one_line(error))
    architecture = f"sm_{facts.major}{facts.minor}"
    if torch.version.hip:
        architecture = facts.gcnArchName.partition(":")[0]
    value = f"{facts.name}, {free / _GIB:.1f} of {total / _GIB:.1f} GiB free, {architecture}"
    if torch.version.hip or (facts.major, facts.minor) >= _OLDEST_CAPABILITY:
        return Line(name, value)
    oldest = "sm_{}{}".format(*_OLDEST_CAPABILITY)
    return Line(name, value, "warning", f"the Triton kernels are tested for {oldest} and newer")


def _no_gpu() -> Line:
    if not driver_version():
        return Line("GPU", "none", "ok", "everything runs on the CPU")
    if torch.version.cuda is None:
        reason = "the machine has an NVIDIA GPU, but this torch is built without CUDA"
    else:
        reason = (
            "the machine has an NVIDIA GPU that torch does not see: CUDA_VISIBLE_DEVICES hides it, "
            f"or its driver is too old for CUDA {torch.version.cuda}"
        )
    return Line("GPU", "none", "warning", reason)
