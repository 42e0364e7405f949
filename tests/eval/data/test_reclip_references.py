"""ReCLIP's one-file form gives the same records as the files that it was made from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fgvp_eval.data.detections import detections_path
from fgvp_eval.data.reclip_references import reclip_path
from fgvp_eval.data.refcoco import read_refcoco
from fgvp_eval.errors import DataError
from fgvp_eval.options.splits import SPLITS

TEST_A = SPLITS["refcoco+_testA"]


def as_reclip(root: Any, *, bare: bool = False) -> Path:
    """Write what ReCLIP would ship, and remove what it was made from."""
    lines = []
    for ref in root.refs:
        anns = [a for a in root.annotations if a["image_id"] == ref["image_id"]]
        if bare:
            ref = {key: ref[key] for key in ("image_id", "file_name", "ann_id")} | {
                "sentences": [{"raw": sentence["raw"]} for sentence in ref["sentences"]]
            }
        anns = [{key: value for key, value in a.items() if key != "image_id"} for a in anns]
        lines.append(json.dumps(ref | {"anns": anns}))
    path = root.path / "reclip_data" / "refcoco+_testa.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(lines) + "\n")
    root.refs_path.unlink(missing_ok=True)
    root.instances_path.unlink(missing_ok=True)
    return path


def test_same_records(root: Any) -> None:
    before = read_refcoco(root.save().path, TEST_A)
    path = as_reclip(root)
    assert path == reclip_path(root.path, TEST_A)
    after = read_refcoco(root.path, TEST_A)
    assert after.counts == before.counts
    assert list(after.files_sha256) == ["reclip_data/refcoco+_testa.jsonl"]
    for image, same in zip(after.images, before.images, strict=True):
        assert (image.image_id, image.name) == (same.image_id, same.name)
        assert (image.samples, image.annotations) == (same.samples, same.annotations)
        assert image.size is None  # the file does not say


@pytest.mark.parametrize("separator", ["\x85", "\u2028"])
def test_captions_with_line_separators(root: Any, separator: str) -> None:
    path = as_reclip(root.save())
    text = f"the red{separator}box."
    lines = path.read_text().replace("The RED box.", text)
    path.write_text(lines)
    assert read_refcoco(root.path, TEST_A).images[0].samples[0].text == text


def test_file_that_kept_no_ids(root: Any) -> None:
    root.save()
    as_reclip(root, bare=True)
    images = read_refcoco(root.path, TEST_A).images
    assert [sample.sample_id for sample in images[0].samples] == [
        "refcoco+_testA:line1:n0",
        "refcoco+_testA:line1:n1",
        "refcoco+_testA:line2:n0",
        "refcoco+_testA:line2:n1",
    ]
    assert images[2].samples[0].gold_ann_ids == (3000,)


def test_original_files_come_first(root: Any) -> None:
    root.save()
    refs, instances = root.refs_path.read_bytes(), root.instances_path.read_bytes()
    as_reclip(root)
    root.refs_path.write_bytes(refs)
    with pytest.raises(DataError, match=r"instances\.json is missing"):
        read_refcoco(root.path, TEST_A)  # half a data set is a mistake, not a wish for the other
    root.instances_path.write_bytes(instances)
    assert "refcoco+/instances.json" in read_refcoco(root.path, TEST_A).files_sha256


def test_truncated_line(root: Any) -> None:
    path = as_reclip(root.save())
    path.write_text(path.read_text()[:-200])
    with pytest.raises(DataError, match=r"testa\.jsonl: line 6 is truncated or no JSON"):
        read_refcoco(root.path, TEST_A)


@pytest.mark.parametrize("key", ["image_id", "ann_id", "anns", "sentences"])
def test_line_without_a_field(root: Any, key: str) -> None:
    path = as_reclip(root.save())
    lines = path.read_text().splitlines()
    record = json.loads(lines[1])
    del record[key]
    lines[1] = json.dumps(record)
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=f"line 2 has no '{key}'"):
        read_refcoco(root.path, TEST_A)


def test_detections_in_the_folder_of_reclip(root: Any) -> None:
    root.save(root.detections())
    elsewhere = root.path / "reclip_data" / root.detections_path.name
    elsewhere.parent.mkdir()
    root.detections_path.rename(elsewhere)
    assert detections_path(TEST_A, root.path, None) == elsewhere


@pytest.mark.usefixtures("random_models")
def test_run_and_strict_counts(run: Any, root: Any) -> None:
    root.save(root.detections())
    as_reclip(root)
    words = ("--split", TEST_A.name, "--sam", "demo", "--clip", "demo", "--data-root", root.path)
    code, out, err = run(*words, "--modes", "crop")
    assert code == 0, err
    assert "12" in out.splitlines()[2]
    code, out, err = run(*words, "--modes", "crop", "--strict-data")
    assert (code, out) == (2, "")
    line = err.splitlines()[-1]
    assert "has 6 refs, 3 images, 12 sentences, but the published split has 1975 refs, 750" in line
    assert "(--strict-data)" in line
