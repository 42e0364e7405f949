"""The torch backend: the readable specification, and what runs on a CPU.

Whole images and crops go to :class:`ImageDrawing`, crops without a mark straight to their places.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from fgvp_kernels.batch import Candidates, RenderBatch, Settings, color_rows
from fgvp_kernels.frames import Frame, make_frame
from fgvp_kernels.mask_stacks import WindowMask
from fgvp_kernels.modes import Region
from fgvp_kernels.regions import crop_windows
from fgvp_kernels.torch_backend.canvas import Colors
from fgvp_kernels.torch_backend.crops import Window, draw_plain_crops
from fgvp_kernels.torch_backend.host_threads import aten_threads, shared_out
from fgvp_kernels.torch_backend.image_drawing import ImageDrawing

# An image of so many pixels keeps one ATen thread busy for longer than another may be waited for.
_PIXELS_PER_THREAD = 1 << 20


def render(batch: RenderBatch, out: torch.Tensor) -> None:
    """Draw every candidate of ``batch`` in every mode into ``out [K, ΣN, 3, h, w]``."""
    modes = range(len(batch.settings.specs))
    if out.device.type != "cpu" or batch.records_gradients:
        for image in batch.images:
            draw(image, batch, modes, out)
        return
    threads = torch.get_num_threads()
    for image in batch.images:
        few = 1 + image.size[0] * image.size[1] // _PIXELS_PER_THREAD
        with aten_threads(few):
            draw(image, batch, modes, out, threads=threads)


def draw(
    image: Candidates,
    batch: RenderBatch,
    modes: Sequence[int],
    out: torch.Tensor,
    *,
    crops: Sequence[int] | None = None,
    threads: int = 1,
) -> None:
    """Draw one image of a batch.

    Args:
        image: The image.
        batch: The call.
        modes: Indices of the modes to draw.
        out: ``[K, ΣN, 3, h, w]``; the image's rows are written.
        crops: The candidates whose crops are wanted; None for all.
        threads: How many threads of the host may work on it.
    """
    specs = batch.settings.specs
    dtype = work_dtype(image, batch.settings)
    line, tint = (
        color_rows(color, image.rows).to(image.image.device, dtype)
        for color in (batch.line_color, batch.tint_color)
    )
    colors = Colors(line, tint)
    pictures = out[:, image.rows]  # [K, N, 3, h, w]
    size = (out.shape[3], out.shape[4])
    whole = [k for k in modes if not specs[k].crop]
    cropped = [k for k in modes if specs[k].crop]
    if whole:
        frame = make_frame(image.size, size, batch.settings.order, batch.settings.options.fit)
        for part, candidates in _apart_where_thin(image, frame):
            drawing = ImageDrawing(candidates, frame, colors.of(part), batch.settings)
            drawing.draw(whole, pictures[:, part], threads)
    if cropped:
        numbers = range(image.masks.count) if crops is None else crops
        _draw_crops(image, numbers, colors, batch.settings, cropped, pictures, threads)


def work_dtype(image: Candidates, settings: Settings) -> torch.dtype:
    """float32, or float64 where the image or the output is."""
    dtypes = (image.image.dtype, settings.dtype)
    return torch.float64 if torch.float64 in dtypes else torch.float32


def _draw_crops(
    image: Candidates,
    numbers: Sequence[int],
    colors: Colors,
    settings: Settings,
    modes: list[int],
    pictures: torch.Tensor,
    threads: int,
) -> None:
    """Draw modes that crop: each candidate's box is an image of its own, with one candidate."""
    specs, order, fit = settings.specs, settings.order, settings.options.fit
    size = (pictures.shape[3], pictures.shape[4])
    plain = [k for k in modes if fit != "object_crop" and specs[k].region is Region.NOTHING]
    marked = [k for k in modes if k not in plain]
    all_windows = crop_windows(image.boxes, image.size, order)
    windows = {i: all_windows[i] for i in numbers}

    def draw_marked(number: int) -> None:
        left, top, right, bottom = windows[number]
        box = image.boxes.new_tensor([[0, 0, right - left, bottom - top]])  # [1, 4]
        candidate = _window_of(image, number, windows[number], box)
        one = slice(number, number + 1)
        frame = make_frame(candidate.size, size, order, fit)
        ImageDrawing(candidate, frame, colors.of(one), settings).draw(marked, pictures[:, one])

    if plain:
        draw_plain_crops(image.image, windows, colors, settings, plain, pictures)
    if marked:
        threads = threads if len(windows) > 1 else 1
        with (
            aten_threads(1 if threads > 1 else torch.get_num_threads()),
            shared_out(draw_marked, list(windows), threads),
        ):
            pass


def _apart_where_thin(image: Candidates, frame: Frame) -> Iterator[tuple[slice, Candidates]]:
    """Candidates that are drawn together: all, unless each shows another part of a long canvas."""
    if not (frame.thin and frame.moves):
        yield slice(None), image
        return
    window = (0, 0, image.size[1], image.size[0])
    for i in range(image.masks.count):
        one = slice(i, i + 1)
        box = None if image.given_boxes is None else image.given_boxes[one]
        yield one, _window_of(image, i, window, box)


def _window_of(
    image: Candidates, number: int, window: Window, box: torch.Tensor | None
) -> Candidates:
    """A window of an image and of one of its candidates, as an image of its own.

    ``box`` is the candidate's in the window, ``[1, 4]``; None for the tight one of its mask.
    """
    left, top, right, bottom = window
    y, x = slice(top, bottom), slice(left, right)
    mask = WindowMask(image.masks, number, y, x)
    return Candidates(image.image[:, y, x], mask, box, image.first + number)
