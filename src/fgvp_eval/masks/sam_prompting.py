"""SAM with an image set: its encoder runs once per image, or not at all if the result is kept.

And the frame that the released code moves an image to before it prompts SAM.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything import SamPredictor
from segment_anything.utils.transforms import ResizeLongestSide

from fgvp_eval.data.records import Box
from fgvp_eval.errors import DataError
from fgvp_eval.masks.cleanup import SAM_FRAME
from fgvp_eval.masks.embedding_cache import EmbeddingCache, embedding_key
from fgvp_eval.masks.sam_models import SamModel


@torch.no_grad()
def prompt_ready(
    model: SamModel, image: NDArray[np.uint8], cache: EmbeddingCache | None = None
) -> SamPredictor:
    """Return a predictor that takes prompts on ``image``.

    Args:
        model: The SAM.
        image: ``[H, W, 3]`` uint8 RGB.
        cache: Where embeddings are looked up and kept; None for nowhere.
    """
    predictor = SamPredictor(model.sam)
    if cache is None:
        predictor.set_image(image)
        return predictor
    # Named by what the encoder sees, which is the same for an image and for its resized self.
    key = embedding_key(model, predictor.transform.apply_image(image))
    embedding = cache.load(key, model.sam.device)  # [1, C, h, w]
    if embedding is None:
        predictor.set_image(image)
        cache.store(key, predictor.features)
        return predictor
    height, width = image.shape[:2]
    side = model.sam.image_encoder.img_size
    predictor.features = embedding
    predictor.original_size = (height, width)
    predictor.input_size = ResizeLongestSide.get_preprocess_shape(height, width, side)
    predictor.is_image_set = True
    return predictor


def moved_to_sam_frame(
    pixels: NDArray[np.uint8], boxes_xyxy: tuple[Box, ...]
) -> tuple[NDArray[np.uint8], tuple[Box, ...]]:
    """Resize an image so that its long side is 1024, as SAM does, and move boxes along.

    Args:
        pixels: ``[H, W, 3]`` uint8 RGB.
        boxes_xyxy: N boxes in pixels of the image.

    Returns:
        ``[h, w, 3]`` uint8, antialiased bilinear by Pillow, and the boxes, rounded to float32.

    Raises:
        DataError: The image is so thin that nothing would be left of it.
    """
    height, width = pixels.shape[:2]
    frame = ResizeLongestSide(SAM_FRAME)
    if min(frame.get_preprocess_shape(height, width, SAM_FRAME)) < 1:
        raise DataError(f"an image of {width}x{height} has no pixels at long side {SAM_FRAME}")
    corners = torch.tensor(boxes_xyxy, dtype=torch.float32).reshape(-1, 4)  # [N, 4]
    moved = frame.apply_boxes_torch(corners, (height, width)).tolist()
    return frame.apply_image(pixels), tuple((a, b, c, d) for a, b, c, d in moved)
