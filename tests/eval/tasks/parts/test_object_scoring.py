"""The two inputs of part detection, and what is kept of an object in the journal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from parts_root import HEIGHT, WIDTH, compressed, rectangle

from fgvp_eval.data.parts_records import Part, PartedObject, PartsImage
from fgvp_eval.data.records import Annotation
from fgvp_eval.errors import DataError
from fgvp_eval.machine.stage_times import StageTimes
from fgvp_eval.masks.masked_image import MaskedImage
from fgvp_eval.tasks.parts.object_scoring import ObjectScorer
from fgvp_eval.tasks.parts.scored_objects import Condition, ScoredObject
from fgvp_eval.tasks.parts.scoring import PartScorer

# Object 1 has two parts; object 2 has one, whose mask is broken in one test.
OBJECTS_XYWH = {1: (20.0, 10.0, 40.0, 40.0), 2: (70.0, 30.0, 40.0, 50.0)}
PIXELS = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
FOUND = np.stack(
    [rectangle(*box).astype(bool) for box in [(22, 12, 10, 10), (50, 10, 30, 10), (80, 40, 9, 9)]]
)  # [3, H, W]: in object 1, a third of it in object 1, in object 2
CONDITIONS = [Condition(p, i) for p in ("naming", "detection") for i in ("object", "image")]  # type: ignore[arg-type]


class Recorder:
    """Takes the places of the grid and of the scorer."""

    def __init__(self) -> None:
        self.pictures: list[NDArray[np.uint8]] = []
        self.asked: list[tuple[tuple[int, ...], bool]] = []

    def find(self, picture: NDArray[np.uint8], *, is_whole: bool) -> NDArray[np.bool_]:
        self.asked.append((picture.shape[:2], is_whole))
        return FOUND if is_whole else np.ones((1, *picture.shape[:2]), dtype=bool)

    def encode(self, pictures: Sequence[MaskedImage]) -> list[MaskedImage]:
        self.pictures += [picture.pixels for picture in pictures]
        for picture in pictures:
            assert picture.masks.shape == (len(picture), *picture.pixels.shape[:2])
        return list(pictures)

    def cosines(
        self, features: MaskedImage | None, texts: Sequence[str]
    ) -> dict[str, NDArray[np.float64]]:
        return {"crop": np.ones((len(texts), 0 if features is None else len(features)))}


def part(ann_id: int, box: tuple[int, int, int, int], **changes: Any) -> Part:
    segmentation = compressed(rectangle(*box)) | changes
    return Part(f"part {ann_id}", Annotation(ann_id, tuple(map(float, box)), segmentation))  # type: ignore[arg-type]


def image(**changes: Any) -> PartsImage:
    parts = {1: (part(11, (22, 12, 10, 10)), part(12, (40, 30, 10, 15)))}
    parts[2] = (part(21, (80, 40, 10, 10), **changes),)
    things = tuple(PartedObject(k, box, parts[k]) for k, box in OBJECTS_XYWH.items())
    return PartsImage(5, Path("5.jpg"), "5.jpg", (HEIGHT, WIDTH), things)


def score(recorder: Any, image: PartsImage) -> dict[int, Any]:
    times = StageTimes(torch.device("cpu"))
    scorer = ObjectScorer(tuple(CONDITIONS), recorder, recorder, seed=0, times=times)
    return {thing.object_id: found for thing, found in scorer.score(image, PIXELS)}


def test_both_inputs_are_what_they_say() -> None:
    recorder = Recorder()
    found = score(recorder, image())
    crops = {1: PIXELS[8:52, 18:62], 2: PIXELS[27:83, 68:112]}
    expected = [crops[1], PIXELS, crops[1], PIXELS, crops[2], PIXELS, crops[2], PIXELS]
    for seen, wanted in zip(recorder.pictures, expected, strict=True):
        np.testing.assert_array_equal(seen, wanted)
    # The whole image once for both objects.
    assert recorder.asked == [((HEIGHT, WIDTH), True), ((44, 44), False), ((56, 44), False)]
    for number, gold in ((1, {(22, 12, 32, 22), (40, 30, 50, 45)}), (2, {(80, 40, 90, 50)})):
        for naming in found[number][:2]:
            assert {tuple(box) for box in naming.candidates_xyxy} == gold
            np.testing.assert_array_equal(naming.box_iou, naming.right)
            np.testing.assert_array_equal(naming.mask_iou, naming.right)
    assert found[1][3].candidates_xyxy.tolist() == [[22, 12, 32, 22]]
    assert found[2][3].candidates_xyxy.tolist() == [[80, 40, 89, 49]]
    np.testing.assert_allclose(found[1][3].mask_iou, [[1, 0]])
    np.testing.assert_allclose(found[2][3].box_iou, [[0.81]])
    assert found[1][2].candidates_xyxy.tolist() == [[18, 8, 62, 52]]  # a mask of the whole crop


def test_broken_object_leaves_the_others() -> None:
    found = score(Recorder(), image(size=[1, 1]))
    assert isinstance(found[2], DataError)
    assert "5.jpg: object 2: segmentation of annotation 21 is broken" in str(found[2])
    assert len(found[1]) == 4


@pytest.mark.parametrize(("parts", "count"), [(1, 1), (3, 4), (2, 0)])
@pytest.mark.parametrize("naming", [True, False])
def test_record_keeps_every_bit(parts: int, count: int, naming: bool) -> None:
    rng = np.random.default_rng(0)
    first = ScoredObject(
        object_id=3,
        candidates_xyxy=rng.normal(size=(count, 4)),
        part_of=rng.permutation(count) if naming else None,
        box_iou=rng.random((count, parts)),
        mask_iou=rng.random((count, parts)),
        scores={modes: rng.normal(size=(parts, count)) for modes in ("crop", "crop+none")},
    )
    again = ScoredObject.from_record(first.record())
    for name, value in vars(first).items():
        np.testing.assert_equal(getattr(again, name), value)
    np.testing.assert_array_equal(again.right, first.right)


@pytest.mark.parametrize(
    ("at_once", "calls"), [(100, [[3, 4, 2]]), (7, [[3, 4], [2]]), (1, [[3], [4], [2]])]
)
def test_candidates_of_several_pictures_share_a_batch(at_once: int, calls: list[list[int]]) -> None:
    seen: list[list[int]] = []

    class Encoder:
        def encode(self, pictures: Sequence[MaskedImage]) -> list[int]:
            seen.append([len(picture) for picture in pictures])
            return seen[-1]

    pictures = [
        MaskedImage(
            PIXELS, torch.ones(count, HEIGHT, WIDTH, dtype=torch.bool), [(0.0, 0, 9, 9)] * count
        )
        for count in (3, 4, 2)
    ]
    scorer: Any = Encoder()
    found: Any = PartScorer(scorer, ("crop",), (("crop",),), 1.0, None, at_once).encode(pictures)
    assert (found, seen) == ([3, 4, 2], calls)
