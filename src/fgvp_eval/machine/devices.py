"""The device of a process, and its threads."""

from __future__ import annotations

import os
import platform
import warnings
from pathlib import Path

import torch

from fgvp_eval.errors import UsageError


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """Return the device that ``name`` stands for; ``auto`` is a GPU if there is one.

    Args:
        name: ``auto`` or a name that torch knows; without a number it is one GPU for each process.
        local_rank: Number of this process among those of its machine.

    Raises:
        UsageError: There is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that some kinds will be no more
            device = torch.device(name)
        if device.type == "cuda" and device.index is None:
            device = torch.device("cuda", local_rank % max(1, torch.cuda.device_count()))
        if device.type == "cpu" and device.index:
            raise ValueError("there is one CPU device, without a number")
        # Some kinds can be named, or given memory, but do not compute.
        torch.ones(1, device=device).item()
    except Exception as error:  # each kind of device has its own for its absence
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"--device {name} cannot be used: {reason}") from None
    return device


def device_name(device: torch.device) -> str:
    """Return what tells one kind of device from another."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def use_one_thread(device: torch.device) -> None:
    """Let a CPU compute with one thread, unless ``OMP_NUM_THREADS`` says how many.

    The last bits of a product depend on the number of threads, and ``torchrun`` gives one to each
    of several processes; so a run gives the same on any number of them. Large models are worth
    more threads than that; the small ones of the demo are not.
    """
    if device.type == "cpu" and not os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(1)


def cpu_name() -> str:
    """Return the processor's name as the system has it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
