import json
import logging
from typing import Any

import pytest

from fgvp_eval.data.candidates import read_candidates
from fgvp_eval.data.records import Dataset
from fgvp_eval.data.refcoco import read_refcoco
from fgvp_eval.errors import DataError
from fgvp_eval.options.config import Proposals
from fgvp_eval.options.splits import SPLITS

SIZE = (48, 64)
DETECTIONS = Proposals("detections")


def load(root: Any) -> Dataset:
    return read_refcoco(root.path, SPLITS["refcoco+_testA"])


def boxes_xyxy(root: Any, proposals: Proposals = DETECTIONS) -> list[Any]:
    dataset = load(root)
    candidates = read_candidates(dataset, proposals)
    return [candidates.boxes_xyxy(image, SIZE) for image in dataset.images]


def test_dict_and_list_forms_are_the_same(root: Any) -> None:
    root.save(root.detections())
    from_dict = boxes_xyxy(root)
    assert from_dict[0][0] == (3.0, 4.0, 19.0, 16.0)
    entries = [
        {"image_id": int(image_id), "box": box, "score": 0.9}
        for image_id, boxes in root.detections().items()
        for box in boxes
    ]
    root.save(entries)
    assert boxes_xyxy(root) == from_dict


def test_nothing_detected_is_the_whole_image(root: Any) -> None:
    root.save(root.detections() | {"42": []})
    assert boxes_xyxy(root)[1] == ((0.0, 0.0, 64.0, 48.0),)


def test_absent_image_is_named(root: Any) -> None:
    detections = root.detections()
    del detections["42"]
    root.save(detections)
    with pytest.raises(DataError, match=r"has no entry for image 42 of split refcoco\+_testA"):
        boxes_xyxy(root)


def test_boxes_without_area_are_counted(root: Any, caplog: pytest.LogCaptureFixture) -> None:
    root.save(root.detections() | {"42": [[1, 1, 0, 5], [1, 2, 3, 4]]})
    with caplog.at_level(logging.WARNING):
        assert boxes_xyxy(root)[1] == ((1.0, 2.0, 4.0, 6.0),)
    assert "1 boxes without area are no candidates" in caplog.text


def test_corners_in_the_place_of_sizes_are_refused(root: Any) -> None:
    corners = {
        image_id: [[x, y, x + w, y + h] for x, y, w, h in boxes]
        for image_id, boxes in root.detections().items()
    }
    root.save(corners)
    with pytest.raises(DataError, match=r"of 9 boxes reach .* as xywh, 0 as xyxy.*file xyxy\?"):
        boxes_xyxy(root)


def test_shares_of_the_sides_are_refused(root: Any) -> None:
    root.save(root.detections() | {"42": [[0.1, 0.2, 0.5, 0.25]]})
    with pytest.raises(DataError, match="all candidates lie within one pixel"):
        boxes_xyxy(root)


def test_boxes_that_fit_in_no_way_are_a_warning(
    root: Any, caplog: pytest.LogCaptureFixture
) -> None:
    root.save(root.detections() | {"42": [[30, 20, 90, 70]]})
    with caplog.at_level(logging.WARNING):
        boxes_xyxy(root)
    assert "1 of 7 boxes reach beyond their image" in caplog.text


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("3", "must hold a dict or a list, got int"),
        ('[{"image_id": 42}]', "entry 0 has no 'box'"),
        ('{"391895": 5}', "boxes of image 391895 must be a list"),
        ('{"391895": [[1, 2]]}', "box 0 of image 391895 must be four numbers"),
        ('{"391895": [[', "is truncated or no JSON"),
        ('{"391895": [[1, 2, 3, 1e999]]}', "box 0 of image 391895 must be four finite numbers"),
        (f'{{"391895": [[1, 2, 3, {10**400}]]}}', "must be four finite numbers of at most 1,000,"),
        ('[{"image_id": [1], "box": [1, 2, 3, 4]}]', r"image_id of entry 0 must be an integer"),
    ],
)
def test_broken_files(root: Any, content: str, match: str) -> None:
    root.save(detections=[])
    root.detections_path.write_text(content)
    with pytest.raises(DataError, match=match):
        boxes_xyxy(root)


def test_missing_file_names_the_other_protocol_but_does_not_take_it(root: Any) -> None:
    root.save()
    expected = (
        r"detector's boxes are missing, expected at .*detections/refcoco\+_dets_dict\.json; "
        r"source: .*reclip_data.*--proposals gt .*different, easier protocol"
    )
    with pytest.raises(DataError, match=expected):
        boxes_xyxy(root)


def test_another_file_can_be_given(root: Any, tmp_path: Any) -> None:
    root.save()
    other = tmp_path / "other.json"
    other.write_text(json.dumps(root.detections()))
    assert len(boxes_xyxy(root, Proposals("detections", other))[0]) == 3


def test_annotations_as_candidates_keep_file_order(root: Any) -> None:
    root.save()
    assert boxes_xyxy(root, Proposals("gt"))[0] == (
        (2.0, 3.0, 18.0, 15.0),
        (30.0, 4.0, 50.0, 22.0),
        (12.0, 26.0, 36.0, 42.0),
    )
