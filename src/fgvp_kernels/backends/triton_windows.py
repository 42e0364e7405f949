"""Host side of pictures that candidates do not share: resampled after drawing, or with a window, a
colour or a canvas of their own. All candidates of a mode are drawn in one launch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate

import torch
import triton

from fgvp_kernels.backends import triton_compose, triton_planes, triton_tiles
from fgvp_kernels.backends.torch_drawing import BT601
from fgvp_kernels.backends.triton_geometry import MaskTaps, make_mask_taps
from fgvp_kernels.backends.triton_masks import addresses_of, triton_dtype
from fgvp_kernels.batch import Candidates, RenderBatch
from fgvp_kernels.frames import Frame, Order, Size
from fgvp_kernels.mask_stacks import MaskStack
from fgvp_kernels.modes import Effect, ModeSpec

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
_COLORED = (Effect.OUTLINE, Effect.FILL, Effect.TINT)


@lru_cache(maxsize=64)
def make_table(
    rows: tuple[tuple[float, ...], ...], dtype: torch.dtype, device: torch.device
) -> torch.Tensor:
    """A small table of numbers on a device, kept between calls."""
    return torch.tensor(rows, dtype=dtype).to(device)


@dataclass(frozen=True, eq=False)
class Masks:
    """Where the candidates of a batch are inside, as the kernels read it.

    Attributes:
        kind: ``NOTHING``, ``BITS`` or ``SOFT``.
        data: Words ``[G, pixels]``, or addresses ``[V]`` of the soft masks of each surface.
        pitch: Words in a row of pixels.
        sizes: (H, W) of each surface's soft masks.
        taps: Mask pixels behind canvas pixels; None where words are those of the canvas.
        stacks: The soft masks, which must live until they are read.
    """

    kind: int
    data: torch.Tensor
    pitch: int = 0
    sizes: tuple[Size, ...] = ()
    taps: MaskTaps | None = None
    stacks: tuple[torch.Tensor, ...] = ()

    @property
    def dtype(self) -> torch.dtype:
        """Of soft masks."""
        return self.stacks[0].dtype if self.stacks else torch.float32


def soft_masks(
    stacks: Sequence[MaskStack],
    owners: Sequence[int],
    pairs: tuple[tuple[Size, Size], ...],
    device: torch.device,
) -> Masks:
    """Return soft masks as the kernels read them.

    Args:
        stacks: The masks of each image.
        owners: Image of each surface.
        pairs: For each surface the size of the part of the masks that it shows, and its canvas.
        device: Where the tables go.
    """
    dense = [stack.dense(0, stack.count).contiguous() for stack in stacks]
    if len({masks.dtype for masks in dense}) > 1:
        dense = [masks.float() for masks in dense]
    return Masks(
        kind=SOFT,
        data=addresses_of([dense[owner] for owner in owners], device),
        sizes=tuple(stacks[owner].size for owner in owners),
        taps=make_mask_taps(pairs, device),
        stacks=tuple(dense),
    )


@dataclass(frozen=True, eq=False)
class Tasks:
    """What programs draw: up to 32 successive candidates of one surface each.

    Attributes:
        table: int32 ``[T, 8]``, see ``triton_tiles.TASK_COLUMNS``.
        candidates: How many candidates the tasks have together.
    """

    table: torch.Tensor
    candidates: int

    def with_origins(self, origins: torch.Tensor) -> Tasks:
        """The same with windows that begin at ``origins`` int32 ``[T, 2]``, y and x."""
        table = torch.cat([self.table[:, :5], origins, self.table[:, 7:]], 1)
        return Tasks(table, self.candidates)


def first_word_rows(images: Sequence[Candidates]) -> list[int]:
    """The row of words with which each image begins: 32 candidates of one image share a word."""
    rows = accumulate(-(-image.masks.count // 32) for image in images)
    return [0, *rows][:-1]


def image_tasks(
    images: Sequence[Candidates],
    frames: Sequence[Frame],
    soft: bool,
    per_task: int,
) -> Tasks:
    """Tasks for all candidates of images that are drawn whole.

    Args:
        images: The images of a batch.
        frames: Their frames.
        soft: Tasks name soft masks instead of words.
        per_task: Candidates of a task, which must divide 32.
    """
    own_window = frames[0].fit == "object_crop"
    first_rows = first_word_rows(images)
    rows: list[tuple[int, ...]] = []
    for i, (image, frame) in enumerate(zip(images, frames, strict=True)):
        step = 1 if own_window else per_task
        for first in range(0, image.masks.count, step):
            group, bit = first, 0
            if not soft:
                group, bit = first_rows[i] + first // 32, first % 32
            number = min(step, image.masks.count - first)
            origin = frame.window_origin()
            rows.append((i, image.first + first, group, bit, number, *origin, 0))
    table = make_table(tuple(rows), torch.int32, images[0].image.device)
    tasks = Tasks(table, sum(image.masks.count for image in images))
    if not own_window:
        return tasks
    boxes = torch.cat([image.boxes for image in images])  # [ΣN, 4]
    return tasks.with_origins(window_origins(boxes, [frames[row[0]] for row in rows]))


def window_origins(boxes: torch.Tensor, frames: Sequence[Frame]) -> torch.Tensor:
    """:meth:`Frame.window_origin` about boxes, on their device: int32 ``[n, 2]``, y and x.

    Args:
        boxes: float32 ``[n, 4]`` xyxy in pixels of each frame's image.
        frames: n frames.
    """
    rows = [
        (
            *(scaled / whole for scaled, whole in zip(frame.scaled, frame.image, strict=True)),
            *frame.scaled,
            *frame.visible,
        )
        for frame in frames
    ]
    table = torch.tensor(rows, dtype=torch.float64).to(boxes.device)
    corners = boxes.reshape(-1, 2, 2).flip(2)  # [n, 2, 2], y and x
    corners = corners * table[:, None, :2].to(boxes.dtype)
    centres = ((corners[:, 0] + corners[:, 1]) / 2).double()  # [n, 2]
    scaled, part = table[:, 2:4], table[:, 4:]
    origins = torch.minimum((centres - part * 0.5).clamp(min=0.0), scaled - part)
    return origins.to(torch.int32)


def shares_pictures(spec: ModeSpec, frames: Sequence[Frame], batch: RenderBatch) -> bool:
    """Whether all candidates of an image pick from the same finished pictures."""
    resampled = frames[0].order is Order.RENDER_FIRST and any(
        frame.scaled != frame.canvas for frame in frames
    )
    own_window = any(
        frame.fit == "object_crop" and frame.visible != frame.scaled for frame in frames
    )
    own_color = spec.effect in _COLORED and len(_color_rows(spec, batch)) > 1
    return not (resampled or own_window or own_color)


def _color_rows(spec: ModeSpec, batch: RenderBatch) -> torch.Tensor:
    return batch.line_color if spec.effect is Effect.OUTLINE else batch.tint_color


class Surfaces:
    """Canvases of a batch, on which candidates are drawn one by one.

    Args:
        frames: V frames that share an output size.
        levels: ``[V, 3, CH, CW]``, the canvases, uint8 or fp32.
        blurred: fp32, the same blurred, or None where no mode needs it.
        batch: The call.
    """

    def __init__(
        self,
        frames: tuple[Frame, ...],
        levels: torch.Tensor,
        blurred: torch.Tensor | None,
        batch: RenderBatch,
    ) -> None:
        self.frames = frames
        self.levels = levels
        self.blurred = levels if blurred is None else blurred
        self.batch = batch
        self.resampled = any(frame.scaled != frame.canvas for frame in frames)
        settings = batch.settings
        self.finish = make_table((settings.scale, settings.shift), torch.float32, levels.device)

    def draw(self, spec: ModeSpec, masks: Masks, tasks: Tasks, out: torch.Tensor) -> None:
        """Draw a mode of the candidates of ``tasks`` into their rows of ``out [ΣN, 3, h, w]``."""
        colors = self._colors(spec)
        own_color = spec.effect in _COLORED and len(colors) > 1
        if self.frames[0].order is Order.RESIZE_FIRST or not self.resampled:
            self._compose(spec, masks, tasks, colors, out)
            return
        planes = None
        if tasks.candidates > 2 * len(self.frames):
            planes = self._planes(spec, masks, colors)
        self._tile(
            spec.effect, masks, tasks, colors, out, planes=planes, OUTSIDE=spec.outside,
            OWN_COLOR=own_color,
        )  # fmt: skip

    def _colors(self, spec: ModeSpec) -> torch.Tensor:
        colors = _color_rows(spec, self.batch)
        device = self.levels.device
        if len(colors) == 1 and colors.device != device:
            return make_table((tuple(colors[0].tolist()),), torch.float32, device)
        return colors.contiguous().to(device)

    @cached_property
    def _scaled(self) -> Size:
        """Size of a buffer that holds the scaled frame of every surface."""
        width = max(frame.scaled[1] for frame in self.frames)
        return (max(frame.scaled[0] for frame in self.frames), -(-width // 16) * 16)

    def _frames(self, masks: Masks, whole: bool = False) -> torch.Tensor:
        """The table of frames; with ``whole`` all of the scaled frame is visible."""
        sizes = masks.sizes or [(0, 0)] * len(self.frames)
        rows = tuple(
            (*frame.canvas, *frame.scaled, *(frame.scaled if whole else frame.visible), *size)
            for frame, size in zip(self.frames, sizes, strict=True)
        )
        return make_table(rows, torch.int32, self.levels.device)

    def _planes(self, spec: ModeSpec, masks: Masks, colors: torch.Tensor) -> torch.Tensor:
        """Finished pictures of the scaled frames, ``[V, 2, 3, ·, ·]``: nothing, all inside."""
        planes = torch.empty(
            len(self.frames), 2, 3, *self._scaled, dtype=self.batch.settings.dtype,
            device=self.levels.device,
        )  # fmt: skip
        for side in (0, 1) if masks.kind == BITS else (0,):
            rows = tuple((i, 2 * i + side, 0, 0, 1, 0, 0, 0) for i in range(len(planes)))
            tasks = Tasks(make_table(rows, torch.int32, planes.device), len(rows))
            # Everything is outside here, so what the mode does on this side is done outside.
            effect = spec.effect if spec.outside == (side == 0) else Effect.NOTHING
            self._tile(
                effect, Masks(NOTHING, self.levels), tasks, colors[:1], planes.flatten(0, 1),
                whole=True, OUTSIDE=True, OWN_COLOR=False,
            )  # fmt: skip
        return planes

    def _tile(
        self,
        effect: Effect,
        masks: Masks,
        tasks: Tasks,
        colors: torch.Tensor,
        out: torch.Tensor,
        *,
        planes: torch.Tensor | None = None,
        whole: bool = False,
        **constants: bool,
    ) -> None:
        options = self.batch.settings.options
        launch_tiles(
            self.levels, self.blurred, masks, self._frames(masks, whole), tasks, out,
            planes=planes, colors=colors, finish=self.finish, alpha=options.alpha,
            luma=BT601 if options.luma == "bt601" else BT601[::-1], EFFECT=EFFECTS[effect],
            CUT=False, **constants,
        )  # fmt: skip

    def _compose(
        self, spec: ModeSpec, masks: Masks, tasks: Tasks, colors: torch.Tensor, out: torch.Tensor
    ) -> None:
        options, levels = self.batch.settings.options, self.levels
        pairs = tuple((frame.canvas, frame.scaled) for frame in self.frames)
        taps = make_mask_taps(pairs if self.resampled else pairs[:1], levels.device)
        mask_taps = taps if masks.taps is None else masks.taps
        height, width = out.shape[2:]
        pixels = COMPOSE_SOFT_PIXELS if masks.kind == SOFT else COMPOSE_PIXELS
        blocks = triton.cdiv(height * width, pixels)
        red, green, blue = BT601 if options.luma == "bt601" else BT601[::-1]
        triton_compose.compose_kernel[(blocks * len(tasks.table), 3)](
            levels, self.blurred, masks.data, mask_taps.taps, mask_taps.fractions, taps.taps,
            taps.fractions, self._frames(masks), tasks.table, colors, self.finish, out,
            levels.stride(0), levels.stride(1), levels.stride(2), masks.data.stride(0),
            masks.pitch, mask_taps.length, taps.length, height * width, width,
            3 if len(colors) > 1 else 0, options.alpha, red, green, blue,
            EFFECT=EFFECTS[spec.effect], OUTSIDE=spec.outside, MASK=masks.kind,
            MASK_DTYPE=triton_dtype(masks.dtype), RESIZED=masks.taps is not None,
            TAPS=2 if self.resampled else 1, ROUND=out.dtype == torch.uint8, BLOCK=pixels,
        )  # fmt: skip


def launch_tiles(
    levels: torch.Tensor,
    blurred: torch.Tensor,
    masks: Masks,
    frames: torch.Tensor,
    tasks: Tasks,
    out: torch.Tensor,
    *,
    planes: torch.Tensor | None,
    colors: torch.Tensor,
    finish: torch.Tensor,
    alpha: float,
    luma: Sequence[float],
    **constants: int,
) -> None:
    """Launch ``tile_kernel`` over the pictures of ``tasks``, which are rows of ``out``."""
    height, width = out.shape[2:]
    tiles = triton.cdiv(height, TILE) * triton.cdiv(width, TILE)
    exact = levels.dtype == torch.uint8 and constants["EFFECT"] == EFFECTS[Effect.NOTHING]
    plane = (0, 0) if planes is None else (planes.stride(2), planes.stride(3))
    triton_tiles.tile_kernel[(tiles * len(tasks.table), 3)](
        levels, blurred, masks.data, out if planes is None else planes, frames, tasks.table,
        colors, finish, out, levels.stride(0), levels.stride(1), levels.stride(2),
        masks.data.stride(0), masks.pitch, *plane, height * width, height, width,
        3 if len(colors) > 1 else 0, alpha, *luma, MASK=masks.kind,
        MASK_DTYPE=triton_dtype(masks.dtype), EXACT=exact, PLANES=planes is not None,
        ROUND=out.dtype == torch.uint8, BLOCK=TILE, CHUNK_Y=CHUNK_Y, CHUNK_X=CHUNK_X, **constants,
    )  # fmt: skip
