"""Rasterising the regions that modes mark: boxes, ellipses, rings and outlines.

Coordinates follow the released FGVP code, which draws with OpenCV: corners are truncated to whole
pixels, the right and bottom edges belong to the box, and an outline of width ``w`` reaches
``w // 2`` pixels to either side of the line.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from fgvp_kernels.frames import Order, Size
from fgvp_kernels.modes import Effect, ModeSpec, Region

# Radius of the keypoint ring as a share of the picture's side; the released code's constant.
KEYPOINT_RADIUS = 0.06

# How far a line covers pixel centres beyond its whole-pixel reach, (inwards, outwards). OpenCV
# draws a small ring as a polygon, whose chords run inside the circle.
_ELLIPSE_MARGIN = (0.5, 0.5)
_RING_MARGIN = (0.8, 0.4)


def draw_region(
    spec: ModeSpec, boxes: torch.Tensor, some: torch.Tensor, canvas: Size, width: int, side: int
) -> torch.Tensor:
    """Bits of a region that follows from the boxes alone.

    Args:
        spec: A mode whose region is a box, a circle or a point.
        boxes: float ``[n, 4]`` xyxy in pixels of the canvas.
        some: bool ``[n]``; False where there is nothing to mark.
        canvas: (h, w).
        width: Line width in pixels, for outlines.
        side: Side of the picture in pixels, for the keypoint's radius.

    Returns:
        bool ``[n, h, w]``.
    """
    outline = spec.effect is Effect.OUTLINE
    reach = width // 2
    if spec.region is Region.POINT:
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2  # [n, 2], x and y
        radius = torch.full_like(centre, int(KEYPOINT_RADIUS * side))  # [n, 2]
        bits = _ellipse_band(centre.trunc(), radius, canvas, reach, _RING_MARGIN)
    elif spec.region is Region.CIRCLE:
        centre, radii = inscribed_ellipse(boxes, canvas)
        bits = (
            _ellipse_band(centre, radii, canvas, reach, _ELLIPSE_MARGIN)
            if outline
            else _ellipse(centre, radii, canvas)
        )
    else:
        corners = clamp_boxes(boxes, canvas).trunc()  # [n, 4]
        bits = _rectangle(corners, canvas, reach if outline else 0)
        if outline:
            bits = bits & ~_rectangle(corners, canvas, -reach - 1)
    return bits & some[:, None, None]


def clamp_boxes(boxes: torch.Tensor, canvas: Size) -> torch.Tensor:
    """Boxes ``[n, 4]`` with corners moved onto the pixels of the canvas."""
    limit = boxes.new_tensor([canvas[1] - 1, canvas[0] - 1] * 2)  # [4]
    return torch.minimum(boxes.clamp(min=0), limit)


def inscribed_ellipse(boxes: torch.Tensor, canvas: Size) -> tuple[torch.Tensor, torch.Tensor]:
    """Whole-pixel centre and radii (both ``[n, 2]``, x and y) of the ellipses inside ``boxes``."""
    corners = clamp_boxes(boxes, canvas)  # [n, 4]
    radii = (corners[:, 2:] - corners[:, :2]) / 2  # [n, 2]
    return (corners[:, :2] + radii).trunc(), radii.trunc()


def outline_of(masks: torch.Tensor, width: int) -> torch.Tensor:
    """Outline of binary masks: boundary pixels, widened by ``width // 2`` in all 8 directions.

    A boundary pixel is a set pixel with an unset one (or the border of the picture) among its
    four neighbours; holes have outlines as well.

    Args:
        masks: bool ``[n, h, w]``.
        width: Line width in pixels, >= 1.

    Returns:
        bool ``[n, h, w]``.
    """
    height, columns = masks.shape[1:]
    padded = F.pad(masks, (1, 1, 1, 1))  # [n, h + 2, w + 2]
    interior = (
        padded[:, :-2, 1:-1] & padded[:, 2:, 1:-1] & padded[:, 1:-1, :-2] & padded[:, 1:-1, 2:]
    )
    line = masks & ~interior  # [n, h, w]
    reach = width // 2
    for axis, length in ((1, height), (2, columns)):
        widened = line.clone()
        for shift in range(1, min(reach, length - 1) + 1):
            widened.narrow(axis, shift, length - shift).logical_or_(
                line.narrow(axis, 0, length - shift)
            )
            widened.narrow(axis, 0, length - shift).logical_or_(
                line.narrow(axis, shift, length - shift)
            )
        line = widened
    return line


def _grid(canvas: Size, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixel coordinates ``[1, h, 1]`` and ``[1, 1, w]``."""
    y = torch.arange(canvas[0], device=like.device, dtype=like.dtype)
    x = torch.arange(canvas[1], device=like.device, dtype=like.dtype)
    return y[None, :, None], x[None, None, :]


def _rectangle(corners: torch.Tensor, canvas: Size, grow: int) -> torch.Tensor:
    """Filled boxes with whole-pixel ``corners [n, 4]``, all edges included: ``[n, h, w]``."""
    y, x = _grid(canvas, corners)
    x0, y0, x1, y1 = (corners[:, i, None, None] for i in range(4))  # [n, 1, 1] each
    rows = (y >= y0 - grow) & (y <= y1 + grow)  # [n, h, 1]
    return rows & (x >= x0 - grow) & (x <= x1 + grow)


def _offsets(centre: torch.Tensor, canvas: Size) -> tuple[torch.Tensor, torch.Tensor]:
    y, x = _grid(canvas, centre)
    return y - centre[:, 1, None, None], x - centre[:, 0, None, None]  # [n, h, 1], [n, 1, w]


def _ellipse(centre: torch.Tensor, radii: torch.Tensor, canvas: Size) -> torch.Tensor:
    """Filled ellipses; a radius of 0 leaves a line one pixel wide: ``[n, h, w]``."""
    dy, dx = _offsets(centre, canvas)
    a, b = radii[:, 0, None, None] + 0.5, radii[:, 1, None, None] + 0.5  # [n, 1, 1]
    return (dx / a) ** 2 + (dy / b) ** 2 <= 1


def _ellipse_band(
    centre: torch.Tensor,
    radii: torch.Tensor,
    canvas: Size,
    reach: int,
    margin: tuple[float, float],
) -> torch.Tensor:
    """Pixels near an ellipse's line, ``reach`` and ``margin`` to either side: ``[n, h, w]``."""
    dy, dx = _offsets(centre, canvas)
    a, b = radii[:, 0, None, None], radii[:, 1, None, None]  # [n, 1, 1]
    outer = reach + margin[1]
    within = (dx / (a + outer)) ** 2 + (dy / (b + outer)) ** 2 <= 1  # [n, h, w]
    inner_a, inner_b = a - reach - margin[0], b - reach - margin[0]
    hollow = (inner_a > 0) & (inner_b > 0)
    inside = (dx / inner_a.clamp(min=1e-6)) ** 2 + (dy / inner_b.clamp(min=1e-6)) ** 2 < 1
    return within & ~(inside & hollow)


def crop_windows(boxes: torch.Tensor, image: Size, order: Order) -> torch.Tensor:
    """Whole-pixel windows that show ``boxes``: int64 ``[N, 4]`` xyxy, ends excluded.

    Corners are truncated as the released FGVP code does, or rounded as Pillow's ``crop`` does
    where ``order`` is ReCLIP's ``render_first``. Every window lies inside the image and has at
    least one pixel.

    Args:
        boxes: float ``[N, 4]`` xyxy in pixels of the image.
        image: (H, W).
        order: The rendering order.
    """
    corners = boxes.round() if order is Order.RENDER_FIRST else boxes.trunc()
    sides = torch.tensor([image[1], image[0]], dtype=torch.int64)
    corners = corners.to("cpu", torch.int64)
    start = torch.minimum(corners[:, :2].clamp(min=0), sides - 1)  # [N, 2]
    stop = torch.minimum(torch.maximum(corners[:, 2:], start + 1), sides)  # [N, 2]
    return torch.cat([start, stop], 1)
