"""The demo of objects with parts: true annotations in PACO's format, the same every time."""

import json
from pathlib import Path

import numpy as np
import pytest

from fgvp_eval.data.paco import read_paco
from fgvp_eval.demo import parts_dataset
from fgvp_eval.demo.parts_dataset import write_parts_data
from fgvp_eval.demo.parts_scenes import PLANS, generate_parts_scene
from fgvp_eval.demo.tokenizer import WordTokenizer
from fgvp_eval.options.splits import SPLITS

PARTS = SPLITS["demo_parts"]


def test_scenes_repeat_and_differ() -> None:
    one, again, other = (generate_parts_scene(seed)[0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert one.shape != other.shape or not np.array_equal(one, other)


@pytest.mark.parametrize("seed", range(8))
def test_parts_lie_in_their_object_and_not_on_each_other(seed: int) -> None:
    picture, objects = generate_parts_scene(seed)
    assert picture.dtype == np.uint8
    assert not np.sum([item.mask for item in objects], axis=0).max() > 1
    for item in objects:
        assert item.parts
        assert item.mask.shape == picture.shape[:2]
        covered = np.sum([part.mask for part in item.parts], axis=0)
        assert covered.max() == 1
        assert not (covered.astype(bool) & ~item.mask).any()
        assert all(piece.any() for part in item.parts for piece in part.pieces)


def test_words_are_known_to_the_demo_model() -> None:
    tokenizer = WordTokenizer()
    unknown = tokenizer.encode("nonsense")[0]
    for plans in PLANS.values():
        for plan in plans:
            assert plan.name == f"{plan.colour}_{plan.shape}"
            assert unknown not in tokenizer.encode(plan.name.replace("_", " "))


def test_format_is_that_of_paco(tmp_path: Path) -> None:
    write_parts_data(tmp_path, images=16)
    content = json.loads((tmp_path / "demo_parts" / "paco_lvis_v1_val.json").read_text())
    assert {
        *("images", "annotations", "categories", "part_categories"),
        *("attributes", "attr_type_to_attr_idxs"),
    } <= set(content)
    kinds = {c["id"]: c["supercategory"] for c in content["categories"]}
    names = {c["id"]: c["name"] for c in content["categories"]}
    by_id = {a["id"]: a for a in content["annotations"]}
    forms = set()
    for annotation in content["annotations"]:
        owner = by_id[annotation["obj_ann_id"]]
        is_part = kinds[annotation["category_id"]] == "PART"
        assert is_part == (annotation["obj_ann_id"] != annotation["id"])
        assert owner["image_id"] == annotation["image_id"]
        if is_part:
            assert names[annotation["category_id"]].startswith(names[owner["category_id"]] + ":")
        segmentation = annotation["segmentation"]
        forms.add("empty" if segmentation == [] else type(segmentation).__name__)
    assert forms == {"dict", "list", "empty"}
    folders = {image["file_name"].split("/")[0] for image in content["images"]}
    assert folders == {"train2017", "val2017"}
    assert all((tmp_path / "images" / image["file_name"]).is_file() for image in content["images"])


def test_reader_takes_it(tmp_path: Path) -> None:
    write_parts_data(tmp_path, images=16)
    dataset = read_paco(tmp_path, PARTS)
    assert "a yellow ring of a cart" in dataset.phrases
    assert "a purple circle of a badge" in dataset.phrases
    counts = {len(thing.parts) for image in dataset.images for thing in image.objects}
    assert counts >= {1, 3, 4}
    assert dataset.left_out["parts without a mask"] >= 1
    assert dataset.left_out["objects below 1024 pixels"] >= 1


def test_same_bytes_every_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_parts_data(tmp_path / name, images=3)
    files = [path for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert len(files) == 4
    for path in files:
        twin = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == twin.read_bytes()


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="images must be at least 1"):
        write_parts_data(tmp_path, images=0)


def test_cached_root_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts_dataset.parts_data_root.cache_clear()
    monkeypatch.setenv("FGVP_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(parts_dataset, "PARTS_IMAGES", 2)
    root = parts_dataset.parts_data_root()
    parts_dataset.parts_data_root.cache_clear()
    monkeypatch.setattr(parts_dataset, "write_parts_data", None)
    assert parts_dataset.parts_data_root() == root
    parts_dataset.parts_data_root.cache_clear()
    assert [path.name for path in tmp_path.iterdir()] == [root.name]
