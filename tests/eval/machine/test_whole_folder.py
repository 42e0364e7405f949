"""The demo's folder in the cache: damage is said and mended, and changes no result."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fgvp_eval.demo import dataset, parts_dataset
from fgvp_eval.machine.whole_folder import made_whole

JPEG, INSTANCES = "images/train2014/COCO_train2014_000000700001.jpg", "demo/instances.json"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The demo's folder, of three scenes."""
    monkeypatch.setenv("FGVP_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(dataset, "DEMO_IMAGES", 3)
    return dataset.demo_data_root()


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def other_pixels(folder: Path) -> None:
    Image.fromarray(np.zeros((120, 160, 3), np.uint8)).save(folder / JPEG)


def other_boxes(folder: Path) -> None:
    content = json.loads((folder / INSTANCES).read_text())
    content["annotations"][0]["bbox"] = [0.0, 0.0, 5.0, 5.0]
    (folder / INSTANCES).write_text(json.dumps(content))


def truncated(folder: Path) -> None:
    (folder / JPEG).write_bytes((folder / JPEG).read_bytes()[:500])


@pytest.mark.parametrize(
    ("damage", "name"),
    [
        (other_pixels, JPEG),
        (other_boxes, INSTANCES),
        (truncated, JPEG),
        (lambda folder: (folder / JPEG).unlink(), JPEG),
        (lambda folder: shutil.rmtree(folder / "images"), JPEG),
        (lambda folder: (folder / "demo" / "refs(unc).p").write_bytes(b"]."), "demo/refs(unc).p"),
        (lambda folder: (folder / "sha256.json").unlink(), "sha256.json"),
        (lambda folder: (folder / "sha256.json").write_text("[1"), "sha256.json"),
        (lambda folder: (folder / "sha256.json").write_text("[1]"), "sha256.json"),
    ],
)
def test_damage_is_said_and_mended(
    folder: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], Any], name: str
) -> None:
    whole = contents(folder)
    damage(folder)
    assert contents(folder) != whole
    assert dataset.demo_data_root() == folder
    assert f"{folder} is damaged ({name}); its files are made anew" in caplog.text
    assert contents(folder) == whole
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_whole_files_are_left_alone(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "write_demo_data", None)
    assert dataset.demo_data_root() == folder
    assert caplog.text == ""


def test_what_cannot_be_mended_goes_elsewhere(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / JPEG).unlink()
    (folder / JPEG).mkdir()  # which no file takes the place of
    elsewhere = tmp_path / "elsewhere"
    assert made_whole(folder.name, dataset.write_demo_data, lambda: elsewhere) == elsewhere
    assert "cannot mend" in caplog.text


def test_parts_are_mended_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FGVP_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(parts_dataset, "PARTS_IMAGES", 2)
    make = parts_dataset.parts_data_root.__wrapped__
    folder = make()
    whole = contents(folder)
    (folder / "demo_parts" / "paco_lvis_v1_val.json").write_text("{}")
    assert (make(), contents(folder)) == (folder, whole)
