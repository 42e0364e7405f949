"""A picture with the candidate of each text outlined in a colour of its own, and a legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from fgvp_eval.data.records import Box
from fgvp_eval.encoding.picture_text import font_of, wrapped

Color = tuple[int, int, int]

# Okabe and Ito's colours, which most colour-blind people can tell apart.
_COLORS: tuple[Color, ...] = (
    (213, 94, 0),
    (0, 114, 178),
    (0, 158, 115),
    (204, 121, 167),
    (230, 159, 0),
    (86, 180, 233),
)
_LEAST_SIDE, _MOST_SIDE = 800, 1280  # pixels of the longer side as shown
_LINE, _HALO = 3, 2
_FONT, _TAG_FONT, _ROW, _GAP = 18, 18, 28, 10
_LEGEND_WIDTH = 480


def color_of(text: int) -> Color:
    """Return the colour of the text with that number; the seventh has that of the first."""
    return _COLORS[text % len(_COLORS)]


@dataclass(frozen=True, eq=False)
class Mark:
    """What is drawn for one text.

    Attributes:
        legend: One line that says what it is.
        tag: A short name, written at the box.
        color: Its colour.
        box_xyxy: Its box in pixels of the picture; None if it got no candidate.
        mask: ``[h, w]`` bool; None or all False if there is none.
    """

    legend: str
    tag: str
    color: Color
    box_xyxy: Box | None = None
    mask: NDArray[np.bool_] | None = None


def annotated_picture(pixels: NDArray[np.uint8], marks: Sequence[Mark]) -> Image.Image:
    """Draw marks on a picture, and their legend below it.

    Small pictures are enlarged and large ones made smaller, so that lines and letters can be seen.

    Args:
        pixels: ``[h, w, 3]`` uint8 RGB.
        marks: One for each text.
    """
    height, width = pixels.shape[:2]
    scale = min(max(1.0, _LEAST_SIDE / max(height, width)), _MOST_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    shown = np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
    for mark in marks:
        if mark.mask is not None and mark.mask.any():
            _draw_mask(shown, mark.mask, mark.color)
    picture = Image.fromarray(shown)
    draw = ImageDraw.Draw(picture)
    boxes = [
        None if mark.box_xyxy is None else tuple(number * scale for number in mark.box_xyxy)
        for mark in marks
    ]
    for mark, box in zip(marks, boxes, strict=True):
        if box is not None:
            draw.rectangle(box, outline="white", width=3)
            draw.rectangle(box, outline=mark.color, width=2)
    for mark, box in zip(marks, boxes, strict=True):  # last, so that no line crosses a tag
        if box is not None:
            _draw_tag(draw, (box[0], box[1]), mark, picture.size)
    return _with_legend(picture, marks)


def _draw_mask(shown: NDArray[np.uint8], mask: NDArray[np.bool_], color: Color) -> None:
    """Draw a line around a mask, with a white edge; changes ``shown``.

    What is in the mask keeps its colours, since texts often name them.
    """
    size = (shown.shape[1], shown.shape[0])
    large = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    outside = ndimage.distance_transform_edt(~large)  # of each pixel to the mask
    shown[(outside > 0) & (outside <= _LINE + _HALO)] = (255, 255, 255)
    shown[(outside > 0) & (outside <= _LINE)] = color


def _draw_tag(
    draw: ImageDraw.ImageDraw, corner: tuple[float, float], mark: Mark, size: tuple[int, int]
) -> None:
    """Write a mark's tag above its box, or in it where there is no place above."""
    font = font_of(_TAG_FONT)
    width, height = font.getlength(mark.tag) + 10, _TAG_FONT + 8
    x = min(max(corner[0], 0.0), size[0] - width)
    y = corner[1] - height if corner[1] >= height else max(corner[1], 0.0)
    draw.rectangle((x, y, x + width, y + height), fill=mark.color, outline="white")
    draw.text((x + 5, y + 2), mark.tag, fill="white", font=font)


def _with_legend(picture: Image.Image, marks: Sequence[Mark]) -> Image.Image:
    font, left, width = font_of(_FONT), 2 * _GAP + _ROW, max(picture.width, _LEGEND_WIDTH)
    texts = [wrapped(mark.legend, font, width - left - _GAP) for mark in marks]
    heights = [_ROW + text.count("\n") * (_FONT + 6) for text in texts]
    whole = Image.new("RGB", (width, picture.height + sum(heights) + 2 * _GAP), "white")
    whole.paste(picture, (0, 0))
    draw = ImageDraw.Draw(whole)
    y = picture.height + _GAP
    for mark, text, height in zip(marks, texts, heights, strict=True):
        draw.rectangle((_GAP, y + 2, _GAP + _ROW, y + _ROW - 4), fill=mark.color)
        tag_x = _GAP + (_ROW - font.getlength(mark.tag)) / 2
        draw.text((tag_x, y + 2), mark.tag, fill="white", font=font)
        draw.multiline_text((left, y + 2), text, fill="black", font=font, spacing=6)
        y += height
    return whole
