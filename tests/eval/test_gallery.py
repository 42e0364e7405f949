"""The contact sheet of all modes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from fgvp_eval.gallery import main
from fgvp_kernels import Mode, render_batch


@pytest.fixture
def files(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    mask = np.zeros((40, 60), np.uint8)
    mask[10:30, 20:40] = 255
    Image.fromarray(pixels).save(tmp_path / "image.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return tmp_path, pixels, mask


def test_sheet_shows_what_the_renderer_draws(files):
    folder, pixels, mask = files
    arguments = [str(folder / "image.png"), "--mask", str(folder / "mask.png")]
    assert main([*arguments, "--out", str(folder / "sheet.png"), "--size", "64"]) == 0
    sheet = np.asarray(Image.open(folder / "sheet.png"))
    for index, mode in enumerate(Mode):
        x, y = 8 + index % 7 * 72, 8 + index // 7 * 108
        picture = render_batch(pixels, (mask > 0)[None], mode, size=64)[0].permute(1, 2, 0)
        assert np.array_equal(sheet[y : y + 64, x : x + 64], picture.numpy()), mode


@pytest.mark.parametrize(
    ("image", "mask", "message"),
    [
        ("none.png", "mask.png", "none.png: no such file"),
        ("image.png", "text.png", "text.png: cannot be read as a picture"),
        ("image.png", "small.png", "small.png: is 3x2, but the image is 60x40"),
    ],
)
def test_bad_files_get_one_line(files, capsys, image, mask, message):
    folder, _, _ = files
    (folder / "text.png").write_text("no picture")
    Image.new("L", (3, 2)).save(folder / "small.png")
    arguments = [str(folder / image), "--mask", str(folder / mask)]
    assert main([*arguments, "--out", str(folder / "sheet.png")]) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "sheet.png").exists()
