"""Rasterising the regions that modes mark: boxes, ellipses, rings and outlines.

They are drawn as the released FGVP code draws them, with OpenCV: corners are truncated to whole
pixels, the right and bottom edges belong to the box, and an outline of width ``w`` > 1 reaches
``(w + 1) // 2`` pixels to either side of the line, with round corners.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from fgvp_kernels.coverage import windows
from fgvp_kernels.device_tables import HOST
from fgvp_kernels.ellipses import FARTHEST, NOWHERE, ellipse_runs, half_width, ring_runs
from fgvp_kernels.frames import Order, Size
from fgvp_kernels.modes import Effect, ModeSpec, Region

# Radius of the keypoint ring as a share of the picture's side; the released code's constant.
KEYPOINT_RADIUS = 0.06


@dataclass(frozen=True, eq=False)
class Shapes:
    """Regions that follow from boxes alone: two runs of pixels in every row of the canvas.

    Attributes:
        runs: int32 ``[n, 4, h]``: first column and negated last column of one run, then of the
            other. They may overlap and leave the canvas; an empty one begins after its end.
        bounds: float ``[n, 4]`` xyxy, ends included: no run leaves these boxes.
    """

    runs: torch.Tensor
    bounds: torch.Tensor

    def boxes(self, canvas: Size) -> torch.Tensor:
        """Whole-pixel boxes that hold the shapes: int64 ``[n, 4]`` xyxy, ends excluded, on the CPU.

        All zeros where there is no shape on the canvas.
        """
        bounds = self.bounds.cpu()
        sides = bounds.new_tensor([canvas[1], canvas[0]])
        start = torch.minimum(bounds[:, :2].clamp(min=0), sides)  # [n, 2], x and y
        stop = torch.minimum((bounds[:, 2:] + 1).clamp(min=0), sides)
        some = (stop > start).all(1)
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
    half = half_width(width, canvas) if outline else 0
    if spec.region is Region.BOX:
        low, high = clamp_boxes(boxes, canvas).trunc().chunk(2, 1)  # [n, 2] each
        runs = _box_runs(low, high, half if outline else None, canvas[0])
    elif spec.region is Region.POINT:
        centres = ((boxes[:, :2] + boxes[:, 2:]) / 2).trunc().clamp(-FARTHEST, FARTHEST)
        radii = torch.full_like(centres, int(KEYPOINT_RADIUS * side))  # [n, 2]
        if width == 1:
            runs = ring_runs(centres, radii, canvas[0])
        else:
            runs = ellipse_runs(centres, radii, width, canvas)
        low, high = centres - radii, centres + radii
    else:
        corners = clamp_boxes(boxes, canvas)  # [n, 4]
        radii = (corners[:, 2:] - corners[:, :2]) / 2  # [n, 2]
        centres, radii = (corners[:, :2] + radii).trunc(), radii.trunc()
        runs = ellipse_runs(centres, radii, width if outline else None, canvas)
        low, high = centres - radii, centres + radii
    bounds = torch.cat([low - half, high + half], 1)
    nothing = bounds.new_tensor([0.0, 0.0, -1.0, -1.0])
    return Shapes(
        torch.where(some[:, None, None], runs, NOWHERE),
        torch.where(some[:, None], bounds, nothing),
    )


def _box_runs(low: torch.Tensor, high: torch.Tensor, half: int | None, height: int) -> torch.Tensor:
    """Runs of boxes with the given whole corners ``[n, 2]``, or of lines about their edges."""
    (left, top), (right, bottom) = (
        corner[:, :, None].unbind(1) for corner in (low, high)
    )  # [n, 1]
    y = torch.arange(height, device=low.device)  # [h]
    beyond = torch.maximum(top - y, y - bottom).clamp(min=0)  # [n, h]
    reach = ((half or 0) ** 2 - beyond * beyond).sqrt().floor()  # NaN beyond the corners' discs
    whole = (y <= top + half) | (y >= bottom - half) if half is not None else beyond == 0
    runs = torch.stack(
        [
            left - reach,
            -torch.where(whole, right + reach, left + reach),
            torch.where(whole, left - reach, right - reach),
            -right - reach,
        ],
        1,
    )  # [n, 4, h]
    return runs.nan_to_num(NOWHERE).int()


def draw_shapes(
    shapes: Shapes,
    canvas: Size,
    boxes: torch.Tensor | None = None,
    rows: torch.Tensor | None = None,
    columns: torch.Tensor | None = None,
) -> torch.Tensor:
    """Bits of ``shapes`` on the canvas.

    Args:
        shapes: n shapes.
        canvas: (h, w).
        boxes: :meth:`Shapes.boxes`, to look nowhere else.
        rows, columns: int64 pixels of the canvas, to draw those alone; then without ``boxes``.

    Returns:
        bool ``[n, h, w]``.
    """
    runs = shapes.runs if rows is None else shapes.runs.index_select(2, rows.to(shapes.runs.device))
    runs = runs[..., None]  # [n, 4, h, 1]
    x = torch.arange(canvas[1], device=HOST) if columns is None else columns
    x = x.to(runs.device, torch.int32)  # [w]
    negated = -x
    bits = torch.zeros(len(runs), runs.shape[2], len(x), dtype=torch.bool, device=runs.device)
    for part, tall, wide in windows(boxes, *bits.shape):
        first, end, second, last = runs[part, :, tall].unbind(1)  # [m, y, 1]
        across, back = x[wide], negated[wide]
        one = (across >= first) & (back >= end)  # [m, y, x]
        torch.logical_or(one, (across >= second) & (back >= last), out=bits[part, tall, wide])
    return bits


def centre_boxes(boxes: torch.Tensor, image: Size, canvas: Size) -> torch.Tensor:
    """The whole canvas pixels in which the centres of boxes lie, twice each: ``[n, 4]`` like them.

    Computed in whole numbers, exact for coordinates in steps of 2⁻²⁰: a float32 product may fall
    short of a centre that is itself whole, and truncation would then lose a pixel.

    Args:
        boxes: float32 ``[n, 4]`` xyxy in pixels of the image.
        image: (H, W).
        canvas: (h, w).
    """
    # Exact: a shift of the exponent. What is farther than any picture is large may come nearer.
    steps = (boxes.clamp(-(2.0**22), 2.0**22) * 2.0**20).to(torch.int64)  # [n, 4]
    sums = steps[:, :2] + steps[:, 2:]  # [n, 2], x and y
    x, y = (
        torch.div(sums[:, i] * canvas[axis], image[axis] << 21, rounding_mode="trunc")
        for i, axis in ((0, 1), (1, 0))
    )
    return torch.stack([x, y, x, y], 1).to(boxes.dtype)


def clamp_boxes(boxes: torch.Tensor, canvas: Size) -> torch.Tensor:
    """Boxes ``[n, 4]`` with corners moved onto the pixels of the canvas."""
    limit = boxes.new_tensor([canvas[1] - 1, canvas[0] - 1] * 2)  # [4]
    return torch.minimum(boxes.clamp(min=0), limit)


def outline_boxes(boxes: torch.Tensor, width: int, canvas: Size) -> torch.Tensor:
    """Boxes that hold the outlines of masks with the given boxes, int64 ``[n, 4]`` xyxy both."""
    half = half_width(width, canvas)
    limits = boxes.new_tensor([canvas[1], canvas[0]] * 2)
    grown = boxes + boxes.new_tensor([-half, -half, half, half])
    grown = torch.minimum(grown.clamp(min=0), limits)
    some = (boxes[:, 2:] > boxes[:, :2]).all(1)
    return torch.where(some[:, None], grown, 0)


def slanted_reach(half: int) -> int:
    """How far lines of this half width reach across a diagonal beyond the discs on its pixels.

    In pixels along the other diagonal, or 0 where the discs cover it all.
    """
    reach = math.floor(half / math.sqrt(2) + 0.5)
    return reach if 2 * reach**2 > half**2 else 0


def outline_of(masks: torch.Tensor, width: int) -> torch.Tensor:
    """Outlines of binary masks, as OpenCV draws what its ``findContours`` finds.

    A boundary pixel is a set pixel with an unset one (or the border of the picture) among its
    four neighbours; holes have outlines as well. A line is a disc about every boundary pixel, and
    pixels beside the diagonal steps of the boundary, see :func:`slanted_reach`.

    Args:
        masks: bool ``[n, h, w]``.
        width: Line width in pixels, >= 1.

    Returns:
        bool ``[n, h, w]``.
    """
    count, height, columns = masks.shape
    half = half_width(width, (height, columns))
    framed = F.pad(masks, (1, 1, 1, 1))  # [n, h + 2, w + 2]
    interior = (
        framed[:, :-2, 1:-1] & framed[:, 2:, 1:-1] & framed[:, 1:-1, :-2] & framed[:, 1:-1, 2:]
    )
    edge = masks & ~interior
    # Room for all that is drawn beyond the picture: one pixel more for the end of a step.
    room = half + 1
    drawn = masks.new_zeros(count, height + 2 * room, columns + 2 * room)
    wide = F.pad(edge, (room, room))  # [n, h, w + 2 room], edge widened along rows by ``reach``
    reach = 0
    for y in range(half, -1, -1):
        while (reach + 1) ** 2 + y**2 <= half**2:
            reach += 1
            for x in (room - reach, room + reach):
                wide[:, :, x : x + columns] |= edge
        for start in {room - y, room + y}:
            drawn[:, start : start + height] |= wide
    slant = slanted_reach(half)
    falling = masks[:, :-1, :-1] & masks[:, 1:, 1:]  # [n, h - 1, w - 1]
    rising = masks[:, :-1, 1:] & masks[:, 1:, :-1]
    for steps, slope in ((falling & ~rising, -1), (rising & ~falling, 1)) if slant else ():
        for x in (room - slant, room + slant):
            y = room + slope * (x - room)
            for end in (0, 1):  # of a step, which goes down to the right or to the left
                top, left = y + end, x + (end if slope < 0 else 1 - end)
                drawn[:, top : top + height - 1, left : left + columns - 1] |= steps
    return drawn[:, room : room + height, room : room + columns].contiguous()


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
