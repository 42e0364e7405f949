"""Text on pictures: the font, and how a long name or sentence is broken into lines."""

from __future__ import annotations

import functools

from PIL import ImageFont

from fgvp_kernels import Mode

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@functools.cache
def font_of(size: int) -> Font:
    """Return Pillow's own font, ``size`` pixels high; it has Latin letters only."""
    return ImageFont.load_default(size)


def mode_caption(mode: Mode) -> str:
    """Return a mode's name and, in brackets, its code in the paper if it has one."""
    return f"{mode.value}  ({mode.spec.code})" if mode.spec.code else mode.value


def fitted(text: str, font: Font, width: float) -> str:
    """Return ``text``, cut off with dots where it is wider than ``width`` pixels."""
    shown = text
    while len(shown) > 4 and font.getlength(shown) > width:
        shown = f"{shown[:-4]}..."
    return shown


def wrapped(text: str, font: Font, width: float) -> str:
    """Break ``text`` after a space or an underscore where a line is wider than ``width`` pixels."""
    lines = [""]
    for word in text.replace("_", "_\n").replace(" ", " \n").split("\n"):
        if lines[-1] and font.getlength((lines[-1] + word).rstrip()) > width:
            lines.append("")
        lines[-1] += word
    return "\n".join(line.rstrip() for line in lines)
