"""Ellipses as OpenCV draws them: polygons, whose edges are stepped along pixel by pixel.

The released FGVP code draws with OpenCV, and what it draws differs from an ellipse: a polygon of 4
to 72 corners, each side of a line a rectangle of its own, with discs round the corners. Two runs
of pixels in each row say it all, see :func:`ellipse_runs`. The rules are those of ``ellipse`` and
``circle`` in OpenCV's ``drawing.cpp``; arithmetic is float32 where OpenCV's has 16 binary places.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import torch

from fgvp_kernels.frames import Size

# The larger radius from which a polygon has its number of sides; the first begins at 0.
SIDES = ((0, 4), (3, 12), (10, 20), (15, 72))
MOST_SIDES = SIDES[-1][1]
# The column of a run that has no pixel; its negative stays an int32 with any column added.
NOWHERE = 1 << 29
# Centres are moved this near to the canvas, so that they are whole numbers in float32.
FARTHEST = 1 << 20
# Lines of one pixel round a half towards the side's first end: this much less than a half.
TIE = 1 / 256
# Slopes are cut to 16 binary places, so that halves are not quite reached.
SLOPE = 1 - 2**-16


@cache
def unit_corners() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Corners of the polygons of radius 1: float32 ``[4, 2, 73]``, x then y, first one again last.

    OpenCV's table of sines has seven places. Polygons of fewer sides repeat their last corner.
    """
    polygons = []
    for _, sides in SIDES:
        turns = np.minimum(np.arange(MOST_SIDES + 1), sides) / sides  # [73]
        polygons.append([np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)])
    return np.round(polygons, 7).astype(np.float32)


def half_width(width: int, canvas: Size) -> int:
    """How many whole pixels a line of OpenCV's ``width`` reaches to either side, on ``canvas``."""
    return min((width + 1) // 2, sum(canvas)) if width > 1 else 0


def ellipse_runs(
    centres: torch.Tensor, radii: torch.Tensor, width: int | None, canvas: Size
) -> torch.Tensor:
    """Rows of ellipses or of their outlines.

    Args:
        centres: float32 ``[n, 2]``, x and y, whole pixels.
        radii: float32 ``[n, 2]``, whole pixels, >= 0.
        width: Line width in pixels, or None for filled ellipses.
        canvas: (h, w).

    Returns:
        int32 ``[n, 4, h]``: first column and negated last column of the left half of a row,
        then of its right half. The halves may overlap; an empty one begins after its end.
    """
    half = half_width(width or 1, canvas)
    bounds = radii.new_tensor([start for start, _ in SIDES[1:]])
    kinds = (radii.amax(1, keepdim=True) >= bounds).sum(1)  # [n]
    sides = SIDES[int(kinds.max())][1] if len(kinds) else 0
    polygons = torch.from_numpy(unit_corners()[:, :, : sides + 1]).to(centres.device)[kinds]
    corners = polygons * radii[:, :, None]  # [n, 2, sides + 1], from the centre
    if width == 1:
        corners = (corners + 0.5).floor()
    # A row beyond either end of the canvas takes what lies there.
    runs = corners.new_full((len(centres), 4, canvas[0] + 2), NOWHERE)
    left = (polygons[:, 0, :-1] + polygons[:, 0, 1:] < 0)[:, None, :, None]  # [n, 1, sides, 1]
    moved = corners.new_tensor([half, -half] if width else [half])  # [m], outer and inner
    inner = torch.arange(len(moved), device=centres.device).view(1, -1, 1, 1)
    slots = torch.where(left, inner, 3 - inner)  # [n, m, sides, 1]
    for x, y in _side_pixels(corners, moved, thin=width == 1):
        _keep_least(runs, slots, x, y, centres)
    if half:
        shift = torch.arange(-half, half + 1, dtype=corners.dtype, device=centres.device)  # [rows]
        reach = (half**2 - shift**2).sqrt().floor()
        x, y = (corners + 0.5).floor()[..., None].unbind(1)  # [n, sides + 1, 1]
        y = y + shift  # [n, sides + 1, rows]
        for first, there in ((0, polygons[:, 0] <= 0), (2, polygons[:, 0] >= 0)):
            seen = torch.where(there[..., None], y, torch.inf)
            _keep_least(runs, seen.new_tensor(first).long(), x - reach, seen, centres)
            _keep_least(runs, seen.new_tensor(first + 1).long(), x + reach, seen, centres)
    runs = runs[:, :, 1:-1].int()
    return torch.minimum(runs, runs.roll(2, 1)) if width is None else runs


def _side_pixels(
    corners: torch.Tensor, moved: torch.Tensor, thin: bool
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Pixels that end the rows of what OpenCV draws along the sides of polygons.

    Args:
        corners: float32 ``[n, 2, sides + 1]``.
        moved: float32 ``[m]``, how far outwards the sides are moved.
        thin: The sides themselves are drawn, a pixel wide.

    Yields:
        x and y, whole float32 ``[n, m, sides, pixels]`` each; some pixels occur repeatedly.
    """
    ahead = corners.diff(dim=2)  # [n, 2, sides]
    dx, dy = ahead[:, None, 0, :, None], ahead[:, None, 1, :, None]  # [n, 1, sides, 1]
    scale = moved.view(1, -1, 1, 1) / (dx * dx + dy * dy).sqrt().clamp(min=1e-6)
    x_0 = corners[:, None, 0, :-1, None] + dy * scale  # [n, m, sides, 1]
    y_0 = corners[:, None, 1, :-1, None] - dx * scale
    x_1, y_1 = x_0 + dx, y_0 + dy
    # A line goes along its longer axis from its lower end, a pixel at a time.
    steep = dx.abs() <= dy.abs()
    forth = torch.where(steep, dy, dx) >= 0
    low_x, high_x = torch.where(forth, x_0, x_1) + 0.5, torch.where(forth, x_1, x_0) + 0.5
    low_y, high_y = torch.where(forth, y_0, y_1) + 0.5, torch.where(forth, y_1, y_0) + 0.5
    yield high_x.floor(), high_y.floor()
    length = torch.maximum(dx.abs(), dy.abs())
    slope = torch.where(steep, dx, dy) / length.clamp(min=1e-6) * SLOPE
    slope = torch.where(forth, slope, -slope)
    if thin:
        tie = torch.where(steep | (slope > 0), -TIE, TIE)
        low_x, low_y = low_x + torch.where(steep, tie, 0), low_y + torch.where(steep, 0, tie)
    low_x, low_y = (
        torch.where(steep, low_x, low_x.floor()),
        torch.where(steep, low_y.floor(), low_y),
    )
    step_x, step_y = torch.where(steep, slope, 1.0), torch.where(steep, 1.0, slope)
    steps = length.floor()
    i = torch.arange(int(steps.amax()) + 1 if steps.numel() else 0, device=corners.device)
    at = torch.minimum(i, steps)  # [n, 1, sides, pixels]
    yield (low_x + at * step_x).floor(), (low_y + at * step_y).floor()
    if thin:
        return
    # What lies between two lines is filled from row to row, the rows of their ends rounded before.
    down = dy >= 0
    top_x, end_x = torch.where(down, x_0, x_1), torch.where(down, x_1, x_0)
    top_y, end_y = torch.where(down, y_0, y_1) + 0.5, torch.where(down, y_1, y_0) + 0.5
    top_y = top_y.floor()
    rows = end_y.floor() - top_y
    at = torch.minimum(i, (rows - 1).clamp(min=0))  # [n, m, sides, pixels]
    yield (top_x + 0.5 + at * ((end_x - top_x) / rows.clamp(min=1))).floor(), top_y + at


def _keep_least(
    runs: torch.Tensor,
    slots: torch.Tensor,
    x: torch.Tensor,
    y: torch.Tensor,
    centres: torch.Tensor,
) -> None:
    """Put pixels, given from the centre, into the ``slots`` of their rows of ``runs``.

    Last columns, in slots 1 and 3, are negated, so that the least of all is wanted everywhere.
    """
    count, _, height = runs.shape
    middle_x, middle_y = (c.view(count, *(1,) * (y.dim() - 1)) for c in centres.unbind(1))
    first = (torch.arange(count, device=runs.device).view(middle_x.shape) * 4 + slots) * height
    index = (y + (middle_y + 1)).clamp(0, height - 1).long() + first
    sign = 1 - 2 * (slots % 2)
    value = x * sign + middle_x * sign
    runs.view(-1).scatter_reduce_(0, index.flatten(), value.expand_as(index).flatten(), "amin")


def ring_runs(centres: torch.Tensor, radii: torch.Tensor, height: int) -> torch.Tensor:
    """:func:`ellipse_runs` of circles a pixel wide, which OpenCV's ``circle`` draws otherwise."""
    y = (torch.arange(height, device=centres.device) - centres[:, 1:]).abs()  # [n, h]
    radius, x = radii[:, :1], centres[:, :1]
    last = (radius**2 - y**2).sqrt().floor()  # NaN above and below the circle
    beside = (radius**2 - (y + 1) ** 2).sqrt().floor() + 1
    first = torch.minimum(beside.nan_to_num(0), last)
    runs = torch.stack([x - last, first - x, x + first, -x - last], 1)  # [n, 4, h]
    return runs.nan_to_num(NOWHERE).int()
