"""Linear operators along one image axis: blurs and resizes as small dense matrices.

Resizing, the Gaussian with any border rule and Pillow's box passes act on rows and columns
separately, so a whole-image operator is ``Y = A_h · X · A_wᵀ``. The matrices are built once in
float64 with the border rule folded in; two blurs then differ in nothing but a cached matrix.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F

from fgvp_kernels.options import Blur

# Above this length a dense product costs more than a convolution by FFT (and its matrix, memory).
_LONGEST_DENSE_AXIS = 1024
# A wide Gaussian is computed at so many points for each sigma, if they are so far apart (pixels).
_NODES_PER_SIGMA = 4.0
_SHORTEST_STEP = 4.0
# Gaussian weights beyond this many sigma are below 1e-10 of the whole.
_GAUSSIAN_REACH = 6.5
_PIL_PASSES = 3


def gaussian_kernel(sigma: float) -> torch.Tensor:
    """Sampled Gaussian ``exp(-k² / 2σ²)``, normalised: float64 ``[2R + 1]``."""
    radius = math.ceil(_GAUSSIAN_REACH * sigma)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)  # [2R + 1]
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
    kernel = torch.ones(2 * whole + 3, dtype=torch.float64)
    kernel[0] = kernel[-1] = fraction
    return kernel / (2.0 * (whole + fraction) + 1.0)


def replicate_matrix(kernel: torch.Tensor, length: int) -> torch.Tensor:
    """Convolution by ``kernel`` on an axis whose border pixel is repeated: ``[length, length]``."""
    radius = len(kernel) // 2
    cumulative = torch.cumsum(kernel, 0)  # [2R + 1]
    # Weight of all source pixels <= j for output i: those left of pixel 0 fall onto pixel 0.
    source = torch.arange(length)[None, :]
    target = torch.arange(length)[:, None]
    reach = (source - target + radius).clamp(-1, 2 * radius)  # [length, length]
    up_to = torch.where(reach >= 0, cumulative[reach.clamp(min=0)], 0.0)
    up_to[:, -1] = 1.0  # everything right of the last pixel falls onto it
    return torch.diff(up_to, dim=1, prepend=torch.zeros(length, 1, dtype=torch.float64))


def resize_matrix(source: int, target: int, kernel: str = "bicubic") -> torch.Tensor:
    """Antialiased resize of an axis as Pillow does it: float64 ``[target, source]``.

    The filter (``"bicubic"`` with a = -0.5, or ``"bilinear"``) is stretched by the scale when
    shrinking, cut at the border and normalised.
    """
    scale = source / target
    stretch = max(scale, 1.0)
    centre = (torch.arange(target, dtype=torch.float64)[:, None] + 0.5) * scale  # [target, 1]
    pixel = torch.arange(source, dtype=torch.float64)[None, :] + 0.5  # [1, source]
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
        nodes = (torch.arange(count, dtype=torch.float64) - 2.0) * step  # [R]
        return AxisBlur(_gaussian_rows(nodes, sigma, length), _lagrange_matrix(length, step, count))
    if blur == "gaussian":
        return AxisBlur(replicate_matrix(gaussian_kernel(sigma), length), None)
    one_pass = replicate_matrix(pil_box_kernel(sigma), length)
    return AxisBlur(one_pass @ one_pass @ one_pass, None)


def _gaussian_rows(positions: torch.Tensor, sigma: float, length: int) -> torch.Tensor:
    """Gaussian weights of the pixels of a replicated axis at any positions: ``[P, length]``."""
    reach = math.ceil(_GAUSSIAN_REACH * sigma) + math.ceil(3 * sigma / _NODES_PER_SIGMA)
    source = torch.arange(-reach, length + reach, dtype=torch.float64)
    weights = torch.exp(-0.5 * ((source[None, :] - positions[:, None]) / sigma) ** 2)
    weights = weights / weights.sum(1, keepdim=True)  # [P, length + 2 reach]
    folded = weights[:, reach : reach + length].clone()
    folded[:, 0] += weights[:, :reach].sum(1)
    folded[:, -1] += weights[:, reach + length :].sum(1)
    return folded


def _lagrange_matrix(length: int, step: float, count: int) -> torch.Tensor:
    """Six-point interpolation from nodes at ``(j - 2) · step`` to pixels: ``[length, count]``."""
    position = torch.arange(length, dtype=torch.float64) / step
    first = position.floor().clamp(max=count - 6)
    offset = position - first  # of the pixel from the third of its six nodes, in steps
    nodes = torch.arange(-2, 4, dtype=torch.float64)  # [6]
    distance = offset[:, None] - nodes  # [length, 6]
    apart = (nodes[:, None] - nodes).fill_diagonal_(1.0)  # [6, 6], of a node from the others
    others = 1.0 - torch.eye(6, dtype=torch.float64)
    # Π (offset - other) / (node - other), over the five others of each node.
    weights = ((distance[:, None] * others + (1.0 - others)) / apart).prod(2)  # [length, 6]
    matrix = torch.zeros(length, count, dtype=torch.float64)
    matrix.scatter_(1, first.long()[:, None] + torch.arange(6), weights)
    return matrix


@lru_cache(maxsize=32)
def _axis_blur_on(
    blur: Blur, sigma: float, length: int, device: torch.device, dtype: torch.dtype
) -> AxisBlur:
    with torch.inference_mode(False):  # a later call may record gradients
        exact = axis_blur(blur, sigma, length)
        spread = None if exact.spread is None else exact.spread.to(device, dtype)
        return AxisBlur(exact.collect.to(device, dtype), spread)


@lru_cache(maxsize=32)
def resize_matrix_on(
    source: int, target: int, device: torch.device, dtype: torch.dtype
) -> torch.Tensor:
    """:func:`resize_matrix` on a device, kept between calls."""
    with torch.inference_mode(False):  # a later call may record gradients
        return resize_matrix(source, target).to(device, dtype)


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
