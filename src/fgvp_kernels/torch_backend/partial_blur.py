"""The blur of a long canvas at a few of its pixels, straight from the picture it enlarges.

The canvas of a thin picture can be thousands of times larger than the picture and than what the
output shows of it, and so would be a matrix that blurs it. Between two pixels of the picture the
canvas is a straight line, so a blurred pixel is a sum over the picture's pixels, whose weights
follow from the sums of the kernel and of its first moment up to each of them.

The canvas itself has whole levels, this sum has none rounded: the two differ by less than a level,
and the less the more pixels the kernel spans.
"""

from __future__ import annotations

import torch

from fgvp_kernels.axis_operators import gaussian_kernel, pil_box_kernel
from fgvp_kernels.device_tables import HOST
from fgvp_kernels.frames import Size
from fgvp_kernels.options import Blur

_CHUNK_BYTES = 16 << 20


def blur_pixels(
    levels: torch.Tensor,
    canvas: Size,
    rows: torch.Tensor | None,
    columns: torch.Tensor | None,
    sigma: float,
    blur: Blur,
) -> torch.Tensor:
    """Blur the canvas that enlarges a picture, with a replicated border, at some of its pixels.

    Args:
        levels: float ``[C, H, W]``, the picture.
        canvas: (h, w), no smaller than the picture, which is enlarged bilinearly.
        rows, columns: int64 pixels of the canvas; None for all.
        sigma: Standard deviation in pixels of the canvas, > 0.
        blur: ``"gaussian"`` or ``"pil"``.

    Returns:
        float ``[C, rows, columns]``.
    """
    matrices = []
    for axis, pixels in ((1, rows), (2, columns)):
        length, source = canvas[axis - 1], levels.shape[axis]
        pixels = torch.arange(length, device=HOST) if pixels is None else pixels
        step = max(1, _CHUNK_BYTES // (8 * source))
        parts = [_weights(part, length, source, sigma, blur) for part in torch.split(pixels, step)]
        matrices.append(torch.cat([part.to(levels) for part in parts]))
    return matrices[0] @ levels @ matrices[1].mT


def _weights(
    pixels: torch.Tensor, length: int, source: int, sigma: float, blur: Blur
) -> torch.Tensor:
    """Weights of an axis of ``source`` pixels in the ``pixels`` [n] of its blurred enlargement.

    With K the kernel and u(x) = scale · (x + 1/2) - 1/2 the place of canvas pixel x, source pixels
    j and j + 1 are mixed by clamp(u - j, 0, 1), and so blurred by E(j) - E(j + 1), where
    E(j) = Σ K(k) max(0, u(p + k) - j) is a partial sum of K and of k · K.

    Returns:
        float64 ``[n, source]``.
    """
    if blur == "gaussian":
        kernel = gaussian_kernel(sigma)[None]  # [1, 2R + 1]
    else:
        kernel = _folded_box_passes(pixels, length, pil_box_kernel(sigma))  # [n, 2R + 1]
    radius = kernel.shape[1] // 2
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64, device=HOST)
    tails = torch.stack([kernel, kernel * offsets])  # [2, 1 | n, 2R + 1]
    tails = torch.nn.functional.pad(tails.flip(2).cumsum(2).flip(2), (0, 1))
    scale = source / length
    numbers = torch.arange(source, dtype=torch.float64, device=HOST)  # j
    x = pixels.to(torch.float64)[:, None]
    start = torch.ceil((numbers + 0.5) / scale - 0.5 - x)  # [n, source], first k with u >= j
    places = (start + radius).clamp(0, 2 * radius + 1).long()
    mass, moment = tails.expand(2, len(pixels), -1).gather(2, places.expand(2, -1, -1))
    beyond = (scale * (x + 0.5) - 0.5 - numbers) * mass + scale * moment  # E, [n, source]
    shares = torch.nn.functional.pad(beyond[:, :-1] - beyond[:, 1:], (1, 1))
    shares[:, 0] = 1.0
    return shares[:, :-1] - shares[:, 1:]


def _folded_box_passes(pixels: torch.Tensor, length: int, box: torch.Tensor) -> torch.Tensor:
    """Three passes of ``box`` as one kernel about each pixel: float64 ``[n, 6R + 1]``.

    Between passes the border is repeated anew, so what a pass takes from beyond the border counts
    as the border pixel's in the next.
    """
    radius = 3 * (len(box) // 2)
    size = 2 * radius + 1
    place = pixels[:, None] + torch.arange(
        -radius, radius + 1, device=HOST
    )  # [n, size], on the axis
    inside = place.clamp(0, length - 1)
    index = inside - pixels[:, None] + radius
    spectrum = torch.fft.rfft(box, size)
    turn = torch.roll(torch.eye(1, size, dtype=torch.float64, device=HOST), radius, 1)
    kernel = turn.expand(len(pixels), -1)
    for _ in range(3):
        kernel = torch.zeros_like(kernel).scatter_add_(1, index, kernel)
        kernel = torch.fft.irfft(torch.fft.rfft(kernel) * spectrum, size)
        kernel = kernel.roll(-(len(box) // 2), 1)
    return kernel
