"""Linear operators along one image axis: blurs and resizes as small dense matrices.

Resizing, the Gaussian with any border rule and Pillow's box passes act on rows and columns
separately, so a whole-image operator is ``Y = A_h · X · A_wᵀ``. The matrices are built once in
float64 with the border rule folded in; two blurs then differ in nothing but a cached matrix.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F

from fgvp_kernels.options import Blur

# Above this length a dense product costs more than a convolution by FFT (and its matrix, memory).
_LONGEST_DENSE_AXIS = 1024
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


def resize_matrix(source: int, target: int) -> torch.Tensor:
    """Antialiased bicubic resize of an axis as Pillow does it: float64 ``[target, source]``.

    The cubic filter (a = -0.5) is stretched by the scale when shrinking, cut at the border and
    normalised.
    """
    scale = source / target
    stretch = max(scale, 1.0)
    centre = (torch.arange(target, dtype=torch.float64)[:, None] + 0.5) * scale  # [target, 1]
    pixel = torch.arange(source, dtype=torch.float64)[None, :] + 0.5  # [1, source]
    x = ((pixel - centre) / stretch).abs()  # [target, source]
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    weights = torch.where(x < 1.0, near, torch.where(x < 2.0, far, 0.0))
    return weights.div(weights.sum(1, keepdim=True))


def blur_matrix(blur: Blur, sigma: float, length: int) -> torch.Tensor:
    """The whole blur of one axis, border included: float64 ``[length, length]``."""
    if blur == "gaussian":
        return replicate_matrix(gaussian_kernel(sigma), length)
    one_pass = replicate_matrix(pil_box_kernel(sigma), length)
    return torch.linalg.matrix_power(one_pass, _PIL_PASSES)


@lru_cache(maxsize=32)
def _blur_matrix_on(
    blur: Blur, sigma: float, length: int, device: torch.device, dtype: torch.dtype
) -> torch.Tensor:
    return blur_matrix(blur, sigma, length).to(device, dtype)


@lru_cache(maxsize=32)
def resize_matrix_on(
    source: int, target: int, device: torch.device, dtype: torch.dtype
) -> torch.Tensor:
    """:func:`resize_matrix` on a device, kept between calls."""
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
    image = _blur_last_axis(image, sigma, blur)  # rows
    return _blur_last_axis(image.mT, sigma, blur).mT  # columns


def _blur_last_axis(image: torch.Tensor, sigma: float, blur: Blur) -> torch.Tensor:
    length = image.shape[-1]
    if length <= _LONGEST_DENSE_AXIS:
        return image @ _blur_matrix_on(blur, sigma, length, image.device, image.dtype).mT
    if blur == "gaussian":
        return _convolve_last_axis(image, gaussian_kernel(sigma))
    for _ in range(_PIL_PASSES):  # each pass repeats the border anew, as Pillow's do
        image = _convolve_last_axis(image, pil_box_kernel(sigma))
    return image


def _convolve_last_axis(image: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Convolution by a symmetric ``kernel`` with a replicated border, by FFT."""
    length, radius = image.shape[-1], len(kernel) // 2
    padded = F.pad(image, (radius, radius), mode="replicate")  # [C, H, W + 2R]
    size = padded.shape[-1] + 2 * radius
    spectrum = torch.fft.rfft(padded, size)
    spectrum = spectrum * torch.fft.rfft(kernel.to(image), size)
    image = torch.fft.irfft(spectrum, size)
    return image[..., 2 * radius : 2 * radius + length]
