import logging
import math
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fgvp_eval.data.refcoco import read_refcoco
from fgvp_eval.errors import DataError
from fgvp_eval.options.splits import SPLITS, Counts

TEST_A = SPLITS["refcoco+_testA"]


def test_everything_of_a_split_is_read(root: Any) -> None:
    root.save()
    dataset = read_refcoco(root.path, TEST_A)
    assert dataset.counts == Counts(refs=6, images=3, sentences=12)
    assert [image.image_id for image in dataset.images] == [391895, 42, 7]
    first = dataset.images[0]
    assert first.name == "images/train2014/COCO_train2014_000000391895.jpg"
    assert first.path == root.path / first.name
    assert first.size == (48, 64)
    assert [annotation.ann_id for annotation in first.annotations] == [1000, 1001, 1002]
    assert first.annotations[1].box_xywh == (30.0, 4.0, 20.0, 18.0)
    assert [sample.sample_id for sample in first.samples] == [
        "refcoco+_testA:0:0",
        "refcoco+_testA:0:1",
        "refcoco+_testA:1:10",
        "refcoco+_testA:1:11",
    ]
    assert set(dataset.files_sha256) == {"refcoco+/refs(unc).p", "refcoco+/instances.json"}


def test_text_is_raw_lower_cased(root: Any) -> None:
    root.save()
    texts = [sample.text for sample in read_refcoco(root.path, TEST_A).images[0].samples]
    assert texts[0] == "the red box."


def test_ann_id_may_be_int_text_or_list(root: Any) -> None:
    root.save()
    images = read_refcoco(root.path, TEST_A).images
    assert [image.samples[0].gold_ann_ids for image in images] == [(1000,), (2000,), (3000,)]


def test_split_is_compared_whole(root: Any) -> None:
    for ref in root.refs[:2]:
        ref["split"] = "test"
    root.save()
    assert read_refcoco(root.path, TEST_A).counts.refs == 4


def test_refcocog_is_read_from_umd(make_root: Any) -> None:
    root = make_root("refcocog", "umd")
    for ref in root.refs:
        ref["split"] = "test"
    root.save()
    assert read_refcoco(root.path, SPLITS["refcocog_test"]).counts.sentences == 12


def test_limit_keeps_the_first_sentences_but_counts_all(root: Any) -> None:
    root.save()
    dataset = read_refcoco(root.path, TEST_A, limit=5)
    assert [len(image.samples) for image in dataset.images] == [4, 1]
    assert dataset.counts.sentences == 12


def test_images_under_other_names(root: Any) -> None:
    root.save()
    jpg = root.image_path(42)
    Image.open(jpg).save(jpg.with_suffix(".png"))
    jpg.unlink()
    other = root.path / "images/train2017/000000000007.jpg"
    other.parent.mkdir()
    root.image_path(7).rename(other)
    names = [image.name for image in read_refcoco(root.path, TEST_A).images]
    assert names[1:] == [
        "images/train2014/COCO_train2014_000000000042.png",
        "images/train2017/000000000007.jpg",
    ]


def test_empty_box_of_a_candidate_is_counted(root: Any, caplog: pytest.LogCaptureFixture) -> None:
    root.annotations[2]["bbox"] = [5, 5, 0, 9]
    root.save()
    with caplog.at_level(logging.WARNING):
        images = read_refcoco(root.path, TEST_A).images
    assert [annotation.ann_id for annotation in images[0].annotations] == [1000, 1001]
    assert "1 annotations with an empty box are no candidates" in caplog.text


def broken(root: Any, match: str) -> None:
    root.save()
    with pytest.raises(DataError, match=match):
        read_refcoco(root.path, TEST_A)


def test_empty_box_of_a_gold_annotation(root: Any) -> None:
    root.annotations[0]["bbox"] = [5, 5, 10, -1]
    broken(root, r"instances\.json: annotation 1000, which a sentence refers to, has an empty box")


def test_gold_annotation_that_is_not_there(root: Any) -> None:
    del root.annotations[3]
    broken(root, r"instances\.json has no annotation 2000 on image 42, .*refcoco\+_testA:10:100")


@pytest.mark.parametrize(
    ("field", "value", "match"),
    [
        ("ann_id", "seven", "ann_id of ref 0 must be an integer, got 'seven'"),
        ("ann_id", [], "ref 0 has no ann_id"),
        ("sentences", [], "ref 0 has no sentence"),
        ("sentences", [{"sent": "x"}], "sentence 0 of ref 0 has no 'raw'"),
        ("image_id", None, "image_id of ref 0 must be an integer"),
        ("image_id", math.inf, "image_id of ref 0 must be an integer, got inf"),
        ("ann_id", [math.inf], "ann_id of ref 0 must be an integer, got inf"),
        ("ann_id", 2**63, "ann_id of ref 0 must be an integer of 64 bits"),
        ("ref_id", {}, "ref_id of ref 0 must be text or an integer, got {}"),
        ("split", ["testA"], r"split of ref 0 must be text, got \['testA'\]"),
        ("sentences", 3, "sentences of ref 0 must be a list, got 3"),
        ("sentences", [{"raw": 5}], "raw of sentence 0 of ref 0 must be text, got 5"),
        ("sentences", [{"raw": "a\ud800"}], r"without lone surrogates, got 'a\\ud800'"),
        ("sentences", [{"raw": "a", "sent_id": 10**5000}], "64 bits, got a number of thousands of"),
    ],
)
def test_broken_refs(root: Any, field: str, value: object, match: str) -> None:
    root.refs[0][field] = value
    broken(root, match)


@pytest.mark.parametrize(
    "bbox",
    [
        *([1, 2, 3], "abcd", "1234", None, {}, ["1", 2, 3, 4], [1, 2, 3, None]),
        *([1, 2, 3, number] for number in (math.nan, math.inf, 1e300, -(10**400), 2**63)),
    ],
)
def test_broken_box(root: Any, bbox: object) -> None:
    root.annotations[0]["bbox"] = bbox
    broken(root, r"instances\.json: bbox of annotation 1000 must be four (finite )?numbers")


@pytest.mark.parametrize("number", [None, "x", [1], math.nan, math.inf, 2**63, True, 0.5])
@pytest.mark.parametrize(
    ("records", "field"), [("images", "id"), ("annotations", "id"), ("annotations", "image_id")]
)
def test_broken_ids(root: Any, records: str, field: str, number: object) -> None:
    getattr(root, records)[1][field] = number
    broken(root, rf"instances\.json: {field} of {records[:-1]} 1 must be an integer")


@pytest.mark.parametrize("side", ["x", [1], math.nan, math.inf, 2**63, 0, -5, 47.5])
@pytest.mark.parametrize("field", ["height", "width"])
def test_broken_sizes(root: Any, field: str, side: object) -> None:
    root.images[1][field] = side
    broken(root, rf"instances\.json: {field} of image 42 must be (an integer|at least 1)")


def test_sizes_beyond_any_picture(root: Any) -> None:
    root.images[1]["height"] = 10**8
    broken(root, r"image 42 is 64x100000000, which is more than 178,956,970 pixels")


def test_size_that_is_not_told(root: Any) -> None:
    root.images[1]["height"] = None
    root.save()
    assert read_refcoco(root.path, TEST_A).images[1].size is None


def test_record_without_a_field(root: Any) -> None:
    del root.annotations[1]["image_id"]
    broken(root, "annotation 1 has no 'image_id'")


def test_split_that_is_not_in_the_file(root: Any) -> None:
    root.save()
    with pytest.raises(DataError, match="has no reference of split 'val'; it has: testA, testB"):
        read_refcoco(root.path, SPLITS["refcoco+_val"])


def test_missing_files_say_where_and_whence(root: Any, tmp_path: Path) -> None:
    root.save()
    root.instances_path.unlink()
    expected = (
        r"instances\.json is missing, expected at .*data/refcoco\+/instances\.json; source: .*"
    )
    with pytest.raises(DataError, match=expected + r"archive\.org.*refcoco%2B\.zip"):
        read_refcoco(root.path, TEST_A)
    with pytest.raises(DataError, match=r"refs\(unc\)\.p is missing, expected at"):
        read_refcoco(tmp_path / "nowhere", TEST_A)


def test_missing_images_are_counted(root: Any) -> None:
    root.save()
    root.image_path(42).unlink()
    root.image_path(7).unlink()
    expected = (
        r"2 of 3 images are missing, the first expected at .*_000000000042\.jpg; source: http"
    )
    with pytest.raises(DataError, match=expected):
        read_refcoco(root.path, TEST_A)


def test_truncated_json(root: Any) -> None:
    root.save()
    text = root.instances_path.read_text()
    root.instances_path.write_text(text[: len(text) // 2])
    with pytest.raises(
        DataError, match=r"instances\.json is truncated or no JSON \(.*line 1 column"
    ):
        read_refcoco(root.path, TEST_A)


@pytest.mark.parametrize("content", ['{"images": []}', "[]", '{"images": 1, "annotations": []}'])
def test_json_of_another_kind(root: Any, content: str) -> None:
    root.save()
    root.instances_path.write_text(content)
    with pytest.raises(DataError, match=r"instances\.json: "):
        read_refcoco(root.path, TEST_A)
