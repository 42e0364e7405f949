"""Pictures as users have them: rotated, grey, transparent, deep, large, broken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fgvp_eval.commands.gallery import main as gallery
from fgvp_eval.commands.ground.__main__ import main as ground
from fgvp_eval.data.images import decode_image
from fgvp_eval.data.photos import LONGEST_SIDE, demo_picture, read_photo
from fgvp_eval.data.records import ImageRecord
from fgvp_eval.errors import DataError, UsageError

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
GREY = PIXELS[..., 0]


def as_grey(levels: np.ndarray) -> np.ndarray:
    return np.repeat(levels[..., None], 3, axis=2)


def test_rotation_that_the_camera_notes_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees
    Image.fromarray(PIXELS).save(tmp_path / "turned.png", exif=exif)
    photo = read_photo(tmp_path / "turned.png")
    np.testing.assert_array_equal(photo.pixels, np.rot90(PIXELS, -1))
    assert photo.size == (30, 20)


def half_transparent() -> Image.Image:
    alpha = np.full((20, 30, 1), 255, np.uint8)
    alpha[:10] = 0
    return Image.fromarray(np.concatenate([PIXELS, alpha], axis=2))


def transparent_palette() -> Image.Image:
    picture = Image.fromarray(GREY % 2).convert("P")
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.info["transparency"] = 1
    return picture


WHITE_ABOVE = np.concatenate([np.full((10, 30, 3), 255, np.uint8), PIXELS[10:]])
PALETTE = np.where((GREY % 2 == 1)[..., None], 255, np.array([10, 20, 30])).astype(np.uint8)


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (Image.fromarray(GREY), as_grey(GREY)),
        (Image.fromarray(GREY.astype(np.uint16) * 257), as_grey(GREY)),
        (Image.fromarray(GREY > 127), as_grey(np.where(GREY > 127, 255, 0))),
        (half_transparent(), WHITE_ABOVE),
        (transparent_palette(), PALETTE),
    ],
    ids=["grey", "16-bit", "1-bit", "rgba", "palette"],
)
def test_every_kind_of_pixel_becomes_rgb(
    tmp_path: Path, picture: Image.Image, expected: np.ndarray
) -> None:
    picture.save(tmp_path / "picture.png")
    np.testing.assert_array_equal(read_photo(tmp_path / "picture.png").pixels, expected)


def test_large_pictures_are_made_smaller_and_boxes_follow(tmp_path: Path) -> None:
    Image.new("RGB", (2 * LONGEST_SIDE, LONGEST_SIDE)).save(tmp_path / "large.png")
    photo = read_photo(tmp_path / "large.png")
    assert photo.pixels.shape == (LONGEST_SIDE // 2, LONGEST_SIDE, 3)
    assert photo.size == (LONGEST_SIDE, 2 * LONGEST_SIDE)
    assert photo.box_to_pixels((10.0, 20.0, 30.0, 40.0)) == (5.0, 10.0, 15.0, 20.0)
    assert photo.box_to_picture((5.0, 10.0, 15.0, 20.0)) == (10.0, 20.0, 30.0, 40.0)
    assert photo.point_to_pixels((10.0, 20.0)) == (5.0, 10.0)
    mask = np.zeros(photo.size, bool)
    mask[100:300, 40:90] = True
    expected = np.zeros(photo.pixels.shape[:2], bool)
    expected[50:150, 20:45] = True
    np.testing.assert_array_equal(photo.mask_to_pixels(mask), expected)
    np.testing.assert_array_equal(photo.mask_to_picture(expected), mask)


@pytest.mark.parametrize("name", ["missing.png", "text.png", "cut.png", "folder", "float.tiff"])
def test_what_is_no_picture_gets_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.png").write_text("no picture")
    Image.fromarray(PIXELS).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:600])
    (tmp_path / "folder").mkdir()
    Image.fromarray(GREY.astype(np.float32)).save(tmp_path / "float.tiff")
    with pytest.raises(DataError, match=name):
        read_photo(tmp_path / name)


@pytest.mark.parametrize("size", [(5000, 2), (2, 5000), (101, 1)])
def test_thin_pictures_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], size: tuple[int, int]
) -> None:
    picture, mask = tmp_path / "thin.png", tmp_path / "mask.png"
    Image.new("RGB", size).save(picture)
    Image.new("L", size, 255).save(mask)
    boxes = tmp_path / "boxes.json"
    boxes.write_text("[[0, 0, 1, 1]]")
    commands: list[tuple[Callable[[Sequence[str]], int], tuple[object, ...]]] = [
        (gallery, ("--mask", mask)),
        (gallery, ("--point", "0,0", "--sam", "demo")),
        (ground, ("--text", "dog", "--sam", "demo", "--clip", "demo")),
        (ground, ("--text", "dog", "--sam", "demo", "--clip", "demo", "--boxes", boxes)),
    ]
    for command, words in commands:
        code = command([str(word) for word in (picture, *words, "--out", tmp_path / "out.png")])
        error = capsys.readouterr().err
        assert (code, error.count("\n")) == (2, 1), error
        assert f"thin.png is {size[0]}x{size[1]}: pictures of which one side is" in error
    record = ImageRecord(1, picture, "thin.png", None, (), ())
    with pytest.raises(DataError, match="one side is more than 100 times the other"):
        decode_image(record)


def test_pictures_just_not_too_thin(tmp_path: Path) -> None:
    Image.new("RGB", (100, 1)).save(tmp_path / "thin.png")
    assert read_photo(tmp_path / "thin.png").size == (1, 100)


def test_whatever_a_decoder_raises_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> None:
        raise RuntimeError("Failed to decode frame 0")  # as Pillow does for AVIF

    monkeypatch.setattr(Image, "open", fail)
    record = ImageRecord(1, tmp_path / "a.avif", "a.avif", None, (), ())
    for read in (lambda: read_photo(record.path), lambda: decode_image(record)):
        with pytest.raises(DataError, match=r"a\.avif.*: Failed to decode frame 0"):
            read()


def test_demo_pictures_are_counted_from_one() -> None:
    dataset, first = demo_picture("demo")
    assert first == demo_picture("demo:1")[1] == dataset.images[0]
    assert demo_picture(f"demo:{len(dataset.images)}")[1] == dataset.images[-1]
    for word in ("demo:0", f"demo:{len(dataset.images) + 1}"):
        with pytest.raises(UsageError, match="demo:1 to demo:"):
            demo_picture(word)
