"""Sheets of visual prompts exactly as CLIP saw them, with their scores beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from fgvp_eval.encoding.clip_models import PictureSpec
from fgvp_eval.encoding.picture_text import fitted, font_of, mode_caption, wrapped
from fgvp_kernels import Mode

Color = tuple[int, int, int]

# Pixels. Small pictures are shown as many whole times larger as fit into _SHOWN.
_SHOWN, _GAP, _MARGIN, _FRAME = 192, 8, 140, 3
_TITLE_FONT, _FONT, _LINE = 16, 13, 19


def as_seen(pictures: torch.Tensor, spec: PictureSpec) -> NDArray[np.uint8]:
    """Undo the normalisation of a CLIP's input.

    Args:
        pictures: ``[K, N, 3, h, w]`` float on any device: what the image tower takes.
        spec: What they were normalised with.

    Returns:
        ``[K, N, h, w, 3]`` uint8 RGB.
    """
    levels = pictures.detach().float().cpu().movedim(2, -1)  # [K, N, h, w, 3]
    levels = (levels * torch.tensor(spec.std) + torch.tensor(spec.mean)) * 255.0
    seen: NDArray[np.uint8] = levels.round().clamp(0.0, 255.0).to(torch.uint8).numpy()
    return seen


def prompt_strip(
    pictures: NDArray[np.uint8],
    modes: Sequence[str],
    heads: Sequence[str],
    *,
    notes: Sequence[Sequence[str]] | None = None,
    frames: Mapping[int, Color] | None = None,
    title: str = "",
) -> Image.Image:
    """Draw one row of pictures for each mode, one column for each candidate.

    Pictures keep their pixels: small ones are enlarged a whole number of times.

    Args:
        pictures: ``[K, N, h, w, 3]`` uint8 RGB, of :func:`as_seen`; N may be 0.
        modes: K canonical mode names, written in the margin.
        heads: What is written above each of the N columns, cut off where it is too long.
        notes: What is written below each picture, K rows of N; None for nothing.
        frames: The colour of the frame around a column's pictures, by its index.
        title: Written above everything.
    """
    count, height, width = pictures.shape[1:4]
    zoom = max(1, _SHOWN // max(height, width))
    cell = width * zoom + _GAP
    sheet_width = _MARGIN + max(count, 1) * cell + _GAP
    title_lines = wrapped(title, font_of(_TITLE_FONT), sheet_width - 2 * _GAP) if title else ""
    top = _GAP + (title_lines.count("\n") + 1) * (_LINE + 4) * bool(title) + _LINE
    row_height = height * zoom + (_LINE if notes else 0) + _GAP
    sheet = Image.new("RGB", (sheet_width, top + len(modes) * row_height), "white")
    draw = ImageDraw.Draw(sheet)
    font = font_of(_FONT)
    draw.multiline_text((_GAP, _GAP), title_lines, fill="black", font=font_of(_TITLE_FONT))
    for column, head in enumerate(heads):
        text = fitted(head, font, cell - _GAP)
        draw.text((_MARGIN + column * cell, top - _LINE), text, fill="black", font=font)
    for row, mode in enumerate(modes):
        y = top + row * row_height
        name = wrapped(mode_caption(Mode(mode)), font, _MARGIN - 2 * _GAP)
        draw.multiline_text((_GAP, y), name, fill="black", font=font, spacing=2)
        for column in range(count):
            x = _MARGIN + column * cell
            picture = Image.fromarray(pictures[row, column])
            size = (width * zoom, height * zoom)
            sheet.paste(picture.resize(size, Image.Resampling.NEAREST), (x, y))
            if frames and column in frames:
                _frame(draw, (x, y), size, frames[column])
            if notes:
                place = (x, y + height * zoom + 3)
                text = fitted(notes[row][column], font, cell - _GAP)
                draw.text(place, text, fill="black", font=font)
    return sheet


def stacked(sheets: Sequence[Image.Image]) -> Image.Image:
    """Return sheets, at least one, one below the other."""
    size = (max(sheet.width for sheet in sheets), sum(sheet.height for sheet in sheets))
    whole = Image.new("RGB", size, "white")
    y = 0
    for sheet in sheets:
        whole.paste(sheet, (0, y))
        y += sheet.height
    return whole


def _frame(
    draw: ImageDraw.ImageDraw, corner: tuple[int, int], size: tuple[int, int], color: Color
) -> None:
    """Draw a frame around, not on, a picture."""
    (x, y), (width, height) = corner, size
    box = (x - _FRAME, y - _FRAME, x + width + _FRAME - 1, y + height + _FRAME - 1)
    draw.rectangle(box, outline=color, width=_FRAME)
