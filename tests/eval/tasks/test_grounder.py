"""``Grounder``: what a program gets is what ``python -m fgvp_eval.ground`` writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from fgvp_eval import Grounder, RegionEncoder
from fgvp_eval.commands.ground.__main__ import main
from fgvp_eval.data.photos import demo_picture, read_demo
from fgvp_eval.masks.sources import MaskedBoxes
from fgvp_eval.tasks.grounding import GroundedText

# Of pycocotools.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

MODES = ("crop", "D4")
TEXTS = ["The circle", "a green thing", "the star on the left"]


def demo_image(number: int) -> np.ndarray:
    return read_demo(demo_picture(f"demo:{number}")[1]).pixels


def make(masks: Any = "demo", **options: Any) -> Grounder:
    return Grounder(masks=masks, clip="demo", modes=MODES, device="cpu", **options)


def assert_close(found: list[GroundedText], expected: list[GroundedText]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert (one.text, one.chosen) == (other.text, other.chosen)
        for a, b in zip(one.candidates, other.candidates, strict=True):
            assert a.box_xyxy == b.box_xyxy
            assert torch.equal(a.mask, b.mask)
            assert a.score == pytest.approx(b.score, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ([], {}),
        (["--post", "R", "--seed", "3", "--clean-masks", "0"], {"post": "R", "seed": 3}),
        (["--post", "S", "--color", "text"], {"post": "S", "color": "text"}),
    ],
    ids=["plain", "R", "S"],
)
def test_equal_to_the_command(tmp_path: Path, words: list[str], options: dict[str, Any]) -> None:
    if "S" in options.get("post", ""):
        options = {**options, "negatives": ["a red star", "the square"]}
        (tmp_path / "negatives.txt").write_text("a red star\nthe square\n")
        words = [*words, "--negatives", str(tmp_path / "negatives.txt")]
    if "--clean-masks" in words:
        options = {**options, "clean_masks": 0}
    command = ["demo:2", "--text", *TEXTS, "--modes", ",".join(MODES), "--out", str(tmp_path)]
    assert main([*command, *words]) == 0
    record = json.loads((tmp_path / "ground.json").read_text())
    found = make(**options)(demo_image(2), TEXTS)
    masks = coco_mask.decode(record["masks"]).transpose(2, 0, 1)  # [N, H, W]
    for index, of_text in enumerate(found):
        assert of_text.text == TEXTS[index]
        assert of_text.chosen == record["assignment"][index]
        assert [list(one.box_xyxy) for one in of_text.candidates] == record["candidates_xyxy"]
        assert [one.score for one in of_text.candidates] == record["scores"][index]
        assert [one.probability for one in of_text.candidates] == record["probabilities"][index]
        for one, mask in zip(of_text.candidates, masks, strict=True):
            np.testing.assert_array_equal(one.mask.numpy(), mask)


def test_several_images_are_those_of_each_alone() -> None:
    grounder = make()
    images, texts = [demo_image(1), demo_image(2)], [TEXTS[:1], TEXTS]
    found = grounder(images, texts)
    assert [len(of_image) for of_image in found] == [1, 3]
    for image, own, of_image in zip(images, texts, found, strict=True):
        assert_close(of_image, grounder(image, own))


def test_scores_are_those_of_the_encoder() -> None:
    image = demo_image(2)
    height, width = image.shape[:2]
    masks = np.zeros((2, height, width), dtype=bool)
    masks[0, 5:40, 5:40] = masks[1, 30:70, 20:60] = True
    found = make(None)(image, TEXTS, masks=masks)
    assert found[0].candidates[1].box_xyxy == (20, 30, 60, 70)
    encoder = RegionEncoder("demo", MODES, device="cpu")
    (scores,) = encoder.scores(encoder(image, masks), TEXTS)
    given = [[one.score for one in of_text.candidates] for of_text in found]
    np.testing.assert_allclose(given, scores.numpy(), rtol=1e-4, atol=1e-4)
    shares = torch.softmax(torch.tensor(given), 1)
    probabilities = [[one.probability for one in of_text.candidates] for of_text in found]
    np.testing.assert_allclose(probabilities, shares.numpy(), rtol=1e-5, atol=1e-9)
    # Three texts, two candidates: one of the texts gets none.
    assert sorted(str(of_text.chosen) for of_text in found) == ["0", "1", "None"]
    (left,) = [of_text for of_text in found if of_text.chosen is None]
    assert left.box_xyxy is left.mask is left.score is left.probability is None
    for of_text in found:
        if of_text.chosen is not None:
            assert of_text.mask is not None
            np.testing.assert_array_equal(of_text.mask.numpy(), masks[of_text.chosen])


def test_boxes_are_masked_by_sam(tmp_path: Path) -> None:
    boxes = [[9, 86, 41, 122], [30, 30, 80, 70]]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    command = ["demo:2", "--boxes", str(tmp_path / "boxes.json"), "--box-format", "xyxy"]
    command += ["--text", *TEXTS, "--modes", ",".join(MODES), "--out", str(tmp_path / "out")]
    assert main(command) == 0
    record = json.loads((tmp_path / "out" / "ground.json").read_text())
    found = make()(demo_image(2), TEXTS, boxes=boxes)
    assert [[one.score for one in of_text.candidates] for of_text in found] == record["scores"]
    # Crops look at no mask, so that none is made.
    crops = Grounder(None, "demo", ["crop"], device="cpu")(demo_image(2), TEXTS, boxes=boxes)
    assert not any(one.mask.any() for one in crops[0].candidates)


def test_a_mask_source_of_ones_own_and_no_candidates() -> None:
    class Halves:
        stage = "masks"

        def find(self, image: object, pixels: np.ndarray) -> MaskedBoxes:
            height, width = pixels.shape[:2]
            masks = torch.zeros(2, height, width, dtype=torch.bool)
            masks[0, :, : width // 2] = masks[1, :, width // 2 :] = True
            return MaskedBoxes(((0, 0, width // 2, height), (width // 2, 0, width, height)), masks)

    grounder, image = make(Halves()), demo_image(2)
    levels = grounder(image, TEXTS)
    assert len(levels[0].candidates) == 2
    assert_close(grounder(torch.from_numpy(image).permute(2, 0, 1), TEXTS), levels)
    masks = torch.zeros(0, *image.shape[:2], dtype=torch.bool)
    none = grounder([image, image], [TEXTS, TEXTS[:1]], masks=[masks, masks])
    assert [[of_text.candidates for of_text in of_image] for of_image in none] == [[()] * 3, [()]]
    assert none[0][0].box_xyxy is None


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"masks": "vit_x"}, ValueError, "masks must be one of"),
        ({"masks": 3}, TypeError, "masks must name a SAM"),
        ({"post": "X"}, ValueError, "post must be one of"),
        ({"post": "S"}, ValueError, "negatives must be sentences"),
        ({"negatives": ["x"]}, ValueError, "negatives must be sentences"),
        ({"post": "S", "negatives": [" "]}, ValueError, r"negatives\[0\] must not be empty"),
        ({"clean_masks": -1}, ValueError, "clean_masks must be at least 0"),
    ],
)
def test_wrong_arguments_are_named(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make(**options)


@pytest.mark.parametrize(
    ("images", "texts", "given", "error", "message"),
    [
        (1, [], {}, ValueError, "texts must hold at least one"),
        (1, [""], {}, ValueError, r"texts\[0\] must not be empty"),
        (1, "the circle", {}, TypeError, "texts must be a sequence"),
        (2, ["a", "b"], {}, TypeError, r"texts\[0\] must be a sequence"),
        (2, [["a"]], {}, ValueError, "texts must have one sequence"),
        (1, ["a"], {}, ValueError, "masks or boxes must be given"),
        (1, ["a"], {"boxes": [[0, 0, 9, 9]]}, ValueError, "masks must be given for mode"),
    ],
)
def test_wrong_calls_are_named(
    images: int, texts: Any, given: dict[str, Any], error: type[Exception], message: str
) -> None:
    image = demo_image(1)
    with pytest.raises(error, match=message):
        make(None)(image if images == 1 else [image] * images, texts, **given)


def test_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    make(post="R")(demo_image(1), TEXTS[:1])
    assert capsys.readouterr() == ("", "")
