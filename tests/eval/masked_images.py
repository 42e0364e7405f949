"""Images with candidates, each of another size."""

import numpy as np
import torch

from fgvp_eval.masks.masked_image import MaskedImage

COUNTS = (3, 1, 4)


def masked_image(seed: int, count: int) -> MaskedImage:
    """Another size and other candidates for each seed."""
    rng = np.random.default_rng(seed)
    height, width = 20 + 3 * seed, 30 - 2 * seed
    masks = torch.zeros(count, height, width, dtype=torch.bool)
    boxes = []
    for mask in masks:
        (x0, x1), (y0, y1) = (np.sort(rng.choice(side, 2, False)) for side in (width, height))
        mask[y0:y1, x0:x1] = torch.from_numpy(rng.random((y1 - y0, x1 - x0)) > 0.2)
        boxes.append((float(x0), float(y0), float(x1), float(y1)))
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return MaskedImage(pixels, masks, boxes)


IMAGES = [masked_image(seed, count) for seed, count in enumerate(COUNTS)]
