"""Prompts as CLIP saw them, and the sheets that show them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from fgvp_eval.encoding.clip_models import PictureSpec
from fgvp_eval.encoding.prompt_strips import as_seen, prompt_strip, stacked
from fgvp_kernels import render_batch

SPEC = PictureSpec((48, 48), (0.48, 0.46, 0.41), (0.27, 0.26, 0.28))
MODES = ("blur_reverse_mask", "crop")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_as_seen_is_what_the_renderer_draws_in_bytes(dtype: torch.dtype) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    masks = torch.zeros(2, 40, 60, dtype=torch.bool)
    masks[0, 5:20, 5:30] = masks[1, 10:38, 20:50] = True
    normalised = render_batch(
        pixels, masks, MODES, size=48, normalize=(SPEC.mean, SPEC.std), dtype=dtype
    )
    in_bytes = render_batch(pixels, masks, MODES, size=48).movedim(2, -1).numpy()
    seen = as_seen(normalised, SPEC)
    assert seen.shape == (2, 2, 48, 48, 3)
    assert seen.dtype == np.uint8
    assert np.abs(seen.astype(int) - in_bytes).max() <= 1


def pictures(side: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (2, 3, side, side, 3), dtype=np.uint8)


def holds(sheet: np.ndarray, picture: np.ndarray) -> bool:
    windows = np.lib.stride_tricks.sliding_window_view(sheet, picture.shape)
    rows, columns, _ = np.nonzero((windows[..., 0, 0, :] == picture[0, 0]).all(-1))
    return any(
        np.array_equal(sheet[y : y + len(picture), x : x + len(picture)], picture)
        for y, x in zip(rows, columns, strict=True)
    )


@pytest.mark.parametrize(("side", "zoom"), [(64, 3), (224, 1)])
def test_strip_holds_every_picture_with_its_pixels(side: int, zoom: int) -> None:
    seen = pictures(side)
    notes = [["24.1", "23.0", "22.9"]] * 2
    strip = prompt_strip(seen, MODES, ["#1", "#2", "#3"], notes=notes, frames={1: (230, 0, 0)})
    sheet = np.asarray(strip)
    for picture in seen.reshape(-1, side, side, 3):
        assert holds(sheet, picture.repeat(zoom, axis=0).repeat(zoom, axis=1))
    framed = (sheet == (230, 0, 0)).all(-1)
    assert framed.any()
    assert np.flatnonzero(framed.any(0)).max() - np.flatnonzero(framed.any(0)).min() == (
        side * zoom + 5
    )


def test_strip_without_candidates_is_a_sheet_all_the_same() -> None:
    empty = np.zeros((2, 0, 64, 64, 3), dtype=np.uint8)
    assert prompt_strip(empty, MODES, [], title="nothing was found").width > 0


def test_stacked_sheets_lie_below_each_other() -> None:
    whole = stacked([Image.new("RGB", (30, 10), "red"), Image.new("RGB", (20, 15), "blue")])
    assert whole.size == (30, 25)
    assert whole.getpixel((25, 20)) == (255, 255, 255)
    assert whole.getpixel((5, 20)) == (0, 0, 255)
