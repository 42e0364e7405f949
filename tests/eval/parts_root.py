"""A PACO annotation file with all its quirks, and images for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

HEIGHT, WIDTH = 90, 120
MUG, HANDLE, RIM = 61, 2200, 2201
CAR, WHEEL, DOOR = 30, 2100, 2101


def rectangle(left: int, top: int, width: int, height: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    mask[top : top + height, left : left + width] = 1
    return mask


def compressed(mask: np.ndarray) -> dict[str, Any]:
    rle = coco_mask.encode(np.asfortranarray(mask))
    return {"size": [HEIGHT, WIDTH], "counts": rle["counts"].decode("ascii")}


def uncompressed(mask: np.ndarray) -> dict[str, Any]:
    runs = np.flatnonzero(np.diff(np.concatenate([[2], mask.ravel(order="F"), [2]])))
    counts = np.diff(runs).tolist()
    return {"size": [HEIGHT, WIDTH], "counts": [0, *counts] if mask[0, 0] else counts}


class PartsRoot:
    """Files under ``path``: a mug with a handle and a rim, and a car with doors and two wheels."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.images = [
            {"id": 5, "file_name": "train2017/000000000005.jpg", "height": HEIGHT, "width": WIDTH},
            {"id": 9, "file_name": "val2017/000000000009.jpg", "height": HEIGHT, "width": WIDTH},
        ]
        self.categories = [
            {"id": MUG, "name": "mug", "supercategory": "OBJECT"},
            {"id": CAR, "name": "car_(automobile)", "supercategory": "OBJECT"},
            {"id": HANDLE, "name": "mug:handle", "supercategory": "PART", "synset": "handle"},
            {"id": RIM, "name": "mug:rim", "supercategory": "PART"},
            {"id": WHEEL, "name": "car_(automobile):wheel", "supercategory": "PART"},
            {"id": DOOR, "name": "car_(automobile):sliding_door", "supercategory": "PART"},
        ]
        self.annotations: list[dict[str, Any]] = []
        mask = rectangle(10, 10, 50, 40)
        # A part may come before its object, as both are in one list.
        self.add(901, 900, HANDLE, 5, rectangle(50, 15, 10, 30), uncompressed)
        self.add(900, 900, MUG, 5, mask, compressed)
        self.add(902, 900, RIM, 5, rectangle(10, 10, 50, 6), compressed)
        left, top, right, bottom = 20, 20, 100, 70
        self.add(910, 910, CAR, 9, rectangle(20, 20, 80, 50), compressed)
        self.annotations[-1]["segmentation"] = [
            [left, top, right, top, right, bottom, left, bottom]
        ]
        self.add(911, 910, DOOR, 9, rectangle(40, 30, 20, 20), compressed)
        wheels = np.maximum(rectangle(25, 60, 10, 10), rectangle(80, 60, 10, 10))
        self.add(912, 910, WHEEL, 9, wheels, compressed)

    def add_images(self, count: int) -> PartsRoot:
        """Add images of a mug, each with its handle elsewhere."""
        for number in range(count):
            image_id, mug_id = 100 + number, 1000 + 10 * number
            name = f"train2017/{image_id:012d}.jpg"
            self.images.append(
                {"id": image_id, "file_name": name, "height": HEIGHT, "width": WIDTH}
            )
            self.add(mug_id, mug_id, MUG, image_id, rectangle(20, 20, 60, 40), compressed)
            handle = rectangle(70, 22 + 2 * number, 10, 20)
            self.add(mug_id + 1, mug_id, HANDLE, image_id, handle, compressed)
            self.add(mug_id + 2, mug_id, RIM, image_id, rectangle(20, 20, 60, 6), compressed)
        return self

    @property
    def json_path(self) -> Path:
        return self.path / "paco" / "paco_lvis_v1_val.json"

    def add(
        self, ann_id: int, owner: int, category: int, image_id: int, mask: np.ndarray, form: Any
    ) -> dict[str, Any]:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        x, y = float(columns[0]), float(rows[0])
        self.annotations.append(
            {
                "id": ann_id,
                "obj_ann_id": owner,
                "image_id": image_id,
                "category_id": category,
                "bbox": [x, y, float(columns[-1]) + 1 - x, float(rows[-1]) + 1 - y],
                "area": float(mask.sum()),
                "segmentation": form(mask),
                "attribute_ids": [],
            }
        )
        return self.annotations[-1]

    def write_annotations(self) -> None:
        self.json_path.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "images": self.images,
            "annotations": self.annotations,
            "categories": self.categories,
        }
        self.json_path.write_text(json.dumps(content))

    def save(self) -> PartsRoot:
        self.write_annotations()
        for number, image in enumerate(self.images):
            path = self.path / "images" / str(image["file_name"])
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(path)
        return self
