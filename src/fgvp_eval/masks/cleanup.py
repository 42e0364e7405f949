"""Removal of small holes and small islands from masks."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

# Regions that touch at a corner are one region, for the mask and for what it leaves out alike.
_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)

SAM_FRAME = 1024  # long side of the frame in which the official code measures areas


def clean_mask(mask: NDArray[np.bool_], area: float) -> tuple[NDArray[np.bool_], bool]:
    """Fill holes and then drop islands of fewer than ``area`` pixels.

    A part of the background that touches the border is a hole like any other. If every island is
    small, the largest stays, the first of those that tie.

    Args:
        mask: ``[H, W]`` bool.
        area: Pixels; 0 changes nothing.

    Returns:
        The mask ``[H, W]`` bool, and whether it is another than it was.
    """
    holes, hole_areas = _regions(~mask)
    small_holes = np.flatnonzero(hole_areas < area) + 1
    if small_holes.size:
        mask = mask | np.isin(holes, small_holes)
    islands, island_areas = _regions(mask)
    small = island_areas < area  # [R]
    if not small.any():
        return mask, small_holes.size > 0
    if small.all():
        small[island_areas.argmax()] = False
    return np.isin(islands, np.flatnonzero(~small) + 1), True


def clean_masks(masks: torch.Tensor, area: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Clean several masks as :func:`clean_mask` does; the work is done on the CPU.

    Args:
        masks: ``[N, H, W]`` bool on any device.
        area: Pixels; 0 changes nothing.

    Returns:
        The masks ``[N, H, W]`` bool on the same device, and ``[N]`` bool on the CPU, which were
        changed.
    """
    changed = torch.zeros(len(masks), dtype=torch.bool)  # [N]
    if area <= 0 or len(masks) == 0:
        return masks, changed
    cleaned = masks.cpu().numpy().copy()  # [N, H, W]
    for index, mask in enumerate(cleaned):
        cleaned[index], changed[index] = clean_mask(mask, area)
    return torch.from_numpy(cleaned).to(masks.device), changed


def area_at(size: tuple[int, int], area_in_sam_frame: float) -> float:
    """Return what an area of SAM's frame is in pixels of an image.

    The official code removes holes and islands from masks of long side 1024; here masks have the
    size of the image, where the same region is smaller or larger by the ratio of the long sides,
    squared.

    Args:
        size: Height and width of the image.
        area_in_sam_frame: Pixels at long side 1024.
    """
    return area_in_sam_frame * (max(size) / SAM_FRAME) ** 2


def _regions(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return labels ``[H, W]`` from 1 (0 outside), and the areas ``[R]`` of the R regions."""
    labels, _ = ndimage.label(mask, structure=_EIGHT_NEIGHBOURS)
    return labels, np.bincount(labels.ravel())[1:]
