"""Exact polygons of pixel masks: the outlines that run along the pixel edges."""

from collections import defaultdict

import numpy as np

Vertex = tuple[int, int]


def _boundary_edges(mask: np.ndarray) -> dict[Vertex, list[Vertex]]:
    """Directed pixel edges between inside and outside, the inside on the right-hand side."""
    padded = np.pad(mask.astype(bool), 1)
    edges: dict[Vertex, list[Vertex]] = defaultdict(list)
    inside = padded[1:-1, 1:-1]
    for y, x in np.argwhere(inside & ~padded[:-2, 1:-1]):  # outside above: go right
        edges[(x, y)].append((x + 1, y))
    for y, x in np.argwhere(inside & ~padded[1:-1, 2:]):  # outside on the right: go down
        edges[(x + 1, y)].append((x + 1, y + 1))
    for y, x in np.argwhere(inside & ~padded[2:, 1:-1]):  # outside below: go left
        edges[(x + 1, y + 1)].append((x, y + 1))
    for y, x in np.argwhere(inside & ~padded[1:-1, :-2]):  # outside on the left: go up
        edges[(x, y + 1)].append((x, y))
    return edges


def _signed_area(loop: list[Vertex]) -> float:
    corners = np.asarray(loop, dtype=np.float64)  # [K, 2]
    following = np.roll(corners, -1, axis=0)
    return float((corners[:, 0] * following[:, 1] - following[:, 0] * corners[:, 1]).sum() / 2.0)


def mask_outlines(mask: np.ndarray) -> tuple[list[list[Vertex]], list[list[Vertex]]]:
    """Trace a mask along its pixel edges.

    Args:
        mask: bool [H, W].

    Returns:
        (outer, holes): closed loops of corner points (x, y), 0..W and 0..H, without repetition
        of the first point. Pixels that only share a corner belong to different loops.
    """
    edges = _boundary_edges(mask)
    outer: list[list[Vertex]] = []
    holes: list[list[Vertex]] = []
    while edges:
        start = next(iter(edges))
        loop: list[Vertex] = []
        point, heading = start, (0, 0)
        while point in edges:
            choices = edges[point]
            # Where two pixels touch at a corner, turn right, so that the loop stays on its pixel.
            right = (point[0] - heading[1], point[1] + heading[0])
            following = right if right in choices else choices[0]
            choices.remove(following)
            if not choices:
                del edges[point]
            step = (following[0] - point[0], following[1] - point[1])
            if step != heading:
                loop.append(point)
            point, heading = following, step
        (outer if _signed_area(loop) > 0 else holes).append(loop)
    return outer, holes
