"""Choosing a backend: what can run here, and why something cannot."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack

import torch

from fgvp_kernels.batch import RenderBatch
from fgvp_kernels.value_checks import shown

Renderer = Callable[[RenderBatch, torch.Tensor], None]

BACKENDS = ("torch", "triton")


def available_backends() -> tuple[str, ...]:
    """Names of the backends that can run on this machine."""
    reason = why_no_triton(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    return ("torch",) if reason else BACKENDS


def select_backend(name: str, batch: RenderBatch) -> Renderer:
    """Return the renderer called ``name``, or for ``"auto"`` the fastest that can draw ``batch``.

    Raises:
        ValueError: No backend has that name.
        RuntimeError: The backend asked for cannot run here, or cannot draw this; it says why.
    """
    if not isinstance(name, str) or name not in ("auto", *BACKENDS):
        raise ValueError(f"backend must be one of auto, {', '.join(BACKENDS)}; got {shown(name)}")
    device = batch.images[0].image.device
    # On a CPU there is only Triton's interpreter, which is for tests and must be asked for.
    if name == "triton" or (name == "auto" and device.type != "cpu"):
        reason = why_no_triton(device)
        if reason is None:
            from fgvp_kernels.triton_backend import rendering

            reason = rendering.unsupported(batch)
            if reason is None:
                return rendering.render
            reason = f"it does not draw this: {reason}"
        if name == "triton":
            raise RuntimeError(f"backend 'triton' is not available: {reason}")
    from fgvp_kernels.torch_backend import rendering as torch_rendering

    return torch_rendering.render


def draw(renderer: Renderer, batch: RenderBatch, out: torch.Tensor) -> None:
    """Have ``renderer`` draw ``batch`` into ``out``, within ``torch.autocast`` as outside it."""
    kinds = [kind for kind in {"cpu", out.device.type} if torch.is_autocast_enabled(kind)]
    if not kinds:  # entering contexts takes longer than asking
        renderer(batch, out)
        return
    with ExitStack() as without:
        for kind in kinds:
            without.enter_context(torch.autocast(kind, enabled=False))
        renderer(batch, out)


def why_no_triton(device: torch.device) -> str | None:
    """Return why the Triton backend cannot run on ``device``, or None if it can."""
    try:
        if sys.modules.get("triton") is None and importlib.util.find_spec("triton") is None:
            return "triton is not installed"
    except ValueError:  # a module that was set to None
        return "triton is not installed"
    if device.type == "cuda":
        return None
    if device.type != "cpu":
        return f"it runs on CUDA and ROCm devices, not on {device.type}"
    if os.environ.get("TRITON_INTERPRET") != "1":
        return "the images are on the CPU (set TRITON_INTERPRET=1 to run its interpreter)"
    return None
