"""Files of candidate boxes: every form, and what is wrong with broken ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fgvp_eval.commands.ground.box_files import GivenBoxes, read_boxes
from fgvp_eval.errors import DataError

SIZE = (60, 80)
XYXY = ((10.0, 20.0, 30.0, 50.0), (0.0, 0.0, 80.0, 60.0))
CORNERS = [[10, 20, 30, 50], [0, 0, 80, 60]]
XYWH = [[10, 20, 20, 30], [0, 0, 80, 60]]
MASK = {"size": [60, 80], "counts": [4800]}


def read(path: Path, content: Any, **options: Any) -> GivenBoxes:
    file = path / "boxes.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_boxes(file, SIZE, **options)


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (CORNERS, {}),
        (XYWH, {"box_format": "xywh"}),
        ({"boxes": CORNERS}, {}),
        ({"boxes_xyxy": CORNERS}, {}),
        ({"boxes_xywh": XYWH}, {}),
        ([{"bbox": box, "score": 0.5} for box in XYWH], {}),
        ([{"bbox": box} for box in CORNERS], {"box_format": "xyxy"}),
        ([{"bbox": box, "image_id": 7} for box in XYWH], {}),
        (
            [{"bbox": box, "image_id": 7} for box in XYWH] + [{"bbox": XYWH[0], "image_id": 8}],
            {"image_id": 7},
        ),
        ({"annotations": [{"bbox": box, "image_id": 7} for box in XYWH]}, {"image_id": 7}),
        ({"7": XYWH, "8": []}, {"image_id": 7}),
    ],
)
def test_forms(tmp_path: Path, content: Any, options: dict[str, Any]) -> None:
    found = read(tmp_path, content, **options)
    assert found == GivenBoxes(XYXY, found.form)
    assert found.form == ("xyxy" if "10, 20, 30, 50" in str(content) else "xywh")


def test_labels_and_masks_come_along(tmp_path: Path) -> None:
    named = read(tmp_path, {"boxes": CORNERS, "labels": ["dog", 3]})
    assert named.labels == ("dog", "3")
    entries = [{"bbox": box, "label": "dog", "segmentation": MASK} for box in XYWH]
    masked = read(tmp_path, entries)
    assert (masked.labels, masked.segmentations) == (("dog", "dog"), (MASK, MASK))
    del entries[1]["segmentation"]
    assert read(tmp_path, entries).segmentations is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[[1, 2,", "truncated or no JSON"),
        ("3", "must be a list or a dict"),
        ([], "holds no box"),
        ([1, 2, 3, 4], "box 0 must be four numbers"),
        ([[1, 2, 3]], "box 0 must be four numbers"),
        ([[0, 0, 5, 5], [1, 2, 3, float("nan")]], "box 1 must be four finite numbers"),
        ([[10, 20, 10, 50]], r"no area; numbers are read as xyxy; if they are xywh, say"),
        ([[50, 20, 20, 30]], r"no area; numbers are read as xyxy"),
        ([{"bbox": [50, 20, 70, 50]}], r"beyond the picture of 80x60; numbers are read as xywh"),
        ([[10, 20, 90, 50]], "beyond the picture"),
        ([[0.1, 0.2, 0.5, 0.7]], "boxes are pixels, not shares"),
        ([{"box": [1, 2, 3, 4]}], "entry 0 has no 'bbox'"),
        ([{"bbox": [1, 2, 3, 4]}, [1, 2, 3, 4]], "box 0 must be four numbers"),
        ({"boxes": CORNERS, "labels": ["dog"]}, "1 labels for 2 boxes"),
        ({"boxes": CORNERS, "boxes_xywh": XYWH}, "must have one of"),
        ({"bboxes": CORNERS}, "must have one of"),
        ({"boxes": 3}, "boxes of the file must be a list, got 3"),
        ({"7": XYWH, "8": XYWH}, "boxes of 2 pictures; give --image-id"),
        ([{"bbox": XYWH[0], "image_id": image} for image in (7, 8)], "give --image-id"),
        (
            [{"bbox": XYWH[0], "image_id": [7]}],
            r"entry 0 must be text or an integer, got \[7\]",
        ),
        ([{"bbox": XYWH[0], "image_id": {}}], "image_id of entry 0 must be text or an integer"),
        ([{"bbox": XYWH[0], "label": ["dog"]}], "label of entry 0 must be text or an integer, got"),
        ([[1, 2, 3, 10**400]], "box 0 must be four finite numbers"),
        ({"7": 3}, "give --image-id"),
    ],
)
def test_errors_say_what_is_wrong(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, content)
    assert "boxes.json" in str(caught.value)
