"""The demo data on disk, in RefCOCO's layout, made on first use."""

import functools
import json
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fgvp_eval.demo.annotations import segmentation_of
from fgvp_eval.demo.expressions import Expression, describe, describe_by_location
from fgvp_eval.demo.generator_digest import generator_digest
from fgvp_eval.demo.scenes import Scene, generate_scene
from fgvp_eval.demo.shapes import SHAPES
from fgvp_eval.machine.cache_folder import temporary_folder
from fgvp_eval.machine.whole_folder import made_whole

GENERATOR_VERSION = 1
DEMO_SEED = 0
DEMO_IMAGES = 128
# Two of three scenes are told by attributes; the others hold twins told by location.
LOCATION_EVERY = 3
FIRST_IMAGE_ID = 700_001
JPEG_QUALITY = 95


class _Builder:
    """Collects images, annotations and refs while the scenes are made."""

    def __init__(self, root: Path, seed: int) -> None:
        self.rng = np.random.default_rng([seed, 1])
        self.image_dir = root / "images" / "train2014"
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.refs: list[dict[str, Any]] = []
        self.sentences = 0
        # Surplus of gold objects at each position over what an even spread would give.
        self.surplus: dict[str, np.ndarray] = {"val": np.zeros(16), "location": np.zeros(16)}

    def add(self, scene: Scene, split: str, sayings: dict[int, list[Expression]]) -> None:
        """Add one scene; `sayings` maps indices of referred objects to their sentences."""
        image_id = FIRST_IMAGE_ID + 13 * len(self.images)
        file_name = f"COCO_train2014_{image_id:012d}.jpg"
        height, width = scene.image.shape[:2]
        Image.fromarray(scene.image).save(
            self.image_dir / file_name, quality=JPEG_QUALITY, subsampling=0
        )
        self.images.append(
            {
                "id": image_id,
                "file_name": file_name,
                "height": height,
                "width": width,
                "license": 1,
                "coco_url": "",
                "flickr_url": "",
                "date_captured": "",
            }
        )
        order = self._balanced_order(len(scene.objects), split, sayings)
        ann_ids: dict[int, int] = {}
        for index in order:
            item = scene.objects[index]
            ann_ids[index] = 50_000 + 7 * len(self.annotations)
            self.annotations.append(
                {
                    "id": ann_ids[index],
                    "image_id": image_id,
                    "category_id": 1 + SHAPES.index(item.attributes.shape),
                    "bbox": [float(v) for v in item.box_xywh],
                    "area": float(item.mask.sum()),
                    "iscrowd": 0,
                    "segmentation": segmentation_of(
                        item.mask, prefer_polygons=len(self.annotations) % 3 != 0
                    ),
                }
            )
        for k, (index, expressions) in enumerate(sayings.items()):
            sentences = [self._sentence(expression) for expression in expressions]
            self.refs.append(
                {
                    "ref_id": len(self.refs) + 1,
                    "ann_id": ann_ids[index],
                    "category_id": 1 + SHAPES.index(scene.objects[index].attributes.shape),
                    "image_id": image_id,
                    # The per-image suffix is RefCOCO's; it names no file and is no annotation id.
                    "file_name": f"COCO_train2014_{image_id:012d}_{k}.jpg",
                    "split": split,
                    "sent_ids": [sentence["sent_id"] for sentence in sentences],
                    "sentences": sentences,
                }
            )

    def _sentence(self, expression: Expression) -> dict[str, Any]:
        tokens = re.findall(r"[\w']+|[^\w\s]", expression.raw.lower().rstrip("."))
        self.sentences += 1
        return {
            "sent_id": self.sentences,
            "raw": expression.raw,
            "sent": " ".join(tokens),
            "tokens": tokens,
        }

    def _balanced_order(
        self, count: int, split: str, sayings: dict[int, list[Expression]]
    ) -> list[int]:
        """Random order of the annotations that keeps the gold positions evenly spread.

        The control that cannot see the prompt picks one position for every sentence, so its
        score is the share of gold objects there; plain shuffling would leave that to chance.
        """
        weights = np.zeros(count)
        for index, expressions in sayings.items():
            weights[index] = len(expressions)
        surplus = self.surplus[split]
        best: tuple[float, list[int], np.ndarray] | None = None
        for _ in range(24):
            order = [int(k) for k in self.rng.permutation(count)]
            after = surplus.copy()
            after[:count] += weights[order] - weights.sum() / count
            cost = float(np.square(after).sum())
            if best is None or cost < best[0]:
                best = (cost, order, after)
        assert best is not None
        self.surplus[split] = best[2]
        return best[1]


def _twin_sentences(scene: Scene, rng: np.random.Generator) -> dict[int, list[Expression]]:
    height, width = scene.image.shape[:2]
    return {
        target: describe_by_location(
            scene.objects, (0, 1), target, (width, height), int(rng.integers(1, 4)), rng
        )
        for target in (0, 1)
    }


def _plain_sentences(scene: Scene, rng: np.random.Generator) -> dict[int, list[Expression]]:
    referred = rng.permutation(len(scene.objects))[:2]
    return {
        int(target): describe(scene.objects, int(target), int(rng.integers(1, 4)), rng)
        for target in referred
    }


def write_demo_data(root: Path, *, images: int = DEMO_IMAGES, seed: int = DEMO_SEED) -> None:
    """Write a data root with generated scenes in RefCOCO's layout.

    The files are `demo/instances.json`, `demo/refs(unc).p` and `images/train2014/*.jpg`; the
    refs are of split "val" (told by attributes) or "location" (told by place).

    Args:
        root: folder to fill; made if it does not exist.
        images: number of scenes, >= 1; every third one is of split "location".
        seed: seed of the scenes, 0 <= seed < 100.

    Raises:
        ValueError: if `images` or `seed` is out of range.
    """
    if images < 1:
        raise ValueError(f"images must be at least 1, got {images}")
    if not 0 <= seed < 100:
        raise ValueError(f"seed must be in 0..99, got {seed}")
    (root / "demo").mkdir(parents=True, exist_ok=True)
    (root / "images" / "train2014").mkdir(parents=True, exist_ok=True)
    builder = _Builder(root, seed)
    for k in range(images):
        twins = k % LOCATION_EVERY == LOCATION_EVERY - 1
        scene = generate_scene(10_000 * seed + k, twins=twins)
        sentences = _twin_sentences if twins else _plain_sentences
        builder.add(scene, "location" if twins else "val", sentences(scene, builder.rng))
    instances = {
        "info": {
            "description": "fgvp-kernels demo scenes",
            "version": str(GENERATOR_VERSION),
            "contributor": "fgvp_eval.demo",
        },
        "licenses": [{"id": 1, "name": "Apache-2.0", "url": ""}],
        "images": builder.images,
        "annotations": builder.annotations,
        "categories": [
            {"id": k + 1, "name": name, "supercategory": "shape"} for k, name in enumerate(SHAPES)
        ],
    }
    (root / "demo" / "instances.json").write_text(json.dumps(instances), encoding="utf-8")
    with (root / "demo" / "refs(unc).p").open("wb") as file:
        pickle.dump(builder.refs, file, protocol=2)


def demo_data_root() -> Path:
    """Data root of the demo split, made on first use in the user's cache folder.

    The folder is `demo-<hash>` in `$FGVP_CACHE_DIR` or else in the platform's cache folder of
    "fgvp-kernels". It appears in one step, so that several processes may ask at once; files of it
    that were damaged are made anew.
    """
    return made_whole(
        f"demo-{generator_digest(DEMO_SEED, DEMO_IMAGES)}",
        lambda root: write_demo_data(root, images=DEMO_IMAGES, seed=DEMO_SEED),
        _temporary_root,
    )


@functools.cache
def _temporary_root() -> Path:
    """Demo data in a temporary folder, made once in a process."""
    root = temporary_folder(prefix="fgvp-demo-")
    write_demo_data(root, images=DEMO_IMAGES, seed=DEMO_SEED)
    return root
