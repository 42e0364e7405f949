"""Rasterising the regions that modes mark: boxes, ellipses, rings and outlines.

Coordinates follow the released FGVP code, which draws with OpenCV: corners are truncated to whole
pixels, the right and bottom edges belong to the box, and an outline of width ``w`` reaches
``w // 2`` pixels to either side of the line.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from fgvp_kernels.frames import Order, Size
from fgvp_kernels.mask_stacks import windows
from fgvp_kernels.modes import Effect, ModeSpec, Region

# Radius of the keypoint ring as a share of the picture's side; the released code's constant.
KEYPOINT_RADIUS = 0.06

# How far a line covers pixel centres beyond its whole-pixel reach, (inwards, outwards). OpenCV
# draws a small ring as a polygon, whose chords run inside the circle.
_ELLIPSE_MARGIN = (0.5, 0.5)
_RING_MARGIN = (0.8, 0.4)


@dataclass(frozen=True, eq=False)
class Shapes:
    """Regions that follow from boxes alone: one shape each, of which another may be cut out.

    Attributes:
        ellipse: The shapes are ellipses (centre x, y and radii), else boxes (x0, y0, x1, y1, ends
            included). A radius that is not positive or an end before its start means no shape.
        outer: float ``[n, 4]`` in pixels.
        inner: float ``[n, 4]``, what is cut out of ``outer``; an ellipse is cut without its line.
    """

    ellipse: bool
    outer: torch.Tensor
    inner: torch.Tensor

    def boxes(self, canvas: Size) -> torch.Tensor:
        """Whole-pixel boxes that hold the shapes: int64 ``[n, 4]`` xyxy, ends excluded, on the CPU.

        All zeros where there is no shape on the canvas.
        """
        outer = self.outer.cpu()
        low, high = outer[:, :2], outer[:, 2:]  # [n, 2], x and y
        some = (high >= low).all(1)
        if self.ellipse:
            some = (high > 0).all(1)
            low, high = low - high, low + high
        sides = low.new_tensor([canvas[1], canvas[0]])
        start = torch.minimum(low.ceil().clamp(min=0), sides)
        stop = torch.minimum((high.floor() + 1).clamp(min=0), sides)
        some &= (stop > start).all(1)
        return torch.where(some[:, None], torch.cat([start, stop], 1), 0).long()


def region_shapes(
    spec: ModeSpec, boxes: torch.Tensor, some: torch.Tensor, canvas: Size, width: int, side: int
) -> Shapes:
    """Return the shapes of a mode whose region is a box, a circle or a point.

    Args:
        spec: The mode.
        boxes: float ``[n, 4]`` xyxy in pixels of the canvas.
        some: bool ``[n]``; False where there is nothing to mark.
        canvas: (h, w).
        width: Line width in pixels, for outlines.
        side: Side of the picture in pixels, for the keypoint's radius.
    """
    outline = spec.effect is Effect.OUTLINE
    reach = width // 2
    nothing = boxes.new_tensor([0.0, 0.0, -1.0, -1.0])
    if spec.region is Region.BOX:
        corners = clamp_boxes(boxes, canvas).trunc()  # [n, 4]
        outwards = boxes.new_tensor([-1.0, -1.0, 1.0, 1.0])
        outer = corners + (reach * outwards if outline else 0.0)
        inner = corners - (reach + 1) * outwards if outline else nothing.expand_as(corners)
        return Shapes(False, torch.where(some[:, None], outer, nothing), inner)
    if spec.region is Region.POINT:
        centre = ((boxes[:, :2] + boxes[:, 2:]) / 2).trunc()  # [n, 2], x and y
        radii = torch.full_like(centre, int(KEYPOINT_RADIUS * side))  # [n, 2]
        margin = _RING_MARGIN
    else:
        corners = clamp_boxes(boxes, canvas)  # [n, 4]
        radii = (corners[:, 2:] - corners[:, :2]) / 2  # [n, 2]
        centre, radii = (corners[:, :2] + radii).trunc(), radii.trunc()
        margin = _ELLIPSE_MARGIN
    if not outline:
        # Half a pixel more, so that a radius of 0 leaves a line one pixel wide.
        outer = torch.cat([centre, radii + 0.5], 1)  # [n, 4]
        return Shapes(True, torch.where(some[:, None], outer, nothing), nothing.expand_as(outer))
    outer = torch.cat([centre, radii + reach + margin[1]], 1)
    inner = torch.cat([centre, radii - reach - margin[0]], 1)
    return Shapes(True, torch.where(some[:, None], outer, nothing), inner)


def draw_shapes(shapes: Shapes, canvas: Size, boxes: torch.Tensor | None = None) -> torch.Tensor:
    """Bits of ``shapes`` on the canvas.

    Args:
        shapes: n shapes.
        canvas: (h, w).
        boxes: :meth:`Shapes.boxes`, to look nowhere else.

    Returns:
        bool ``[n, h, w]``.
    """
    count = shapes.outer.shape[0]
    y, x = _distances(torch.cat([shapes.outer, shapes.inner]), shapes.ellipse, canvas)
    outer_y, outer_x, inner_y, inner_x = y[:count], x[:count], y[count:], x[count:]
    bits = torch.zeros(count, *canvas, dtype=torch.bool, device=shapes.outer.device)
    for part, rows, columns in windows(boxes, *bits.shape):
        outside = outer_y[part, rows] + outer_x[part, :, columns] > 1  # [m, y, x]
        cut = inner_y[part, rows] + inner_x[part, :, columns] < 1
        torch.logical_or(outside, cut, out=bits[part, rows, columns]).logical_not_()
    return bits


def _distances(
    shapes: torch.Tensor, ellipse: bool, canvas: Size
) -> tuple[torch.Tensor, torch.Tensor]:
    """Two terms, ``[n, h, 1]`` and ``[n, 1, w]``, of the distance from each shape ``[n, 4]``.

    Their sum is, for an ellipse, the squared distance from the centre in units of the radius; for
    a box 0 within it and infinity beyond; infinite everywhere for no shape.
    """
    y, x = (
        torch.arange(length, device=shapes.device, dtype=shapes.dtype).view(shape)
        for length, shape in zip(canvas, ((1, -1, 1), (1, 1, -1)), strict=True)
    )
    low_x, low_y, high_x, high_y = shapes[:, :, None, None].unbind(1)  # [n, 1, 1]
    if ellipse:
        some = (high_x > 0) & (high_y > 0)
        terms = ((y - low_y) / high_y) ** 2, ((x - low_x) / high_x) ** 2
        return torch.where(some, terms[0], torch.inf), torch.where(some, terms[1], torch.inf)
    beyond_y, beyond_x = (y < low_y) | (y > high_y), (x < low_x) | (x > high_x)
    return torch.where(beyond_y, torch.inf, 0.0), torch.where(beyond_x, torch.inf, 0.0)


def clamp_boxes(boxes: torch.Tensor, canvas: Size) -> torch.Tensor:
    """Boxes ``[n, 4]`` with corners moved onto the pixels of the canvas."""
    limit = boxes.new_tensor([canvas[1] - 1, canvas[0] - 1] * 2)  # [4]
    return torch.minimum(boxes.clamp(min=0), limit)


def outline_boxes(boxes: torch.Tensor, width: int, canvas: Size) -> torch.Tensor:
    """Boxes that hold the outlines of masks with the given boxes, int64 ``[n, 4]`` xyxy both."""
    reach = width // 2
    limits = boxes.new_tensor([canvas[1], canvas[0]] * 2)
    grown = boxes + boxes.new_tensor([-reach, -reach, reach, reach])
    grown = torch.minimum(grown.clamp(min=0), limits)
    some = (boxes[:, 2:] > boxes[:, :2]).all(1)
    return torch.where(some[:, None], grown, 0)


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


def crop_windows(boxes: torch.Tensor, image: Size, order: Order) -> list[tuple[int, int, int, int]]:
    """Whole-pixel windows that show ``boxes``: N times x0, y0, x1, y1, ends excluded.

    Corners are truncated as the released FGVP code does, or rounded as Pillow's ``crop`` does
    where ``order`` is ReCLIP's ``render_first``. Every window lies inside the image and has at
    least one pixel.

    Args:
        boxes: float ``[N, 4]`` xyxy in pixels of the image.
        image: (H, W).
        order: The rendering order.
    """
    corners = boxes.round() if order is Order.RENDER_FIRST else boxes.trunc()
    height, width = image
    found = []
    for x0, y0, x1, y1 in corners.tolist():
        left, top = min(max(int(x0), 0), width - 1), min(max(int(y0), 0), height - 1)
        right, bottom = min(max(int(x1), left + 1), width), min(max(int(y1), top + 1), height)
        found.append((left, top, right, bottom))
    return found
