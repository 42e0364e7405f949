"""The files are RefCOCO's: names, fields, quirks, segmentations; the cache is atomic."""

import collections
import json
import logging
import pickle
import pickletools
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from fgvp_eval.demo import dataset, generator_digest
from fgvp_eval.demo.annotations import segmentation_of
from fgvp_eval.demo.dataset import demo_data_root, write_demo_data
from fgvp_eval.demo.polygons import mask_outlines
from fgvp_eval.demo.scenes import generate_scene

IMAGES, SEED = 12, 3


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "data"
    write_demo_data(folder, images=IMAGES, seed=SEED)
    return folder


def load(root: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    instances = json.loads((root / "demo" / "instances.json").read_text(encoding="utf-8"))
    with (root / "demo" / "refs(unc).p").open("rb") as file:
        return instances, pickle.load(file)


def decode(segmentation: Any, height: int, width: int) -> np.ndarray:
    if isinstance(segmentation, list):
        segmentation = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    return coco_mask.decode(segmentation).astype(bool)


def test_images_are_named_and_sized_as_the_instances_say(root: Path) -> None:
    instances, _ = load(root)
    assert set(instances) == {"info", "licenses", "images", "annotations", "categories"}
    assert len(instances["images"]) == IMAGES
    for image in instances["images"]:
        assert image["file_name"] == f"COCO_train2014_{image['id']:012d}.jpg"
        with Image.open(root / "images" / "train2014" / image["file_name"]) as picture:
            assert picture.format == "JPEG"
            assert picture.size == (image["width"], image["height"])


def test_pictures_survive_the_compression(root: Path) -> None:
    instances, _ = load(root)
    path = root / "images" / "train2014" / instances["images"][0]["file_name"]
    scene = generate_scene(10_000 * SEED)
    difference = np.abs(np.asarray(Image.open(path)).astype(int) - scene.image)
    assert difference.mean() < 4.0


def test_segmentations_decode_to_the_visible_masks(root: Path) -> None:
    instances, _ = load(root)
    of_image = collections.defaultdict(list)
    for annotation in instances["annotations"]:
        of_image[annotation["image_id"]].append(annotation)
    forms = set()
    for k, image in enumerate(instances["images"]):
        scene = generate_scene(10_000 * SEED + k, twins=k % 3 == 2)
        assert len(of_image[image["id"]]) == len(scene.objects)
        by_box = {tuple(map(float, item.box_xywh)): item for item in scene.objects}
        for annotation in of_image[image["id"]]:
            item = by_box[tuple(annotation["bbox"])]
            mask = decode(annotation["segmentation"], image["height"], image["width"])
            assert (mask & item.mask).sum() / (mask | item.mask).sum() > 0.99
            assert annotation["area"] == item.mask.sum()
            assert annotation["iscrowd"] == 0
            assert all(isinstance(v, float) for v in annotation["bbox"])
            name = instances["categories"][annotation["category_id"] - 1]["name"]
            assert name == item.attributes.shape
            forms.add(type(annotation["segmentation"]))
    assert forms == {list, dict}


def test_refs_have_the_fields_and_quirks_of_refcoco(root: Path) -> None:
    instances, refs = load(root)
    annotations = {annotation["id"]: annotation for annotation in instances["annotations"]}
    sent_ids, counters = [], collections.Counter()
    for ref in refs:
        assert set(ref) == {
            "ref_id", "ann_id", "category_id", "image_id", "file_name", "split", "sent_ids",
            "sentences",
        }  # fmt: skip
        annotation = annotations[ref["ann_id"]]
        assert annotation["image_id"] == ref["image_id"]
        assert annotation["category_id"] == ref["category_id"]
        suffix = counters[ref["image_id"]]
        counters[ref["image_id"]] += 1
        assert ref["file_name"] == f"COCO_train2014_{ref['image_id']:012d}_{suffix}.jpg"
        assert 1 <= len(ref["sentences"]) <= 3
        assert ref["sent_ids"] == [sentence["sent_id"] for sentence in ref["sentences"]]
        for sentence in ref["sentences"]:
            assert set(sentence) == {"sent_id", "sent", "raw", "tokens"}
            assert sentence["sent"] == " ".join(sentence["tokens"])
            assert sentence["sent"] == sentence["raw"].lower().rstrip(".")
        sent_ids += ref["sent_ids"]
    assert len(set(sent_ids)) == len(sent_ids)
    assert {ref["split"] for ref in refs} == {"val", "location"}
    assert any(s["raw"] != s["raw"].lower() for ref in refs for s in ref["sentences"])


def test_pickle_holds_plain_data_only(root: Path) -> None:
    data = (root / "demo" / "refs(unc).p").read_bytes()
    # Opcodes that would import or call something are absent from a pickle of plain data.
    names = {opcode.name for opcode, _, _ in pickletools.genops(data)}
    assert not names & {"GLOBAL", "STACK_GLOBAL", "REDUCE", "INST", "OBJ", "NEWOBJ", "BUILD"}


def test_same_seed_gives_the_same_bytes(root: Path, tmp_path: Path) -> None:
    write_demo_data(tmp_path, images=IMAGES, seed=SEED)
    files = [p.relative_to(root) for p in sorted(root.rglob("*")) if p.is_file()]
    assert files == [p.relative_to(tmp_path) for p in sorted(tmp_path.rglob("*")) if p.is_file()]
    for name in files:
        assert (root / name).read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.parametrize(("images", "seed"), [(0, 0), (3, -1), (3, 100)])
def test_sizes_and_seeds_out_of_range_are_errors(tmp_path: Path, images: int, seed: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        write_demo_data(tmp_path, images=images, seed=seed)


def test_demo_data_root_is_made_once_and_has_the_promised_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FGVP_CACHE_DIR", str(tmp_path / "cache"))
    first = demo_data_root()
    assert re.fullmatch(r"demo-[0-9a-f]{12}", first.name)
    stamp = (first / "demo" / "instances.json").stat().st_mtime_ns
    assert demo_data_root() == first
    assert (first / "demo" / "instances.json").stat().st_mtime_ns == stamp
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [first.name]
    instances, refs = load(first)
    _assert_balanced(instances, [ref for ref in refs if ref["split"] == "val"], 250, 350)
    _assert_balanced(instances, [ref for ref in refs if ref["split"] == "location"], 130, 180)


def _assert_balanced(
    instances: dict[str, Any], refs: list[dict[str, Any]], low: int, high: int
) -> None:
    """Always taking the first annotation scores within 2.5 points of chance."""
    of_image = collections.defaultdict(list)
    for annotation in instances["annotations"]:
        of_image[annotation["image_id"]].append(annotation["id"])
    weights = np.array([len(ref["sentences"]) for ref in refs])
    first = np.array([of_image[ref["image_id"]].index(ref["ann_id"]) == 0 for ref in refs])
    chance = np.array([1 / len(of_image[ref["image_id"]]) for ref in refs])
    assert low <= weights.sum() <= high
    assert abs((first - chance) @ weights / weights.sum()) < 0.025


def test_callers_at_once_get_one_complete_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FGVP_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(dataset, "DEMO_IMAGES", 3)
    with ThreadPoolExecutor(4) as pool:
        roots = {future.result() for future in [pool.submit(demo_data_root) for _ in range(4)]}
    assert len(roots) == 1
    assert list(tmp_path.iterdir()) == list(roots)
    assert len(load(roots.pop())[0]["images"]) == 3


def test_generated_modules_are_all_part_of_the_name() -> None:
    """A module that the generators import, and the digest forgot, would leave stale data in use."""
    folder = Path(generator_digest.__file__).parent
    seen, left = set(), ["dataset.py", "parts_dataset.py"]
    while left:
        name = left.pop()
        seen.add(name)
        imported = re.findall(r"from fgvp_eval\.demo\.(\w+) import", (folder / name).read_text())
        left += [f"{module}.py" for module in imported if f"{module}.py" not in seen]
    assert seen - {"generator_digest.py"} == set(generator_digest._SOURCES)


def test_failed_creation_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(root: Path, **_: int) -> None:
        (root / "half").mkdir()
        raise RuntimeError("disk full")

    monkeypatch.setenv("FGVP_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(dataset, "write_demo_data", fail)
    with pytest.raises(RuntimeError, match="disk full"):
        demo_data_root()
    assert list(tmp_path.iterdir()) == []


def test_unwritable_cache_falls_back_to_a_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("FGVP_CACHE_DIR", str(blocked))
    monkeypatch.setattr(dataset, "write_demo_data", lambda root, **_: (root / "demo").mkdir())
    dataset._temporary_root.cache_clear()
    with caplog.at_level(logging.WARNING):
        root = demo_data_root()
    dataset._temporary_root.cache_clear()
    assert (root / "demo").is_dir()
    assert "temporary folder" in caplog.text
    (root / "demo").rmdir()
    root.rmdir()


def test_outlines_of_touching_pixels_holes_and_borders() -> None:
    mask = np.zeros((6, 7), bool)
    mask[0:3, 0:3] = True
    mask[1, 1] = False
    mask[3, 3] = mask[5, 6] = True
    outer, holes = mask_outlines(mask)
    assert len(outer) == 3
    assert len(holes) == 1
    assert sorted(holes[0]) == [(1, 1), (1, 2), (2, 1), (2, 2)]
    for prefer in (True, False):
        np.testing.assert_array_equal(
            decode(segmentation_of(mask, prefer_polygons=prefer), 6, 7), mask
        )
