"""The picture that the parts of an object are looked for in: its box, a little enlarged, or all."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fgvp_eval.data.records import Box

MARGIN = 0.05  # of the crop about the object's box on each side, in widths and heights of it


@dataclass(frozen=True)
class Crop:
    """A window of an image in whole pixels; right and bottom are one past the last.

    Attributes:
        left, top, right, bottom: Pixels of the image; the window is not empty.
    """

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    def of(self, planes: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return the window of an image ``[H, W, 3]`` or of a mask ``[H, W]``, not copied."""
        return planes[self.top : self.bottom, self.left : self.right]

    def to_crop(self, box_xyxy: Box) -> Box:
        """Return a box of the image in pixels of the crop."""
        x0, y0, x1, y1 = box_xyxy
        return x0 - self.left, y0 - self.top, x1 - self.left, y1 - self.top

    def to_image(self, box_xyxy: Box) -> Box:
        """Return a box of the crop in pixels of the image."""
        x0, y0, x1, y1 = box_xyxy
        return x0 + self.left, y0 + self.top, x1 + self.left, y1 + self.top


def whole_image(size: tuple[int, int]) -> Crop:
    """Return the window that is all of an image of this height and width."""
    return Crop(0, 0, size[1], size[0])


def crop_around(box_xywh: Box, size: tuple[int, int]) -> Crop:
    """Return the window that exceeds a box by ``MARGIN`` on each side.

    Args:
        box_xywh: A box of positive width and height.
        size: Height and width of the image, which bounds the window.

    Returns:
        At least one pixel, also for a box outside the image.
    """
    left, top, width, height = box_xywh
    dx, dy = width * MARGIN, height * MARGIN
    x0 = min(max(math.floor(left - dx), 0), size[1] - 1)
    y0 = min(max(math.floor(top - dy), 0), size[0] - 1)
    x1 = max(min(math.ceil(left + width + dx), size[1]), x0 + 1)
    y1 = max(min(math.ceil(top + height + dy), size[0]), y0 + 1)
    return Crop(x0, y0, x1, y1)


def share_inside(masks: NDArray[np.bool_], box_xyxy: Box) -> NDArray[np.float64]:
    """Return the share of each mask's pixels whose centre lies in a box.

    Args:
        masks: ``[M, H, W]`` bool.
        box_xyxy: A box in pixels of the masks; it may reach beyond them.

    Returns:
        ``[M]`` in 0 to 1; 0 for an empty mask.
    """
    x0, y0, x1, y1 = box_xyxy
    rows = np.arange(masks.shape[1]) + 0.5  # [H]
    columns = np.arange(masks.shape[2]) + 0.5  # [W]
    in_box = ((rows >= y0) & (rows <= y1))[:, None] & ((columns >= x0) & (columns <= x1))  # [H, W]
    inside = (masks & in_box).sum(axis=(1, 2))  # [M]
    total = masks.sum(axis=(1, 2))  # [M]
    share: NDArray[np.float64] = inside / np.maximum(total, 1)
    return share


def tight_boxes_xyxy(masks: NDArray[np.bool_]) -> tuple[Box, ...]:
    """Return the tight box of each mask ``[M, H, W]``, none of which is empty."""
    boxes: list[Box] = []
    for mask in masks:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        x0, y0 = float(columns[0]), float(rows[0])
        boxes.append((x0, y0, float(columns[-1]) + 1, float(rows[-1]) + 1))
    return tuple(boxes)


def mask_iou(
    a: NDArray[np.bool_], b: NDArray[np.bool_], areas_b: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the overlap of every pair of masks, intersection over union.

    Args:
        a: ``[N, H, W]`` bool.
        b: ``[M, H, W]`` bool.
        areas_b: ``[M]`` pixels of the whole masks that ``b`` may be windows of.

    Returns:
        ``[N, M]`` in 0 to 1; 0 where both masks are empty.
    """
    pixels = a.shape[1] * a.shape[2]
    # Sums are exact in float32, which counts to 2²⁴; images of COCO have fewer pixels.
    flat_a = a.reshape(len(a), pixels).astype(np.float32)
    flat_b = b.reshape(len(b), pixels).astype(np.float32)
    common = (flat_a @ flat_b.T).astype(np.float64)  # [N, M]
    union = flat_a.sum(axis=1, dtype=np.float64)[:, None] + areas_b[None] - common
    overlap: NDArray[np.float64] = np.divide(
        common, union, out=np.zeros_like(common), where=union > 0
    )
    return overlap
