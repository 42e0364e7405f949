"""A contact sheet of every visual prompt for one candidate of one image.

python -m fgvp_eval.gallery IMAGE --mask MASK.png --out sheet.png
python -m fgvp_eval.gallery IMAGE --point X,Y --out sheet.png
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from fgvp_eval.data.photos import Photo, read_image, read_picture
from fgvp_eval.encoding.picture_text import font_of, mode_caption, wrapped
from fgvp_eval.errors import EXIT_DONE, DataError, UsageError
from fgvp_eval.machine.devices import choose_device
from fgvp_eval.machine.whole_files import encoded, write_whole
from fgvp_eval.masks.by_points import point_mask
from fgvp_eval.masks.sam_models import load_sam
from fgvp_eval.masks.sam_prompting import prompt_ready
from fgvp_eval.options.config import DEFAULT_SAM
from fgvp_eval.options.demo_models import demo_models_warning
from fgvp_eval.options.tool_command import ToolParser, run_tool
from fgvp_eval.options.values import (
    data_root_given,
    is_demo_picture,
    parse_image,
    parse_modes,
    parse_sam,
)
from fgvp_kernels import Mode, RenderOptions, render_batch

PROGRAM = "python -m fgvp_eval.gallery"
_LOG = logging.getLogger("fgvp_eval")
_MARGIN, _CAPTION, _FONT = 8, 36, 12  # pixels
_COLUMNS = 7
_LARGEST = 4096  # side of a picture; a sheet of all modes then has 500 million pixels
_EXAMPLES = f"""examples:
  {PROGRAM} photo.jpg --mask mask.png --out sheet.png
  {PROGRAM} photo.jpg --point 320,240 --sam vit_h:/weights/sam_vit_h_4b8939.pth
  {PROGRAM} photo.jpg --point 320,240 --point 350,300 --modes D1,D3,D4,crop
  {PROGRAM} demo:3 --point 90,75

exit codes: 0 done; 2 wrong usage, or a file missing or broken; 130 interrupted
"""


def contact_sheet(
    image: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    *,
    size: int = 160,
    columns: int = _COLUMNS,
    options: RenderOptions | None = None,
    modes: Sequence[Mode] | None = None,
) -> Image.Image:
    """Draw modes, each with its name and paper code, on one sheet.

    Args:
        image: ``[H, W, 3]`` uint8 RGB.
        mask: ``[H, W]`` bool, the candidate.
        size: Side of each picture in pixels.
        columns: Pictures in a row.
        options: How to draw; the renderer's defaults without it.
        modes: What to draw; every mode without it.
    """
    modes = list(Mode) if modes is None else list(modes)
    columns = min(columns, len(modes))
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
    font = font_of(_FONT)
    for index, (mode, picture) in enumerate(zip(modes, pictures[:, 0], strict=True)):
        x = _MARGIN + index % columns * cell_width
        y = _MARGIN + index // columns * cell_height
        sheet.paste(Image.fromarray(picture.permute(1, 2, 0).numpy()), (x, y))
        caption = wrapped(mode_caption(mode), font, size)
        draw.multiline_text((x, y + size + 3), caption, fill="black", font=font, spacing=2)
    return sheet


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = ToolParser(
        prog=PROGRAM,
        description="Draw every visual prompt for one candidate of one image.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "image",
        type=parse_image,
        metavar="IMAGE",
        help="a picture; demo or demo:K is one of the demo's",
    )
    candidate = parser.add_mutually_exclusive_group(required=True)
    candidate.add_argument(
        "--mask", type=Path, metavar="FILE", help="a picture; bright is the candidate"
    )
    candidate.add_argument(
        "--point",
        action="append",
        type=_point,
        metavar="X,Y",
        help="a pixel of the candidate, which SAM segments; several points are on one candidate",
    )
    add("--modes", metavar="MODES", help="comma separated; default: all")
    add("--size", type=int, default=160, help="side of each picture in pixels; default: 160")
    add("--out", type=Path, default=Path("sheet.png"), metavar="FILE", help="default: sheet.png")
    add(
        "--sam",
        metavar="SAM",
        help=f"for --point: vit_h|vit_l|vit_b[:CHECKPOINT] or demo; default: {DEFAULT_SAM}; on "
        "demo: demo",
    )
    add("--data-root", type=Path, metavar="DIR", help="DIR/weights is looked for SAM")
    add("--device", default="auto", help="of SAM: auto (a GPU if there is one), cpu, cuda, ...")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return run_tool(lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(argv: Sequence[str]) -> int:
    options = build_parser().parse_args(argv)
    if not 1 <= options.size <= _LARGEST:
        raise UsageError(f"--size must be at least 1 and at most {_LARGEST}, got {options.size}")
    picture_format = _picture_format(options.out)
    modes = None if options.modes is None else [Mode(name) for name in parse_modes(options.modes)]
    photo = read_image(options.image)
    if options.mask is not None:
        mask = _read_mask(options.mask, photo)
    else:
        mask = _segmented(photo, options)
    sheet = contact_sheet(photo.pixels, mask, size=options.size, modes=modes)
    try:
        content = encoded(sheet, picture_format)
    except (OSError, ValueError) as error:  # a format that has no colours, or too few pixels
        raise UsageError(f"--out {options.out} cannot be written: {error}") from None
    write_whole(options.out, (content,))
    _LOG.info("wrote %s", options.out)
    return EXIT_DONE


def _picture_format(path: Path) -> str:
    """Return the format that a file's suffix asks for, before anything is drawn."""
    Image.init()
    picture_format = Image.EXTENSION.get(path.suffix.lower())
    if picture_format not in Image.SAVE:
        raise UsageError(f"--out {path} cannot be written: no picture format has that suffix")
    if not path.parent.is_dir() or path.is_dir():
        raise UsageError(f"--out {path} cannot be written: no file can be there")
    return str(picture_format)


def _point(text: str) -> tuple[float, float]:
    try:
        x, y = (float(number) for number in text.split(","))
    except ValueError:
        raise UsageError(f"--point must be X,Y in pixels, got {text!r}") from None
    return x, y


def _read_mask(path: Path, photo: Photo) -> NDArray[np.bool_]:
    """Return a mask file at the size of the photo's pixels, ``[h, w]`` bool."""
    mask: NDArray[np.bool_] = np.asarray(read_picture(path).convert("L")) > 127  # [H, W]
    if mask.shape != photo.size:
        (height, width), (of_image_h, of_image_w) = mask.shape, photo.size
        raise DataError(f"{path}: is {width}x{height}, but the image is {of_image_w}x{of_image_h}")
    if not mask.any():
        raise DataError(f"{path}: no pixel is bright (above 127 of 255), so there is no candidate")
    return photo.mask_to_pixels(mask)


def _segmented(photo: Photo, options: argparse.Namespace) -> NDArray[np.bool_]:
    """Return what SAM sees at the points, ``[h, w]`` bool."""
    height, width = photo.size
    for x, y in options.point:
        if not (0 <= x < width and 0 <= y < height):
            raise UsageError(f"--point {x:g},{y:g} is outside of the image of {width}x{height}")
    name = parse_sam(options.sam or ("demo" if is_demo_picture(options.image) else DEFAULT_SAM))
    try:
        data_root = data_root_given(options.data_root) or Path("data")
        sam = load_sam(name, choose_device(options.device), data_root)
    except DataError as error:
        raise DataError(f"{error}; to try it out without any download: --sam demo") from None
    if name == "demo" and not is_demo_picture(options.image):
        _LOG.warning("%s", demo_models_warning(["SAM"]))
    mask = point_mask(
        prompt_ready(sam, photo.pixels), [photo.point_to_pixels(point) for point in options.point]
    )
    if not mask.any():
        raise DataError("SAM finds nothing at the point; try another")
    return mask


if __name__ == "__main__":
    sys.exit(main())
