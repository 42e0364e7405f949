"""A data root in the real layout with all its quirks, and models small enough for tests."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from fgvp_eval.commands.evaluate import run_command
from fgvp_eval.demo import models as demo_models
from fgvp_eval.masks import by_grid
from fgvp_eval.masks.by_grid import GridSettings

HEIGHT, WIDTH = 48, 64
# Three objects an image, xywh; disjoint, so that each candidate is right for one object only.
BOXES_XYWH = [[2.0, 3.0, 16.0, 12.0], [30.0, 4.0, 20.0, 18.0], [12.0, 26.0, 24.0, 16.0]]
IMAGE_IDS = [391895, 42, 7]
COLOURS = [(200, 30, 30), (30, 180, 40), (40, 60, 220)]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def segmentation(box_xywh: list[float], form: int) -> Any:
    """A rectangle as polygons, as compressed RLE, or as uncompressed RLE."""
    left, top, width, height = (int(number) for number in box_xywh)
    if form == 0:
        right, bottom = left + width, top + height
        return [[left, top, right, top, right, bottom, left, bottom], [1, 1, 2, 2]]
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8, order="F")
    mask[top : top + height, left : left + width] = 1
    if form == 1:
        rle = coco_mask.encode(mask)
        return {"size": [HEIGHT, WIDTH], "counts": rle["counts"].decode("ascii")}
    runs = np.flatnonzero(np.diff(np.concatenate([[2], mask.ravel(order="F"), [2]])))
    return {"size": [HEIGHT, WIDTH], "counts": np.diff(runs).tolist()}


class RefcocoRoot:
    """Files of one data set under ``path``; ``refs`` and ``instances`` are written by ``save``."""

    def __init__(self, path: Path, dataset: str = "refcoco+", split_by: str = "unc") -> None:
        self.path, self.dataset, self.split_by = path, dataset, split_by
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.refs: list[dict[str, Any]] = []
        for number, image_id in enumerate(IMAGE_IDS):
            self._add_image(number, image_id)

    @property
    def refs_path(self) -> Path:
        return self.path / self.dataset / f"refs({self.split_by}).p"

    @property
    def instances_path(self) -> Path:
        return self.path / self.dataset / "instances.json"

    @property
    def detections_path(self) -> Path:
        return self.path / "detections" / f"{self.dataset}_dets_dict.json"

    def image_path(self, image_id: int) -> Path:
        return self.path / f"images/train2014/COCO_train2014_{image_id:012d}.jpg"

    def _add_image(self, number: int, image_id: int) -> None:
        rng = np.random.default_rng(number)
        pixels = rng.integers(100, 156, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        self.images.append({"id": image_id, "height": HEIGHT, "width": WIDTH})
        for index, box in enumerate(BOXES_XYWH):
            left, top, width, height = (int(value) for value in box)
            pixels[top : top + height, left : left + width] = COLOURS[index]
            ann_id = 1000 * (number + 1) + index
            self.annotations.append(
                {
                    "id": ann_id,
                    "image_id": image_id,
                    "category_id": 1,
                    "bbox": box,
                    "segmentation": segmentation(box, index),
                }
            )
            if index < 2:
                self._add_ref(number, index, ann_id, image_id)
        path = self.image_path(image_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, quality=95)

    def _add_ref(self, number: int, index: int, ann_id: int, image_id: int) -> None:
        raws = [f"The {('RED', 'Green')[index]} box.", f"Thing {number}-{index}, please"]
        self.refs.append(
            {
                "ref_id": 10 * number + index,
                # All forms that the field has in the wild.
                "ann_id": (ann_id, str(ann_id), [ann_id])[number % 3],
                "image_id": image_id,
                "category_id": 1,
                # The suffix is no annotation id and on no disk.
                "file_name": f"COCO_train2014_{image_id:012d}_{index}.jpg",
                "split": "testA",
                "sent_ids": [100 * number + 10 * index + k for k in range(2)],
                "sentences": [
                    {
                        "sent_id": 100 * number + 10 * index + k,
                        "raw": raw,
                        "sent": raw.lower().rstrip("."),
                        "tokens": raw.lower().split(),
                    }
                    for k, raw in enumerate(raws)
                ],
            }
        )

    def add_images(self, count: int) -> RefcocoRoot:
        """Add images beyond the three of the default."""
        for number in range(len(self.images), len(self.images) + count):
            self._add_image(number, 1000 + number)
        return self

    def detections(self) -> dict[str, list[list[float]]]:
        """Boxes a pixel off the annotated ones."""
        shifted = [[x + 1, y + 1, w, h] for x, y, w, h in BOXES_XYWH]
        return {str(image["id"]): shifted for image in self.images}

    def save(self, detections: object = None) -> RefcocoRoot:
        """Write references, a decoy of another split, instances and, if given, detections."""
        self.refs_path.parent.mkdir(parents=True, exist_ok=True)
        decoys = [dict(ref, ref_id=900 + k, split="testB") for k, ref in enumerate(self.refs)]
        self.refs_path.write_bytes(pickle.dumps([*self.refs, *decoys], protocol=2))
        content = {"images": self.images, "annotations": self.annotations, "categories": []}
        self.instances_path.write_text(json.dumps(content))
        if detections is not None:
            self.detections_path.parent.mkdir(parents=True, exist_ok=True)
            self.detections_path.write_text(json.dumps(detections))
        return self


@pytest.fixture
def root(tmp_path: Path) -> RefcocoRoot:
    """RefCOCO+ testA: 3 images, 3 objects each, 6 refs, 12 sentences; not yet saved."""
    return RefcocoRoot(tmp_path / "data")


@pytest.fixture
def make_root(tmp_path: Path) -> Callable[..., RefcocoRoot]:
    """The class, for other data sets: ``make_root("demo")``."""
    return lambda *names: RefcocoRoot(tmp_path / "data", *names)


@pytest.fixture
def random_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo models, with random weights in the place of the trained ones."""

    def sam(device: torch.device) -> Any:
        torch.manual_seed(0)
        return demo_models.build_demo_sam().to(device).eval()

    def clip(device: torch.device) -> Any:
        torch.manual_seed(1)
        model, tokenizer = demo_models.build_demo_clip()
        return model.to(device).eval(), tokenizer

    monkeypatch.setattr(demo_models, "load_demo_sam", sam)
    monkeypatch.setattr(demo_models, "load_demo_clip", clip)


@pytest.fixture
def coarse_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    """A grid of few points, from which a random SAM still finds something."""
    settings = GridSettings(points_per_side=3, pred_iou_thresh=-9.0, stability_score_thresh=0.0)
    monkeypatch.setattr(by_grid, "DEMO_GRID", settings)


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line in a folder of its own; gives exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FGVP_DATA_ROOT", raising=False)

    def call(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run_command([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def one_line(stderr: str) -> str:
    """The one line of ``stderr``, which reports an error."""
    lines = stderr.splitlines()
    assert len(lines) == 1, stderr
    assert lines[0].startswith("fgvp_eval: error: ")
    return lines[0]


@pytest.fixture
def refusal(run: Run) -> Callable[..., str]:
    """Run a command line that must exit 2 with nothing on stdout; gives its error line."""

    def call(*words: object) -> str:
        code, out, err = run(*words)
        assert (code, out) == (2, ""), err
        return one_line(err)

    return call
