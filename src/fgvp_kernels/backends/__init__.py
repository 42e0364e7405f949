"""Choosing a backend: what can run here, and why something cannot."""

from __future__ import annotations

from collections.abc import Callable

import torch

from fgvp_kernels.batch import RenderBatch

Renderer = Callable[[RenderBatch, torch.Tensor], None]

BACKENDS = ("torch",)


def available_backends() -> tuple[str, ...]:
    """Names of the backends that can run on this machine, the preferred one first."""
    return BACKENDS


def select_backend(name: str, device: torch.device) -> Renderer:
    """Return the renderer called ``name``, or for ``"auto"`` the best one for ``device``.

    Raises:
        ValueError: No backend has that name.
    """
    if name not in ("auto", *BACKENDS):
        raise ValueError(f"backend must be one of auto, {', '.join(BACKENDS)}; got {name!r}")
    from fgvp_kernels.backends import torch_backend

    return torch_backend.render
