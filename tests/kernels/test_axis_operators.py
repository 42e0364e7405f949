"""Blur and resize matrices against SciPy, Pillow and torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter
from scipy import ndimage

from fgvp_kernels.axis_operators import blur_image, resize_matrix
from fgvp_kernels.torch_backend.canvas import resize_image
from tolerances import GAUSSIAN_MAX, PIL_BLUR_MAX, PIL_BLUR_MEAN, RESIZE_MAX, RESIZE_MEAN

SIGMAS = [0.3, 2.0, 10.0, 16.0, 40.0, 100.0, 1000.0]


def photo(height, width):
    y, x = np.mgrid[:height, :width]
    waves = 127 + 100 * np.sin(x / 7.0) * np.cos(y / 11.0)
    noise = np.random.default_rng(0).normal(0, 20, (height, width, 3))
    return np.clip(waves[:, :, None] + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("shape", [(60, 83), (1, 40), (30, 1300), (336, 504)])
def test_gaussian_equals_scipy(shape, sigma):
    image = photo(*shape).transpose(2, 0, 1)
    ours = blur_image(torch.from_numpy(image).float(), sigma, "gaussian").numpy()
    expected = ndimage.gaussian_filter(
        image.astype(np.float64), (0, sigma, sigma), mode="nearest", truncate=10
    )
    assert np.abs(ours - expected).max() <= GAUSSIAN_MAX


@pytest.mark.parametrize("sigma", [2.0, 10.0, 100.0])
@pytest.mark.parametrize("shape", [(60, 83), (224, 200), (20, 1300)])
def test_pil_blur_equals_pillow(shape, sigma):
    image = photo(*shape)
    levels = torch.from_numpy(image.transpose(2, 0, 1)).float()
    ours = blur_image(levels, sigma, "pil").numpy()
    pillow = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(sigma)))
    difference = np.abs(ours - pillow.transpose(2, 0, 1))
    assert difference.max() <= PIL_BLUR_MAX
    assert difference.mean() <= PIL_BLUR_MEAN


@pytest.mark.parametrize("blur", ["gaussian", "pil"])
@pytest.mark.parametrize("shape", [(1, 1), (2, 17), (300, 1100)])
def test_blur_keeps_constant_pictures(blur, shape):
    image = torch.full((3, *shape), 200.0, dtype=torch.float64)
    for sigma in (0.7, 25.0):
        torch.testing.assert_close(blur_image(image, sigma, blur), image, rtol=0, atol=1e-9)


def test_sigma_zero_changes_nothing():
    image = torch.rand(3, 5, 7)
    assert torch.equal(blur_image(image, 0.0, "gaussian"), image)


@pytest.mark.parametrize(("source", "target"), [(60, 17), (17, 60), (30, 30), (1, 4), (200, 3)])
def test_bicubic_matrix_equals_torch(source, target):
    image = torch.rand(1, 1, source, 2, dtype=torch.float64)
    expected = F.interpolate(image, (target, 2), mode="bicubic", antialias=True)
    torch.testing.assert_close(
        resize_matrix(source, target) @ image[0, 0], expected[0, 0], rtol=0, atol=1e-6
    )


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((400, 600), (336, 504)),
        ((90, 17), (85, 16)),
        ((31, 45), (64, 93)),
        ((350, 20), (40, 1)),
        ((20, 350), (1, 40)),
    ],
)
def test_resized_image_equals_pillow(shape, size):
    image = photo(*shape)
    ours = resize_image(torch.from_numpy(image).permute(2, 0, 1), size, torch.float32)
    pillow = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
    difference = np.abs(ours.permute(1, 2, 0).numpy() - np.asarray(pillow, np.float64))
    assert difference.max() <= RESIZE_MAX
    assert difference.mean() <= RESIZE_MEAN


@pytest.mark.parametrize("sigma", [0.8, 3.0, 20.0])
def test_gaussian_equals_kornia(sigma):
    filters = pytest.importorskip("kornia.filters")
    image = torch.rand(3, 150, 170, dtype=torch.float64) * 255
    side = 2 * math.ceil(6.5 * sigma) + 1
    expected = filters.gaussian_blur2d(image[None], (side, side), (sigma, sigma), "replicate")[0]
    assert (blur_image(image, sigma, "gaussian") - expected).abs().max() <= GAUSSIAN_MAX
