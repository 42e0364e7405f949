"""Prompts by way of SAM's frame, against the released steps put together from Pillow and torch."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from segment_anything.modeling import Sam
from segment_anything.utils.amg import remove_small_regions
from test_feature_cache import CLIP, Setup
from torch.nn import functional

from fgvp_eval.data.candidates import Candidates
from fgvp_eval.data.records import ImageRecord
from fgvp_eval.demo import models as demo_models
from fgvp_eval.encoding.clip_models import PictureSpec
from fgvp_eval.encoding.drawing import draw_styles
from fgvp_eval.encoding.prompt_pictures import draw_prompts
from fgvp_eval.errors import DataError
from fgvp_eval.masks.embedding_cache import EmbeddingCache
from fgvp_eval.masks.masked_image import MaskedImage
from fgvp_eval.masks.sam_models import SamModel, state_sha256
from fgvp_eval.masks.sam_prompting import moved_to_sam_frame
from fgvp_eval.masks.sources import BoxPrompts
from tolerances import RELEASED_MAX

CPU = torch.device("cpu")
SPEC = PictureSpec((224, 224), (0.48, 0.46, 0.41), (0.27, 0.26, 0.28))
AREA = 400
MODES = ("crop", "mask", "blur_reverse_mask")
PIXELS = np.array(
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize(
        (90, 61), Image.Resampling.BICUBIC
    )
)
BOXES_XYWH = ((10.25, 10.5, 20.0, 21.75), (0.0, 5.0, 60.0, 40.0), (70.0, 20.0, 20.0, 41.0))
IMAGE = ImageRecord(7, Path("none.jpg"), "none.jpg", (61, 90), (), ())
CANDIDATES = Candidates({IMAGE.image_id: BOXES_XYWH}, {})


@cache
def small_sam() -> SamModel:
    """A random SAM that sees 1024 pixels, as the official ones do, with masks that differ."""
    torch.manual_seed(9)
    sizes = {"SAM_IMAGE_SIZE": 1024, "SAM_PATCH_SIZE": 64}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in sizes.items():
            patch.setattr(demo_models, name, value)
        sam = demo_models.build_demo_sam().eval()
    with torch.no_grad():
        for parameter in sam.mask_decoder.parameters():
            parameter.mul_(3.0)
    return SamModel("demo", sam, state_sha256(sam))


@torch.no_grad()
def released_masks(sam: Sam, frame: Any, boxes: torch.Tensor) -> Any:
    """``[N, h, w]`` bool: one prompt a box, enlarged at once to 1024, thresholded, cleaned."""
    pixels = torch.tensor(frame).permute(2, 0, 1)[None]
    sparse, dense = sam.prompt_encoder(points=None, boxes=boxes[:, None], masks=None)
    low, _ = sam.mask_decoder(
        image_embeddings=sam.image_encoder(sam.preprocess(pixels)),
        image_pe=sam.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=False,
    )
    square = functional.interpolate(low, (1024, 1024), mode="bilinear", align_corners=False)
    masks = (square[:, 0, : frame.shape[0], : frame.shape[1]] > 0).numpy()
    filled = [remove_small_regions(mask, AREA, mode="holes")[0] for mask in masks]
    return np.stack([remove_small_regions(mask, AREA, mode="islands")[0] for mask in filled])


def released_pictures(sam: Sam, mode: str) -> tuple[Any, Any, torch.Tensor]:
    """The image and its masks at long side 1024, and pictures ``[N, 3, 224, 224]`` in levels."""
    (h, w), longest = PIXELS.shape[:2], max(PIXELS.shape)
    height, width = (int(side * 1024 / longest + 0.5) for side in (h, w))
    frame = np.asarray(Image.fromarray(PIXELS).resize((width, height), Image.Resampling.BILINEAR))
    x, y, box_w, box_h = np.array(BOXES_XYWH).T
    corners = torch.tensor(np.stack([x, y, x + box_w, y + box_h], 1), dtype=torch.float32)
    factors = torch.tensor([width / w, height / h] * 2, dtype=torch.float32)
    masks = released_masks(sam, frame, corners * factors)
    scale = 384 / min(height, width)
    canvas = (int(height * scale + 0.5), int(width * scale + 0.5))
    small = Image.fromarray(frame).resize(canvas[::-1], Image.Resampling.BILINEAR)
    touched = functional.interpolate(
        torch.from_numpy(masks)[:, None].float(), canvas, mode="bilinear", align_corners=False
    )
    drawn = []
    for inside in (touched[:, 0] > 0).numpy():
        if mode == "blur_reverse_mask":
            picture = small.filter(ImageFilter.GaussianBlur(100))
            picture.paste(small, mask=Image.fromarray(inside))
            drawn.append(np.asarray(picture))
        else:
            green = np.asarray(small).copy()
            green[inside] = (0, 255, 0)
            drawn.append(cv2.addWeighted(green, 0.5, np.asarray(small), 0.5, 0.0))
    pictures = torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).float()
    for size in ((384, 384), SPEC.size):
        pictures = functional.interpolate(pictures, size, mode="bilinear", align_corners=False)
    return frame, masks, pictures


def found_image(in_sam_frame: bool, cache: EmbeddingCache | None = None) -> MaskedImage:
    source = BoxPrompts(CANDIDATES, small_sam(), AREA, cache, in_sam_frame=in_sam_frame)
    found = source.find(IMAGE, PIXELS)
    return MaskedImage(PIXELS, found.masks, found.boxes_xyxy, found.resized)


def drawn_levels(image: MaskedImage) -> dict[str, torch.Tensor]:
    pictures = draw_prompts(
        image,
        range(3),
        draw_styles(MODES, "fgvp", seed=0),
        spec=SPEC,
        dtype=torch.float32,
        device=CPU,
    )  # [K, 3, 3, 224, 224]
    mean, std = (torch.tensor(of)[:, None, None] for of in (SPEC.mean, SPEC.std))
    return dict(zip(MODES, (pictures * std + mean) * 255, strict=True))


@pytest.mark.parametrize("mode", MODES[1:])
def test_prompts_are_drawn_where_the_masks_were_found(mode: str) -> None:
    image = found_image(in_sam_frame=True)
    frame, masks, expected = released_pictures(small_sam().sam, mode)
    assert image.resized is not None
    np.testing.assert_array_equal(image.resized.pixels, frame)
    np.testing.assert_array_equal(image.resized.masks.numpy(), masks)
    assert (masks.mean((1, 2)) > 0.1).all()
    assert (masks.mean((1, 2)) < 0.9).all()
    off = (drawn_levels(image)[mode] - expected).abs()
    assert off.max() <= RELEASED_MAX
    own = (drawn_levels(found_image(in_sam_frame=False))[mode] - expected).abs()
    assert own.mean() > 2 * off.mean()


def test_crops_are_cut_from_the_original_and_boxes_stay() -> None:
    image, own = found_image(in_sam_frame=True), found_image(in_sam_frame=False)
    assert torch.equal(drawn_levels(image)["crop"], drawn_levels(own)["crop"])
    assert image.boxes_xyxy == own.boxes_xyxy
    assert image.boxes_xyxy[0] == (10.25, 10.5, 30.25, 32.25)


def test_both_ways_share_the_embedding(tmp_path: Path) -> None:
    kept = EmbeddingCache(tmp_path)
    for in_sam_frame in (False, True):
        cached = found_image(in_sam_frame, kept)
        plain = found_image(in_sam_frame)
        pairs = [(cached, plain), (cached.resized or cached, plain.resized or plain)]
        assert all(torch.equal(a.masks, b.masks) for a, b in pairs)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1


def test_features_of_the_frame_are_told_from_those_of_the_image(tmp_path: Path) -> None:
    setup = Setup(clip=CLIP, images=(found_image(in_sam_frame=False),))
    framed = replace(setup, images=(found_image(in_sam_frame=True),))
    assert setup.encode(tmp_path) == framed.encode(tmp_path) == 3
    assert setup.encode(tmp_path) == framed.encode(tmp_path) == 0
    # A picture of the original is one and the same.
    style = replace(setup.style, order="render_first")
    crops = [replace(one, mode="crop", style=style).encode(tmp_path) for one in (setup, framed)]
    assert crops == [3, 0]


def test_an_image_too_thin_for_the_frame_is_refused() -> None:
    with pytest.raises(DataError, match="an image of 5000x2 has no pixels at long side 1024"):
        moved_to_sam_frame(np.zeros((2, 5000, 3), np.uint8), ((0.0, 0.0, 9.0, 2.0),))
