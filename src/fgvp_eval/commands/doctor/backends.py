"""Which backends can draw here, and whether what they draw is right.

Small pictures are compared with values computed here, in float64 and straight from the definition
of each prompt. Nothing but the mask forms is shared with the renderer.
"""

from __future__ import annotations

import importlib
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fgvp_eval.commands.doctor.report import Line, State, one_line
from fgvp_kernels import PackedMasks, RenderOptions, render_batch
from fgvp_kernels.backends import BACKENDS, why_no_triton

ALLOWED_LEVELS = 0.5  # what the renderer promises, in steps of 255
_HEIGHT, _WIDTH = 22, 30
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_GREEN = np.array([0.0, 255.0, 0.0])
_MEAN, _STD = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)

Levels = NDArray[np.float64]


@dataclass(frozen=True)
class _Case:
    """A prompt to draw.

    Attributes:
        name: What the reader is told.
        mode: A mode whose effect is outside of the mask, or ``mask``, whose effect is inside.
        changed: Levels where the effect is, ``[H, W, 3]`` or ``[H, W, 1]``, from the image's.
        masks: From bool ``[N, H, W]`` to the form that is passed.
        sigma: Of the blur, in pixels.
        half: Draw normalised fp16, as for a CLIP on a GPU, instead of fp32.
    """

    name: str
    mode: str
    changed: Callable[[Levels], Levels]
    masks: Callable[[torch.Tensor], Any] = field(default=lambda masks: masks)
    sigma: float = 3.0
    half: bool = False


def backend_lines(device: torch.device) -> list[Line]:
    """Return for each backend whether it can draw on ``device``, and how far off it draws."""
    lines = []
    for name in BACKENDS:
        reason = why_no_triton(device) if name == "triton" else None
        if reason is None:
            lines.append(_drawing(name, device))
        else:
            # Where there is no GPU nothing is lost: the torch backend draws.
            state: State = "warning" if device.type == "cuda" else "not checked"
            lines.append(Line(name, f"not available on {device.type}", state, reason))
    return lines


def _drawing(backend: str, device: torch.device) -> Line:
    try:
        errors = {case.name: _error(case, backend, device) for case in _cases()}
    except _drawing_errors() as error:
        return Line(backend, "available", "failed", f"{type(error).__name__}: {one_line(error)}")
    worst = max(errors, key=lambda name: errors[name])
    value = f"draws on {device.type}, {errors[worst]:.3f} levels off at most"
    wrong = [name for name, levels in errors.items() if not levels <= ALLOWED_LEVELS]
    if wrong:
        reason = f"{ALLOWED_LEVELS} are allowed; wrong: {', '.join(wrong)}"
        return Line(backend, value, "failed", reason)
    return Line(backend, value, "ok", f"{len(errors)} prompts, {ALLOWED_LEVELS} are allowed")


def _drawing_errors() -> tuple[type[Exception], ...]:
    """Return what a backend may raise on a sick machine.

    A driver or a kernel that fails is a RuntimeError; a compiler that is missing or fails, one of
    the others.
    """
    known: tuple[type[Exception], ...] = (
        *(RuntimeError, ValueError, ImportError, OSError, subprocess.SubprocessError),
    )
    try:
        return (*known, importlib.import_module("triton.errors").TritonError)
    except ImportError:
        return known


def _cases() -> list[_Case]:
    def blurred(sigma: float) -> Callable[[Levels], Levels]:
        return lambda levels: dense_gaussian(levels, sigma)

    def packed(masks: torch.Tensor) -> PackedMasks:
        return PackedMasks.pack(masks)

    blur = "blur_reverse_mask"
    return [
        _Case("blur of sigma 3", blur, blurred(3.0)),
        _Case("blur of sigma 100", blur, blurred(100.0), sigma=100.0),
        _Case("blur, packed masks", blur, blurred(3.0), packed),
        _Case("blur, RLE masks", blur, blurred(3.0), _run_lengths),
        _Case("blur, soft masks", blur, blurred(3.0), lambda masks: 0.75 * masks.float()),
        _Case("blur, normalised fp16", blur, blurred(3.0), half=True),
        _Case("grey", "grayscale_reverse_mask", lambda levels: (levels @ _LUMA)[..., None]),
        _Case("tint outside", "reverse_mask", lambda levels: 0.5 * levels + 0.5 * _GREEN),
        _Case("tint inside", "mask", lambda levels: 0.5 * levels + 0.5 * _GREEN),
    ]


def _error(case: _Case, backend: str, device: torch.device) -> float:
    """Return by how many levels a drawing is off at its worst value; NaN if that is one."""
    image, masks = _picture()
    form = case.masks(torch.from_numpy(masks).to(device))
    drawn = render_batch(
        torch.from_numpy(image).permute(2, 0, 1).contiguous().to(device),
        form,
        case.mode,
        options=RenderOptions(sigma=case.sigma),
        normalize=(_MEAN, _STD) if case.half else None,
        dtype=torch.float16 if case.half else torch.float32,
        backend=backend,
    )  # [N, 3, H, W]
    values = drawn.permute(0, 2, 3, 1).double().cpu().numpy()  # [N, H, W, 3]
    if case.half:
        values = values * np.array(_STD) + np.array(_MEAN)
    levels = image.astype(np.float64)  # [H, W, 3]
    weight = masks[..., None] * (form.max().item() if _is_soft(form) else 1.0)  # [N, H, W, 1]
    kept = 1.0 - weight if case.mode == "mask" else weight
    expected = kept * levels + (1.0 - kept) * case.changed(levels)  # [N, H, W, 3]
    return float(np.abs(255.0 * values - expected).max())


def _is_soft(form: Any) -> bool:
    return isinstance(form, torch.Tensor) and form.is_floating_point()


def dense_gaussian(levels: Levels, sigma: float) -> Levels:
    """Blur ``[H, W, 3]``: weights ``exp(-k² / 2σ²)`` out to 8 sigma, the border pixel repeated."""
    reach = int(8 * sigma) + 1
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    for axis in (0, 1):
        length = levels.shape[axis]
        sources = np.clip(np.arange(length)[:, None] + offsets, 0, length - 1)  # [length, taps]
        taken = np.take(levels, sources, axis=axis)  # the axis becomes [length, taps]
        levels = np.tensordot(taken, weights / weights.sum(), axes=(axis + 1, 0))
    return levels


def _picture() -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return noise ``[H, W, 3]`` and masks ``[3, H, W]``: an ellipse, a corner, and nothing."""
    image = np.random.default_rng(0).integers(0, 256, (_HEIGHT, _WIDTH, 3), dtype=np.uint8)
    y, x = np.mgrid[:_HEIGHT, :_WIDTH]
    ellipse = ((y - 10) / 6) ** 2 + ((x - 16) / 9) ** 2 < 1
    return image, np.stack([ellipse, (y < 7) & (x < 11), np.zeros_like(ellipse)])


def _run_lengths(masks: torch.Tensor) -> list[Mapping[str, Any]]:
    """Return masks as uncompressed COCO RLE: runs down the columns, the first one of zeros."""
    found: list[Mapping[str, Any]] = []
    for mask in masks.cpu().numpy():
        flat = np.concatenate([[False], mask.T.ravel()])
        edges = np.flatnonzero(np.diff(flat))
        counts = np.diff([0, *edges, mask.size]).tolist()
        found.append({"size": list(mask.shape), "counts": counts})
    return found
