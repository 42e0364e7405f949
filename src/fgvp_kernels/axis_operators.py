"""Linear operators along one image axis: blurs and resizes as small dense matrices.

Resizing, the Gaussian with any border rule and Pillow's box passes act on rows and columns
separately, so a whole-image operator is ``Y = A_h · X · A_wᵀ``. The matrices are built once in
float64 with the border rule folded in; two blurs then differ in nothing but a cached matrix.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from fgvp_kernels.device_tables import HOST, kept
from fgvp_kernels.options import Blur

# Above this length a dense product costs more than a convolution by FFT (and its matrix, memory).
_LONGEST_DENSE_AXIS = 1024
# A wide Gaussian is computed at so many points for each sigma, if they are so far apart (pixels).
_NODES_PER_SIGMA = 4.0
_SHORTEST_STEP = 4.0
# Gaussian weights beyond this many sigma are below 1e-10 of the whole.
_GAUSSIAN_REACH = 6.5
_PIL_PASSES = 3
# Rows of a convolution's matrix that are made together; all but those near an end are alike.
_ROWS = 64


def _range(start: int, stop: int) -> torch.Tensor:
    """Whole numbers in float64, on the host whatever the default device and dtype are."""
    return torch.arange(start, stop, dtype=torch.float64, device=HOST)


def gaussian_kernel(sigma: float) -> torch.Tensor:
    """Sampled Gaussian ``exp(-k² / 2σ²)``, normalised: float64 ``[2R + 1]``."""
    radius = math.ceil(_GAUSSIAN_REACH * sigma)
    offsets = _range(-radius, radius + 1)  # [2R + 1]
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2) if sigma > 0 else torch.ones_like(offsets)
    return weights / weights.sum()


def pil_box_kernel(sigma: float) -> torch.Tensor:
    """One of the three box passes of Pillow's ``GaussianBlur(sigma)``: float64 ``[2R + 1]``.

    An extended box (Gwosdek et al., *Theoretical foundations of Gaussian convolution by extended
    box filtering*, SSVM 2011, equations 7, 11 and 14): full weight within ``l`` pixels, a fraction
    ``a`` on the pixel beyond.
    """
    variance = sigma * sigma / _PIL_PASSES
    whole = math.floor((math.sqrt(12.0 * variance + 1.0) - 1.0) / 2.0)
    fraction = (2 * whole + 1) * (whole * (whole + 1) - 3.0 * variance)
    fraction /= 6.0 * (variance - (whole + 1) ** 2)
    kernel = torch.ones(2 * whole + 3, dtype=torch.float64, device=HOST)
    kernel[0] = kernel[-1] = fraction
    return kernel / (2.0 * (whole + fraction) + 1.0)


def replicate_matrix(kernel: torch.Tensor, length: int, passes: int = 1) -> torch.Tensor:
    """Convolution by ``kernel`` on an axis whose border pixel is repeated: ``[length, length]``.

    With several ``passes`` the border is repeated anew for each.
    """
    cumulative = torch.cumsum(kernel, 0)  # [2R + 1]
    cumulative[-1] = 1.0
    reach = passes * (len(kernel) // 2)
    step = _ROWS if length > 2 * reach + _ROWS else length
    matrix = torch.zeros(length, length, dtype=torch.float64, device=HOST)
    alike: dict[tuple[int, int], torch.Tensor] = {}
    for start in range(0, length, step):
        stop = min(start + step, length)
        # What these rows reach is an axis for itself: at its ends the weights have come to nothing,
        # or they are the ends of the whole.
        low, high = max(start - reach, 0), min(stop + reach, length)
        part = (start - low, high - low)
        if part not in alike:
            one_pass = _one_pass(cumulative, high - low)
            rows = one_pass[start - low : stop - low]
            for _ in range(1, passes):
                rows = rows @ one_pass
            alike[part] = rows
        matrix[start:stop, low:high] = alike[part]
    return matrix


def _one_pass(cumulative: torch.Tensor, length: int) -> torch.Tensor:
    """The matrix of one pass of the kernel whose running sum is given: ``[length, length]``."""
    last = len(cumulative) - 1  # 2R
    # Weight of all source pixels <= j for output i: those left of pixel 0 fall onto pixel 0.
    pixels = torch.arange(length, device=HOST)
    reached = (pixels[None, :] - pixels[:, None] + last // 2).clamp(-1, last)  # [length, length]
    up_to = torch.where(reached >= 0, cumulative[reached.clamp(min=0)], 0.0)
    up_to[:, -1] = 1.0  # everything right of the last pixel falls onto it
    return torch.diff(up_to, dim=1, prepend=torch.zeros_like(up_to[:, :1]))


def resize_matrix(
    source: int, target: int, kernel: str = "bicubic", rows: range | None = None
) -> torch.Tensor:
    """Antialiased resize of an axis as Pillow does it: float64 ``[target, source]``.

    The filter (``"bicubic"`` with a = -0.5, or ``"bilinear"``) is stretched by the scale when
    shrinking, cut at the border and normalised. ``rows`` are the rows to make, instead of all.
    """
    scale = source / target
    stretch = max(scale, 1.0)
    rows = range(target) if rows is None else rows
    centre = (_range(rows.start, rows.stop)[:, None] + 0.5) * scale  # [target, 1]
    pixel = _range(0, source)[None, :] + 0.5  # [1, source]
    x = ((pixel - centre) / stretch).abs()  # [target, source]
    if kernel == "bilinear":
        weights = (1.0 - x).clamp(min=0.0)
        return weights / weights.sum(1, keepdim=True)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    weights = torch.where(x < 1.0, near, torch.where(x < 2.0, far, 0.0))
    return weights / weights.sum(1, keepdim=True)


@dataclass(frozen=True, eq=False)
class AxisBlur:
    """The blur of one axis as a product of matrices, ``spread · collect``.

    Attributes:
        collect: ``[R, length]``.
        spread: ``[length, R]``; None where ``collect`` is the whole blur, R = length.
    """

    collect: torch.Tensor
    spread: torch.Tensor | None


def axis_blur(blur: Blur, sigma: float, length: int) -> AxisBlur:
    """Return the blur of an axis, border included, in float64.

    A Gaussian far wider than a pixel leaves so little detail that every ``sigma / 4``-th pixel
    says all: those are computed, the others interpolated by six-point Lagrange polynomials, at an
    error below 0.003 of 255 levels.
    """
    step = sigma / _NODES_PER_SIGMA
    if blur == "gaussian" and step >= _SHORTEST_STEP:
        count = math.ceil((length - 1) / step) + 6
        nodes = _range(-2, count - 2) * step  # [R]
        return AxisBlur(_gaussian_rows(nodes, sigma, length), _lagrange_matrix(length, step, count))
    if blur == "gaussian":
        return AxisBlur(replicate_matrix(gaussian_kernel(sigma), length), None)
    return AxisBlur(replicate_matrix(pil_box_kernel(sigma), length, _PIL_PASSES), None)


def _gaussian_rows(positions: torch.Tensor, sigma: float, length: int) -> torch.Tensor:
    """Gaussian weights of the pixels of a replicated axis at any positions: ``[P, length]``."""
    reach = math.ceil(_GAUSSIAN_REACH * sigma) + math.ceil(3 * sigma / _NODES_PER_SIGMA)
    source = _range(-reach, length + reach)
    weights = torch.exp(-0.5 * ((source[None, :] - positions[:, None]) / sigma) ** 2)
    weights = weights / weights.sum(1, keepdim=True)  # [P, length + 2 reach]
    folded = weights[:, reach : reach + length].clone()
    folded[:, 0] += weights[:, :reach].sum(1)
    folded[:, -1] += weights[:, reach + length :].sum(1)
    return folded


def _lagrange_matrix(length: int, step: float, count: int) -> torch.Tensor:
    """Six-point interpolation from nodes at ``(j - 2) · step`` to pixels: ``[length, count]``."""
    position = _range(0, length) / step
    first = position.floor().clamp(max=count - 6)
    offset = position - first  # of the pixel from the third of its six nodes, in steps
    nodes = _range(-2, 4)  # [6]
    distance = offset[:, None] - nodes  # [length, 6]
    apart = (nodes[:, None] - nodes).fill_diagonal_(1.0)  # [6, 6], of a node from the others
    others = 1.0 - torch.eye(6, dtype=torch.float64, device=HOST)
    # Π (offset - other) / (node - other), over the five others of each node.
    weights = ((distance[:, None] * others + (1.0 - others)) / apart).prod(2)  # [length, 6]
    matrix = torch.zeros(length, count, dtype=torch.float64, device=HOST)
    matrix.scatter_(1, (first[:, None] + _range(0, 6)).long(), weights)
    return matrix


def _axis_blur_on(
    blur: Blur, sigma: float, length: int, device: torch.device, dtype: torch.dtype
) -> AxisBlur:
    """:func:`axis_blur` on a device, kept between calls."""

    def make() -> AxisBlur:
        exact = axis_blur(blur, sigma, length)
        spread = None if exact.spread is None else exact.spread.to(device, dtype)
        return AxisBlur(exact.collect.to(device, dtype), spread)

    return kept(("axis blur", blur, sigma, length, dtype), make, device)


def resize_matrix_on(
    source: int, target: int, device: torch.device, dtype: torch.dtype
) -> torch.Tensor:
    """:func:`resize_matrix` on a device, kept between calls."""
    key = ("resize matrix", source, target, dtype)
    return kept(key, lambda: resize_matrix(source, target).to(device, dtype), device)


def blur_image(image: torch.Tensor, sigma: float, blur: Blur) -> torch.Tensor:
    """Blur ``image`` with a replicated border.

    Args:
        image: float ``[C, H, W]``.
        sigma: Standard deviation in pixels, >= 0.
        blur: ``"gaussian"`` or ``"pil"``.

    Returns:
        float ``[C, H, W]``.
    """
    if sigma == 0:
        return image
    height, width = image.shape[1:]
    wide = blur == "gaussian" and sigma / _NODES_PER_SIGMA >= _SHORTEST_STEP
    if not wide and max(height, width) > _LONGEST_DENSE_AXIS:
        image = _convolve_last_axis(image, sigma, blur)
        return _convolve_last_axis(image.mT, sigma, blur).mT
    rows, columns = (
        _axis_blur_on(blur, sigma, length, image.device, image.dtype) for length in (height, width)
    )
    image = rows.collect @ (image @ columns.collect.mT)  # [C, R_h, R_w]
    if rows.spread is not None and columns.spread is not None:
        image = (rows.spread @ image) @ columns.spread.mT
    return image


def _convolve_last_axis(image: torch.Tensor, sigma: float, blur: Blur) -> torch.Tensor:
    """Blur along the last axis by FFT; each of Pillow's passes repeats the border anew."""
    kernel = gaussian_kernel(sigma) if blur == "gaussian" else pil_box_kernel(sigma)
    length, radius = image.shape[-1], len(kernel) // 2
    size = length + 4 * radius
    spectrum = torch.fft.rfft(kernel.to(image), size)
    for _ in range(1 if blur == "gaussian" else _PIL_PASSES):
        padded = F.pad(image, (radius, radius), mode="replicate")  # [C, H, W + 2R]
        image = torch.fft.irfft(torch.fft.rfft(padded, size) * spectrum, size)
        image = image[..., 2 * radius : 2 * radius + length]
    return image
