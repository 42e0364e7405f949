"""Tables for walking a drawing back: transposed matrices, and which outputs show a canvas pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fgvp_kernels.axis_operators import axis_blur, resize_matrix
from fgvp_kernels.backends.triton_geometry import bilinear_rows, output_taps
from fgvp_kernels.backends.triton_plan import GROUP, Plan
from fgvp_kernels.backends.triton_products import Matrix, Products, make_products
from fgvp_kernels.device_tables import kept, send
from fgvp_kernels.frames import Frame
from fgvp_kernels.options import Blur

_Steps = list[tuple[str, list[tuple[int, Matrix]]]]


@dataclass(frozen=True, eq=False)
class Transposes:
    """What walking a plan's drawings back needs on the device.

    Attributes:
        shown, shares, spans: See ``gather_kernel``.
        resize, blur, masks: Products that undo the resize of images, the blur, and the resize of
            soft masks, in this order; no blur where none is drawn, no resize where canvases are the
            images.
    """

    shown: torch.Tensor
    shares: torch.Tensor
    spans: torch.Tensor
    resize: Sequence[tuple[str, Products]]
    blur: Sequence[tuple[str, Products]]
    masks: Sequence[tuple[str, Products]]


def transposes_of(plan: Plan) -> Transposes:
    """Return what walking back drawings of ``plan`` needs; it is kept between calls."""
    return kept(("transposes", plan.layout), lambda: _make_transposes(plan), plan.device)


def _make_transposes(plan: Plan) -> Transposes:
    geometry, device, images = plan.geometry, plan.device, plan.layout.images
    shown, shares = _transposed_taps(plan.frames)
    spans, row = [], 0
    for image in images:
        spans.append([image.first, row, image.candidates])
        row += -(-image.candidates // GROUP)
    tables = send([shown, shares, np.array(spans, np.int32)], device)
    sizes = [image.size for image in images]
    pairs = list(zip(sizes, geometry.canvas_sizes, strict=True))
    resize: _Steps = []
    masks: _Steps = []
    blur: _Steps = []
    if geometry.resize is not None:
        resize = [
            ("columns", [(h, _resize_back(width, w)) for (_, width), (h, w) in pairs]),
            ("rows", [(width, _resize_back(height, h)) for (height, width), (h, _) in pairs]),
        ]
        each = [pair for pair, i in zip(pairs, images, strict=True) for _ in range(i.candidates)]
        masks = [
            ("columns", [(h, _masks_back(width, w)) for (_, width), (h, w) in each]),
            ("rows", [(width, _masks_back(height, h)) for (height, width), (h, _) in each]),
        ]
    if plan.layout.blur is not None:
        kind, sigma = plan.layout.blur
        axes = [
            [_blur_back(kind, sigma, length) for length in size] for size in geometry.canvas_sizes
        ]
        blur = _blur_steps(geometry.canvas_sizes, axes)
    resize_there, masks_there, blur_there = (
        [(axis, make_products(entries, device)) for axis, entries in steps]
        for steps in (resize, masks, blur)
    )
    return Transposes(tables[0], tables[1], tables[2], resize_there, blur_there, masks_there)


def _blur_steps(
    sizes: Sequence[tuple[int, int]], axes: Sequence[Sequence[tuple[Matrix, Matrix | None]]]
) -> _Steps:
    """Undo ``spread`` along both axes, then ``collect``, see ``axis_blur``."""
    spread_x: list[tuple[int, Matrix]] = []
    spread_y: list[tuple[int, Matrix]] = []
    collect_y: list[tuple[int, Matrix]] = []
    collect_x: list[tuple[int, Matrix]] = []
    for (height, width), ((y, y_spread), (x, x_spread)) in zip(sizes, axes, strict=True):
        collected = width
        if x_spread is not None and y_spread is not None:
            collected = x_spread.shape[0]
            spread_x.append((height, x_spread))
            spread_y.append((collected, y_spread))
        collect_y.append((collected, y))
        collect_x.append((height, x))
    steps = [("columns", spread_x), ("rows", spread_y), ("rows", collect_y), ("columns", collect_x)]
    return [(axis, entries) for axis, entries in steps if entries]


def _resize_back(source: int, target: int) -> Matrix:
    key = ("resize back", source, target)
    return kept(key, lambda: Matrix.of(resize_matrix(source, target, "bilinear").T))


def _masks_back(source: int, target: int) -> Matrix:
    key = ("masks back", source, target)
    return kept(key, lambda: Matrix.of(bilinear_rows(source, target).T))


def _blur_back(blur: Blur, sigma: float, length: int) -> tuple[Matrix, Matrix | None]:
    def make() -> tuple[Matrix, Matrix | None]:
        exact = axis_blur(blur, sigma, length)
        spread = None if exact.spread is None else Matrix.of(exact.spread.T)
        return Matrix.of(exact.collect.T), spread

    return kept(("blur back", blur, sigma, length), make)


def _transposed_taps(frames: Sequence[Frame]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """int32 and fp32 ``[B, 4, L]``: which outputs show a canvas row or column, and how much."""
    length = max(max(frame.canvas) for frame in frames)
    shown = np.full((len(frames), 4, length), -1, np.int32)
    shares = np.zeros((len(frames), 4, length), np.float32)
    for i, frame in enumerate(frames):
        origin = frame.window_origin()
        for axis in (0, 1):
            taps = output_taps(frame, axis, origin[axis])
            first, second, fraction = (
                part.numpy() for part in (taps.first, taps.second, taps.fraction)
            )
            output = np.arange(len(first), dtype=np.int32)
            shown[i, 2 * axis, first] = output
            shares[i, 2 * axis, first] = 1.0 - fraction
            mixed = second != first
            shown[i, 2 * axis + 1, second[mixed]] = output[mixed]
            shares[i, 2 * axis + 1, second[mixed]] = fraction[mixed]
    return shown, shares
