"""A contact sheet of every visual prompt for one candidate of one image.

python -m fgvp_eval.gallery IMAGE --mask MASK.png --out sheet.png
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

from fgvp_eval.errors import EXIT_DONE, EXIT_REFUSED, DataError, EvalError
from fgvp_kernels import Mode, RenderOptions, render_batch

_MARGIN, _CAPTION, _FONT = 8, 36, 12  # pixels
_EXAMPLE = """example:
  python -m fgvp_eval.gallery photo.jpg --mask mask.png --out sheet.png
"""


def contact_sheet(
    image: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    *,
    size: int = 160,
    columns: int = 7,
    options: RenderOptions | None = None,
) -> Image.Image:
    """Draw every mode, with its name and paper code, on one sheet.

    Args:
        image: ``[H, W, 3]`` uint8 RGB.
        mask: ``[H, W]`` bool, the candidate.
        size: Side of each picture in pixels.
        columns: Pictures in a row.
        options: How to draw; the renderer's defaults without it.
    """
    modes = list(Mode)
    pictures = render_batch(
        torch.from_numpy(image).permute(2, 0, 1),
        torch.from_numpy(mask)[None],
        modes,
        size=size,
        options=options or RenderOptions(),
    )  # [K, 1, 3, S, S] uint8
    rows = -(-len(modes) // columns)
    cell_width, cell_height = size + _MARGIN, size + _CAPTION + _MARGIN
    sheet = Image.new(
        "RGB", (columns * cell_width + _MARGIN, rows * cell_height + _MARGIN), "white"
    )
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_FONT)
    for index, (mode, picture) in enumerate(zip(modes, pictures[:, 0], strict=True)):
        x = _MARGIN + index % columns * cell_width
        y = _MARGIN + index // columns * cell_height
        sheet.paste(Image.fromarray(picture.permute(1, 2, 0).numpy()), (x, y))
        code = f"  ({mode.spec.code})" if mode.spec.code else ""
        caption = _wrapped(mode.value + code, draw, font, size)
        draw.multiline_text((x, y + size + 3), caption, fill="black", font=font, spacing=2)
    return sheet


def _wrapped(
    text: str,
    draw: ImageDraw.ImageDraw,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    width: int,
) -> str:
    """Break ``text`` after an underscore where it is wider than ``width`` pixels."""
    lines = [""]
    for word in text.replace("_", "_\n").split("\n"):
        if lines[-1] and draw.textlength(lines[-1] + word, font=font) > width:
            lines.append("")
        lines[-1] += word
    return "\n".join(lines)


def _read(path: Path, mode: str) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as picture:
            return np.array(picture.convert(mode))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(f"{path}: cannot be read as a picture: {error}") from None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m fgvp_eval.gallery",
        description="Draw every visual prompt for one candidate of one image.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("image", type=Path)
    parser.add_argument("--mask", type=Path, required=True, help="picture; bright is the candidate")
    parser.add_argument("--out", type=Path, default=Path("sheet.png"), help="default: sheet.png")
    parser.add_argument("--size", type=int, default=160, help="side of each picture; default: 160")
    args = parser.parse_args(argv)
    try:
        image, mask = _read(args.image, "RGB"), _read(args.mask, "L") > 127
        if mask.shape != image.shape[:2]:
            raise DataError(
                f"{args.mask}: is {mask.shape[1]}x{mask.shape[0]}, but the image is "
                f"{image.shape[1]}x{image.shape[0]}"
            )
        contact_sheet(image, mask, size=args.size).save(args.out)
    except EvalError as error:
        sys.stderr.write(f"fgvp_eval.gallery: error: {error}\n")
        return EXIT_REFUSED
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
