"""Host side of pictures that candidates do not share: resampled after drawing, or with a window, a
colour or a canvas of their own. All candidates of a mode are drawn in one launch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fgvp_kernels.batch import RenderBatch
from fgvp_kernels.device_tables import content_tables, kept, numbers_on, send
from fgvp_kernels.frames import Frame, Order, Size
from fgvp_kernels.modes import COLORED, Effect, ModeSpec
from fgvp_kernels.torch_backend.canvas import BT601
from fgvp_kernels.triton_backend.geometry import MaskTaps, make_mask_taps
from fgvp_kernels.triton_backend.kernels import compose as triton_compose
from fgvp_kernels.triton_backend.kernels import planes as triton_planes
from fgvp_kernels.triton_backend.kernels import tiles as triton_tiles
from fgvp_kernels.triton_backend.launches import launch

COMPOSE_PIXELS = 1024  # of a program: 16 bytes of fp16 a thread
COMPOSE_SOFT_PIXELS = 512  # of one that reads soft masks and would spill with more
TILE, CHUNK_Y, CHUNK_X = 32, 16, 32  # side of a tile; sources of it that are resampled at a time

NOTHING = triton_tiles.NOTHING.value
BITS = triton_tiles.BITS.value
SOFT = triton_tiles.SOFT.value

EFFECTS = {
    Effect.NOTHING: triton_planes.NOTHING.value,
    Effect.OUTLINE: triton_planes.CONSTANT.value,
    Effect.FILL: triton_planes.CONSTANT.value,
    Effect.TINT: triton_planes.TINT.value,
    Effect.GREY: triton_planes.GREY.value,
    Effect.BLUR: triton_planes.BLUR.value,
}


@dataclass(frozen=True, eq=False)
class Masks:
    """Where candidates are inside, as the kernels read it.

    Attributes:
        kind: ``NOTHING``, ``BITS`` or ``SOFT``.
        data: Words ``[rows, pixels]``, or soft masks ``[N, H, W]`` of the first surface.
        pitch: Words in a row of pixels.
        offsets: int64 ``[V]``, elements from the first surface's soft masks to each one's.
        taps: Mask pixels behind canvas pixels; None where words are those of the canvas.
    """

    kind: int
    data: torch.Tensor
    pitch: int = 0
    offsets: torch.Tensor | None = None
    taps: MaskTaps | None = None


class SurfaceTables:
    """What kernels need to know of V surfaces: the canvases of images, or of windows.

    Args:
        frames: Of the surfaces; they share an output size.
        mask_sizes: (H, W) of the masks that each surface's soft masks are read from.
        device: Where the tables go.

    Attributes:
        frames: The same.
        resampled: Whether any drawing is resampled.
        table: int32 ``[V, 8]``, see ``triton_tiles.FRAME_COLUMNS``.
        whole: The same where all of the scaled frame is shown.
        sides: Two tables of tasks: whole frames with nothing inside, and with all inside.
        windows: fp32 ``[V, 6]``: height and width of the scaled frame in those of the image, of the
            scaled frame, and of what is shown of it.
        taps: Canvas pixels behind those of the scaled frame.
    """

    def __init__(
        self, frames: tuple[Frame, ...], mask_sizes: Sequence[Size], device: torch.device
    ) -> None:
        self.frames = frames
        self.resampled = any(frame.scaled != frame.canvas for frame in frames)
        sized = list(zip(frames, mask_sizes, strict=True))
        shown = [[*f.canvas, *f.scaled, *f.visible, *masks] for f, masks in sized]
        whole = [[*f.canvas, *f.scaled, *f.scaled, *masks] for f, masks in sized]
        sides = [
            [[i, 2 * i + side, 0, 0, 1, 0, 0, 0, 0, 0] for i in range(len(frames))]
            for side in (0, 1)
        ]
        windows = [
            [*(s / i for s, i in zip(f.scaled, f.image, strict=True)), *f.scaled, *f.visible]
            for f in frames
        ]
        tables = [np.array(rows, np.int32) for rows in (shown, whole, *sides)]
        tables.append(np.array(windows, np.float32))
        self.table, self.whole, *self.sides, self.windows = send(tables, device)
        pairs = tuple((frame.canvas, frame.scaled) for frame in frames)
        self.taps = make_mask_taps(pairs, device)


def surface_tables_of(
    frames: tuple[Frame, ...], mask_sizes: tuple[Size, ...], device: torch.device
) -> SurfaceTables:
    """Return the tables of surfaces, kept between calls."""
    key = ("surfaces", frames, mask_sizes)
    return kept(key, lambda: SurfaceTables(frames, mask_sizes, device), device)


def tasks_about(boxes: torch.Tensor, tasks: torch.Tensor, tables: SurfaceTables) -> torch.Tensor:
    """Tasks of one candidate each with windows about its box: :meth:`Frame.window_origin`.

    Args:
        boxes: ``[T, 4]`` xyxy in pixels of each task's image, on the device.
        tasks: int32 ``[T, 10]``.
        tables: Of their surfaces.
    """
    window = tables.windows[tasks[:, 0].long()]  # [T, 6]
    corners = boxes.to(torch.float32).reshape(-1, 2, 2).flip(2) * window[:, None, :2]  # y and x
    centres = ((corners[:, 0] + corners[:, 1]) / 2).double()  # [T, 2]
    scaled, part = window[:, 2:4].double(), window[:, 4:].double()
    origins = torch.minimum((centres - part * 0.5).clamp(min=0.0), scaled - part)
    return torch.cat([tasks[:, :6], origins.to(torch.int32), tasks[:, 8:]], 1)


def has_own_colors(spec: ModeSpec, batch: RenderBatch) -> bool:
    """Whether a mode draws candidates in colours that may differ."""
    return spec.effect in COLORED and _color_rows(spec, batch).shape[0] > 1


def _color_rows(spec: ModeSpec, batch: RenderBatch) -> torch.Tensor:
    return batch.line_color if spec.effect is Effect.OUTLINE else batch.tint_color


class Surfaces:
    """Canvases on which candidates are drawn one by one.

    Args:
        tables: Of V surfaces.
        levels: ``[V, 3, CH, CW]``, the canvases, uint8 or fp32.
        blurred: fp32, the same blurred, or None where no mode needs it.
        batch: The call.
    """

    def __init__(
        self,
        tables: SurfaceTables,
        levels: torch.Tensor,
        blurred: torch.Tensor | None,
        batch: RenderBatch,
    ) -> None:
        self.tables = tables
        self.levels = levels
        self.blurred = levels if blurred is None else blurred
        self.batch = batch
        settings = batch.settings
        self.finish = numbers_on((*settings.scale, *settings.shift), levels.device)

    def draw(
        self, k: int, masks: Masks, tasks: torch.Tensor, candidates: int, out: torch.Tensor
    ) -> None:
        """Draw mode ``k`` of the candidates of ``tasks`` into their rows of ``out [ΣN, 3, h, w]``.

        Args:
            k: Number of the mode.
            masks: What is inside.
            tasks: int32 ``[T, 10]``.
            candidates: How many candidates the tasks have together.
            out: Written.
        """
        spec, tables = self.batch.settings.specs[k], self.tables
        colors = self._colors(spec)
        if tables.frames[0].order is Order.RESIZE_FIRST or not tables.resampled:
            self._compose(spec, masks, tasks, colors, out)
            return
        planes = None
        if candidates > 2 * len(tables.frames):
            planes = self._planes(spec, masks, colors)
        self._tile(
            spec.effect, masks, tables.table, tasks, colors, out, planes,
            OUTSIDE=spec.outside, OWN_COLOR=spec.effect in COLORED and len(colors) > 1,
        )  # fmt: skip

    def _colors(self, spec: ModeSpec) -> torch.Tensor:
        colors = _color_rows(spec, self.batch)
        device = self.levels.device
        if colors.device == device and device.type != "cpu":
            return colors.contiguous()
        return content_tables([colors.cpu().numpy()], device)[0]

    def _planes(self, spec: ModeSpec, masks: Masks, colors: torch.Tensor) -> torch.Tensor:
        """Finished pictures of the scaled frames, ``[V, 2, 3, ·, ·]``: nothing, all inside."""
        tables = self.tables
        height, width = (max(frame.scaled[axis] for frame in tables.frames) for axis in (0, 1))
        planes = torch.empty(
            len(tables.frames), 2, 3, height, -(-width // 16) * 16,
            dtype=self.batch.settings.dtype, device=self.levels.device,
        )  # fmt: skip
        for side in (0, 1) if masks.kind == BITS else (0,):
            # Everything is outside here, so what the mode does on this side is done outside.
            effect = spec.effect if spec.outside == (side == 0) else Effect.NOTHING
            self._tile(
                effect, Masks(NOTHING, self.levels), tables.whole,
                tables.sides[side], colors[:1], planes.flatten(0, 1), None, OUTSIDE=True,
                OWN_COLOR=False,
            )  # fmt: skip
        return planes

    def _tile(
        self,
        effect: Effect,
        masks: Masks,
        table: torch.Tensor,
        tasks: torch.Tensor,
        colors: torch.Tensor,
        out: torch.Tensor,
        planes: torch.Tensor | None,
        **constants: bool,
    ) -> None:
        launch_tiles(
            self.levels, self.blurred, masks, table, tasks, colors, self.finish, out, planes,
            _drawing_numbers(self.batch), EFFECT=EFFECTS[effect],
            CUT=False, **constants,
        )  # fmt: skip

    def _compose(
        self,
        spec: ModeSpec,
        masks: Masks,
        tasks: torch.Tensor,
        colors: torch.Tensor,
        out: torch.Tensor,
    ) -> None:
        levels, tables = self.levels, self.tables
        taps = tables.taps
        mask_taps = taps if masks.taps is None else masks.taps
        height, width = out.shape[2:]
        pixels = COMPOSE_SOFT_PIXELS if masks.kind == SOFT else COMPOSE_PIXELS
        blocks = -(-height * width // pixels)
        launch(
            triton_compose.compose_kernel, (blocks * len(tasks), 3, 1),
            (levels, self.blurred, masks.data, _table_or(masks.offsets, tasks), mask_taps.taps,
             mask_taps.fractions, taps.taps, taps.fractions, tables.table, tasks, colors,
             self.finish, out),
            (*levels.stride()[:3], masks.data.stride(0), masks.pitch, mask_taps.length,
             taps.length, height * width, width, 3 if len(colors) > 1 else 0),
            _drawing_numbers(self.batch), EFFECT=EFFECTS[spec.effect], OUTSIDE=spec.outside,
            MASK=masks.kind, RESIZED=masks.taps is not None, TAPS=2 if tables.resampled else 1,
            ROUND=out.dtype == torch.uint8, BLOCK=pixels,
        )  # fmt: skip


def _table_or(table: torch.Tensor | None, unused: torch.Tensor) -> torch.Tensor:
    """A table, or something in its place that the kernel does not read."""
    return unused if table is None else table


def _drawing_numbers(batch: RenderBatch) -> tuple[float, float, float, float]:
    """alpha, and the shares of red, green and blue in grey."""
    options = batch.settings.options
    red, green, blue = BT601 if options.luma == "bt601" else BT601[::-1]
    return options.alpha, red, green, blue


def launch_tiles(
    levels: torch.Tensor,
    blurred: torch.Tensor,
    masks: Masks,
    table: torch.Tensor,
    tasks: torch.Tensor,
    colors: torch.Tensor,
    finish: torch.Tensor,
    out: torch.Tensor,
    planes: torch.Tensor | None,
    numbers: Sequence[float],
    **constants: Any,
) -> None:
    """Launch ``tile_kernel`` over the pictures of ``tasks``, which are rows of ``out``."""
    height, width = out.shape[2:]
    tiles = -(-height // TILE) * -(-width // TILE)
    exact = levels.dtype == torch.uint8 and constants["EFFECT"] == EFFECTS[Effect.NOTHING]
    plane = (0, 0) if planes is None else (planes.stride(2), planes.stride(3))
    launch(
        triton_tiles.tile_kernel, (tiles * len(tasks), 3, 1),
        (levels, blurred, masks.data, _table_or(masks.offsets, tasks), _table_or(planes, out),
         table, tasks, colors, finish, out),
        (*levels.stride()[:3], masks.data.stride(0), masks.pitch, *plane, height * width, height,
         width, 3 if len(colors) > 1 else 0), numbers,
        MASK=masks.kind, EXACT=exact, PLANES=planes is not None, ROUND=out.dtype == torch.uint8,
        BLOCK=TILE, CHUNK_Y=CHUNK_Y, CHUNK_X=CHUNK_X, **constants,
    )  # fmt: skip
