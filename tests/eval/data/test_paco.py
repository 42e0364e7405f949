"""Reading of PACO-LVIS: objects and parts in one list, masks in every form, what is left out."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parts_root import HANDLE, HEIGHT, MUG, WIDTH, PartsRoot, compressed, rectangle, uncompressed

from fgvp_eval.data.annotated_masks import annotated_masks
from fgvp_eval.data.paco import PUBLISHED, read_paco
from fgvp_eval.data.part_names import part_text
from fgvp_eval.data.parts_records import PartCounts
from fgvp_eval.errors import DataError
from fgvp_eval.options.splits import SPLITS

VAL = SPLITS["paco_val"]


@pytest.fixture
def root(tmp_path: Path) -> PartsRoot:
    return PartsRoot(tmp_path / "data")


def objects(root: PartsRoot, limit: int | None = None) -> dict[int, Any]:
    dataset = read_paco(root.save().path, VAL, limit)
    return {thing.object_id: thing for image in dataset.images for thing in image.objects}


def test_objects_with_their_parts(root: PartsRoot) -> None:
    dataset = read_paco(root.save().path, VAL)
    assert [image.name for image in dataset.images] == [
        "images/train2017/000000000005.jpg",
        "images/val2017/000000000009.jpg",
    ]
    mug, car = (image.objects[0] for image in dataset.images)
    assert (mug.object_id, mug.box_xywh) == (900, (10, 10, 50, 40))
    assert [part.text for part in mug.parts] == ["a handle of a mug", "a rim of a mug"]
    assert [part.text for part in car.parts] == ["a sliding door of a car", "a wheel of a car"]
    assert car.parts[1].annotation.box_xywh == (25, 60, 65, 10)  # both wheels
    assert dataset.counts == PartCounts(images=2, objects=2, parts=4)
    assert dataset.published == PUBLISHED["paco_val"] == PartCounts(2410, 10794, 20945)
    assert len(dataset.phrases) == 4
    assert dataset.left_out == {}
    assert list(dataset.files_sha256) == ["paco/paco_lvis_v1_val.json"]
    handle = annotated_masks([mug.parts[0].annotation], (HEIGHT, WIDTH)).numpy()[0]
    np.testing.assert_array_equal(handle, rectangle(50, 15, 10, 30).astype(bool))


@pytest.mark.parametrize(
    "empty", [[], None, [[1, 2, 3, 4]], {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}]
)
def test_parts_without_a_mask_are_left_out(root: PartsRoot, empty: object) -> None:
    root.annotations[0]["segmentation"] = empty
    mug = objects(root)[900]
    assert [part.text for part in mug.parts] == ["a rim of a mug"]
    assert read_paco(root.path, VAL).left_out == {"parts without a mask": 1}


def test_empty_compressed_mask_and_empty_box(root: PartsRoot) -> None:
    root.annotations[0]["segmentation"] = compressed(np.zeros((HEIGHT, WIDTH), np.uint8))
    root.annotations[2]["bbox"][2] = 0.0
    assert set(objects(root)) == {910}
    left_out = {"parts without a mask": 2, "objects whose parts have no mask": 1}
    assert read_paco(root.path, VAL).left_out == left_out


def test_parts_of_equal_name_are_one(root: PartsRoot) -> None:
    root.add(903, 900, HANDLE, 5, rectangle(12, 20, 5, 20), uncompressed)
    mug = objects(root)[900]
    assert [part.text for part in mug.parts] == ["a handle of a mug", "a rim of a mug"]
    handle = mug.parts[0].annotation
    assert (handle.ann_id, handle.box_xywh) == (901, (12, 15, 48, 30))
    drawn = annotated_masks([handle], (HEIGHT, WIDTH)).numpy()[0]
    union = rectangle(50, 15, 10, 30) | rectangle(12, 20, 5, 20)
    np.testing.assert_array_equal(drawn, union.astype(bool))


def test_small_objects_objects_without_parts_and_orphans(root: PartsRoot) -> None:
    root.annotations[1]["area"] = 1023.0
    root.add(950, 950, MUG, 5, rectangle(0, 0, 60, 60), compressed)
    root.add(960, 777, HANDLE, 5, rectangle(0, 0, 60, 60), compressed)
    assert set(objects(root)) == {910}
    assert read_paco(root.path, VAL).left_out == {
        "parts without an object": 1,
        "objects below 1024 pixels": 1,
        "objects without parts": 1,
    }


@pytest.mark.parametrize("empty", [[], None, compressed(np.zeros((HEIGHT, WIDTH), np.uint8))])
def test_objects_without_a_mask_are_left_out(root: PartsRoot, empty: object) -> None:
    root.annotations[1]["segmentation"] = empty
    assert set(objects(root)) == {910}
    assert read_paco(root.path, VAL).left_out == {"objects without a mask": 1}


def test_area_of_zero_is_small(root: PartsRoot) -> None:
    root.annotations[1]["area"] = 0.0
    assert set(objects(root)) == {910}


def test_missing_images_change_nothing(root: PartsRoot) -> None:
    dataset = read_paco(root.save().path, VAL)
    (root.path / "images/val2017/000000000009.jpg").unlink()
    assert read_paco(root.path, VAL) == dataset
    (root.path / "images/train2017/000000000005.jpg").unlink()
    expected = r"none of 2 images is there, the first expected at .*000000005\.jpg; source: http"
    with pytest.raises(DataError, match=expected):
        read_paco(root.path, VAL)


def test_limit_is_rounded_up_to_whole_objects(root: PartsRoot) -> None:
    assert set(objects(root, 1)) == set(objects(root, 2)) == {900}
    assert set(objects(root, 3)) == {900, 910}


def test_missing_file_says_whence(tmp_path: Path) -> None:
    expected = r"paco_lvis_v1_test\.json is missing, expected at .*; source: unpack https://dl\."
    with pytest.raises(DataError, match=expected):
        read_paco(tmp_path, SPLITS["paco_test"])


@pytest.mark.parametrize("key", ["id", "obj_ann_id", "image_id", "category_id", "bbox"])
def test_record_without_a_field(root: PartsRoot, key: str) -> None:
    del root.annotations[0][key]
    with pytest.raises(DataError, match=f"annotation 0 has no '{key}'"):
        objects(root)


BROKEN_NUMBERS = [None, "x", [1], {}, math.nan, math.inf, 2**63]


@pytest.mark.parametrize("number", BROKEN_NUMBERS)
@pytest.mark.parametrize(
    ("records", "field"),
    [
        ("images", "id"),
        ("categories", "id"),
        *(("annotations", key) for key in ("id", "obj_ann_id", "image_id", "category_id")),
    ],
)
def test_broken_ids(root: PartsRoot, records: str, field: str, number: object) -> None:
    getattr(root, records)[0][field] = number
    with pytest.raises(DataError, match=rf"v1_val\.json: {field} of \w+ 0 must be an integer"):
        objects(root)


@pytest.mark.parametrize(
    ("records", "field", "value", "match"),
    [
        ("categories", "name", 5, "name of category 0 must be text, got 5"),
        ("images", "height", None, "height of image 0 must be an integer, got None"),
        ("images", "height", "tall", "height of image 0 must be an integer"),
        ("images", "height", -1, "height of image 0 must be at least 1, got -1"),
        ("images", "height", 10**9, "image 0 is 120x1000000000, which is more than"),
        ("images", "file_name", "a/" + "b" * 4000, "file_name of image 0 must be FOLDER/FILE"),
        ("images", "file_name", "a/" + "é" * 128, "of at most 255 bytes each"),
        ("images", "file_name", 3, "file_name of image 0 must be text"),
        ("annotations", "area", "big", "area of annotation 900 must be a number"),
        ("annotations", "area", math.inf, "area of annotation 900 must be a number"),
        ("annotations", "bbox", [0, 0, 1e300, 5], "bbox of annotation 900 must be four finite"),
        ("annotations", "segmentation", [[1, 2, math.nan, 4, 5, 6]], "polygon 0 must be numbers"),
        ("annotations", "segmentation", [[1, 2, None, 4, 5, 6]], "polygon 0 must be numbers"),
        ("annotations", "segmentation", {"size": [90, 120], "counts": "0"}, "annotation 900 is b"),
        ("annotations", "segmentation", "x", "annotation 900 must be polygons or RLE, got 'x'"),
    ],
)
def test_broken_fields(
    root: PartsRoot, records: str, field: str, value: object, match: str
) -> None:
    root.save()
    getattr(root, records)[1 if records == "annotations" else 0][field] = value
    root.write_annotations()
    with pytest.raises(DataError, match=rf"v1_val\.json: .*{match}"):
        read_paco(root.path, VAL)


def test_file_of_another_kind(root: PartsRoot) -> None:
    root.save()
    root.json_path.write_text(json.dumps({"images": [], "annotations": {}, "categories": []}))
    with pytest.raises(DataError, match=r"annotations of the file must be a list, got \{\}"):
        read_paco(root.path, VAL)


def test_image_that_is_not_listed(root: PartsRoot) -> None:
    root.annotations[1]["image_id"] = 6
    with pytest.raises(DataError, match="has no image 6, which annotation 900 is on"):
        objects(root)


@pytest.mark.parametrize(
    ("category", "text"),
    [
        ("mug:handle", "a handle of a mug"),
        ("car_(automobile):headlight", "a headlight of a car"),
        ("tape_(sticky_cloth_or_paper):roll", "a roll of a tape"),
        ("glass_(drink_container):inner_body", "a inner body of a glass"),
        ("laptop_computer:Touchpad", "a touchpad of a laptop computer"),
    ],
)
def test_names_as_text(category: str, text: str) -> None:
    assert part_text(category) == text


@pytest.mark.parametrize("category", ["mug", "mug:", ":handle"])
def test_names_of_another_form(category: str) -> None:
    with pytest.raises(ValueError, match="must be OBJECT:PART"):
        part_text(category)
