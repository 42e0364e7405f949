"""The demo of objects with parts on disk, in PACO-LVIS's format, made on first use."""

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fgvp_eval.demo.annotations import segmentation_of
from fgvp_eval.demo.dataset import JPEG_QUALITY
from fgvp_eval.demo.generator_digest import generator_digest
from fgvp_eval.demo.parts_scenes import PLANS, ComposedObject, generate_parts_scene
from fgvp_eval.demo.scenes import tight_box
from fgvp_eval.machine.cache_folder import temporary_folder
from fgvp_eval.machine.whole_folder import made_whole

GENERATOR_VERSION = 1
PARTS_SEED = 0
PARTS_IMAGES = 32
FIRST_IMAGE_ID = 800_001
FIRST_OBJECT_CATEGORY, FIRST_PART_CATEGORY = 23, 2000  # where PACO's ids begin
# PACO has parts whose segmentation is an empty list; so has one object in so many here.
EMPTY_EVERY = 13


class _Builder:
    """Collects images and annotations; objects and parts go into one list, as in PACO."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.objects = 0
        self.object_ids = {name: FIRST_OBJECT_CATEGORY + 3 * k for k, name in enumerate(PLANS)}
        names = [f"{name}:{plan.name}" for name, plans in PLANS.items() for plan in plans]
        self.part_ids = {name: FIRST_PART_CATEGORY + k for k, name in enumerate(names)}

    def add(self, picture: np.ndarray, objects: tuple[ComposedObject, ...]) -> None:
        """Add one scene."""
        image_id = FIRST_IMAGE_ID + 11 * len(self.images)
        # PACO draws on two folders of COCO in every split.
        folder = "val2017" if len(self.images) % 4 == 0 else "train2017"
        file_name = f"{folder}/{image_id:012d}.jpg"
        path = self.root / "images" / file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path, quality=JPEG_QUALITY, subsampling=0)
        height, width = picture.shape[:2]
        self.images.append(
            {
                "id": image_id,
                "file_name": file_name,
                "width": width,
                "height": height,
                "license": 1,
                "neg_category_ids": [],
                "not_exhaustive_category_ids": [],
                "neg_category_ids_attrs": [],
                "not_exhaustive_category_ids_attrs": [],
            }
        )
        for item in objects:
            self._add_object(image_id, item)

    def _add_object(self, image_id: int, item: ComposedObject) -> None:
        self.objects += 1
        object_id = self._annotate(image_id, self.object_ids[item.name], item.mask, None)
        for part in item.parts:
            category = self.part_ids[f"{item.name}:{part.name}"]
            self._annotate(image_id, category, part.mask, object_id)
        if self.objects % EMPTY_EVERY == 0:
            self.annotations[-1]["segmentation"] = []

    def _annotate(self, image_id: int, category: int, mask: np.ndarray, owner: int | None) -> int:
        ann_id = 1 + len(self.annotations)
        self.annotations.append(
            {
                "id": ann_id,
                "obj_ann_id": ann_id if owner is None else owner,
                "image_id": image_id,
                "category_id": category,
                "bbox": [float(v) for v in tight_box(mask)],
                "area": float(mask.sum()),
                "segmentation": segmentation_of(mask, prefer_polygons=ann_id % 5 == 0),
                "attribute_ids": [],
                "dom_color_ids": [],
                "unknown_color": 0,
                "unknown_pattern_marking": 0,
                "unknown_material": 1,
                "unknown_transparency": 1,
            }
        )
        return ann_id

    def content(self) -> dict[str, Any]:
        """All that the annotation file holds."""
        categories: list[dict[str, Any]] = [
            {"id": number, "name": name, "supercategory": "OBJECT"}
            for name, number in self.object_ids.items()
        ] + [
            {"id": number, "name": name, "supercategory": "PART", "synset": name.split(":")[1]}
            for name, number in self.part_ids.items()
        ]
        counts: dict[int, int] = {}
        for annotation in self.annotations:
            key = annotation["category_id"]
            counts[key] = counts.get(key, 0) + 1
        parts = sorted({plan.name for plans in PLANS.values() for plan in plans})
        return {
            "info": {
                "description": "fgvp-kernels demo scenes with parts",
                "version": str(GENERATOR_VERSION),
            },
            "licenses": [{"id": 1, "name": "Apache-2.0", "url": ""}],
            "images": self.images,
            "annotations": self.annotations,
            "categories": [
                category | {"instance_count": counts.get(category["id"], 0), "frequency": "c"}
                for category in categories
            ],
            "part_categories": [
                {"id": k, "name": name, "supercategory": "PART"} for k, name in enumerate(parts)
            ],
            "attributes": [],
            "attr_type_to_attr_idxs": {
                "color": [], "pattern_marking": [], "material": [], "transparency": [],
            },
        }  # fmt: skip


def write_parts_data(root: Path, *, images: int = PARTS_IMAGES, seed: int = PARTS_SEED) -> None:
    """Write a data root with generated scenes in PACO-LVIS's format.

    The files are `demo_parts/paco_lvis_v1_val.json` and `images/{train2017,val2017}/*.jpg`.

    Args:
        root: folder to fill; made if it does not exist.
        images: number of scenes, >= 1.
        seed: seed of the scenes, >= 0.

    Raises:
        ValueError: if `images` or `seed` is out of range.
    """
    if images < 1 or seed < 0:
        raise ValueError(f"images must be at least 1 and seed at least 0, got {images}, {seed}")
    builder = _Builder(root)
    for k in range(images):
        builder.add(*generate_parts_scene(10_000 * seed + k))
    (root / "demo_parts").mkdir(parents=True, exist_ok=True)
    path = root / "demo_parts" / "paco_lvis_v1_val.json"
    path.write_text(json.dumps(builder.content()), encoding="utf-8")


@functools.cache
def parts_data_root() -> Path:
    """Data root of the split `demo_parts`, made on first use in the user's cache folder.

    It appears in one step, so that several processes may ask at once, and files of it that were
    damaged are made anew; where the cache folder cannot be written, it is a temporary folder of
    this process.
    """
    return made_whole(
        f"demo-parts-{generator_digest(PARTS_SEED, PARTS_IMAGES)}",
        lambda root: write_parts_data(root, images=PARTS_IMAGES, seed=PARTS_SEED),
        _temporary_root,
    )


def _temporary_root() -> Path:
    """The same data in a temporary folder."""
    root = temporary_folder(prefix="fgvp-demo-parts-")
    write_parts_data(root, images=PARTS_IMAGES, seed=PARTS_SEED)
    return root
