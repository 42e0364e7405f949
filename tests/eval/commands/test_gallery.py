"""The contact sheet of all modes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from segment_anything import SamPredictor

from fgvp_eval.commands.gallery import contact_sheet, main
from fgvp_eval.data.photos import demo_picture, read_demo
from fgvp_eval.demo.models import load_demo_sam
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
        ("image.png", "dark.png", "dark.png: no pixel is bright"),
    ],
)
def test_bad_files_get_one_line(files, capsys, image, mask, message):
    folder, _, _ = files
    (folder / "text.png").write_text("no picture")
    Image.new("L", (3, 2)).save(folder / "small.png")
    Image.new("L", (60, 40), 1).save(folder / "dark.png")
    arguments = [str(folder / image), "--mask", str(folder / mask)]
    assert main([*arguments, "--out", str(folder / "sheet.png")]) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "sheet.png").exists()


def test_the_demo_sam_on_a_photo_is_told(files, tmp_path, capsys):
    demo = ["demo:3", "--point", "45,45", "--modes", "crop", "--out", str(tmp_path / "demo.png")]
    assert main(demo) == 0
    assert "generated scenes only" not in capsys.readouterr().err
    pixels = read_demo(demo_picture("demo:3")[1]).pixels
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    words = [str(tmp_path / "photo.png"), "--sam", "demo", *demo[1:]]
    assert main(words) == 0
    assert "SAM is the demo's and knows generated scenes only" in capsys.readouterr().err


@pytest.mark.parametrize("points", [[(45, 45)], [(45, 45), (40, 30)]])
def test_points_are_what_sam_segments(tmp_path, points):
    pixels = read_demo(demo_picture("demo:3")[1]).pixels
    predictor = SamPredictor(load_demo_sam(torch.device("cpu")))
    predictor.set_image(pixels)
    masks, qualities, _ = predictor.predict(
        np.array(points), np.ones(len(points)), multimask_output=len(points) == 1
    )
    words = [word for x, y in points for word in ("--point", f"{x},{y}")]
    out = tmp_path / "sheet.png"
    assert main(["demo:3", *words, "--modes", "D1,crop", "--size", "96", "--out", str(out)]) == 0
    expected = contact_sheet(
        pixels, masks[qualities.argmax()], size=96, modes=[Mode.CONTOUR, Mode.CROP]
    )
    assert masks[qualities.argmax()].any()
    assert np.array_equal(np.asarray(Image.open(out)), np.asarray(expected))
    assert expected.width == 2 * (96 + 8) + 8


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--point", "10"], "--point must be X,Y"),
        (["--point", "60,10", "--sam", "demo"], "--point 60,10 is outside of the image of 60x40"),
        (["--point", "10,10"], "try it out without any download: --sam demo"),
        (["--point", "10,10", "--sam", "vit_x"], "--sam must be one of"),
        (["--point", "10,10", "--modes", "blurr", "--sam", "demo"], "--modes: mode must be one of"),
        (["--mask", "mask.png", "--size", "0"], "--size must be at least 1"),
        (["--mask", "mask.png", "--out", "sheet.xyz"], "--out sheet.xyz cannot be written"),
        ([], "one of the arguments --mask --point is required"),
    ],
)
def test_refusals_are_one_line(files, capsys, monkeypatch, words, message):
    folder, _, _ = files
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TORCH_HOME", str(folder))
    assert main(["image.png", *words]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1
