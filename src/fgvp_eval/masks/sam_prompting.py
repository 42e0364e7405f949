"""SAM with an image set: its encoder runs once per image, or not at all if the result is kept."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything import SamPredictor
from segment_anything.utils.transforms import ResizeLongestSide

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
    key = embedding_key(model, image)
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
