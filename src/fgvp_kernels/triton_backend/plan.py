"""What calls of equal shapes and options share: tables on the device."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from fgvp_kernels.batch import Candidates, Settings
from fgvp_kernels.device_tables import kept, send
from fgvp_kernels.frames import Frame, Order, Size, make_frame
from fgvp_kernels.modes import Effect
from fgvp_kernels.options import Blur, Fit
from fgvp_kernels.triton_backend.geometry import (
    LogitAxis,
    make_geometry,
    make_logit_taps,
    mask_taps_of,
)
from fgvp_kernels.triton_backend.products import blur_of

GROUP = 32  # candidates in a word
PIXELS = 1024  # of a program of the select kernel: 16 bytes of fp16 a thread


class ImageLayout(NamedTuple):
    """What a plan knows of one image and its N candidates.

    Attributes:
        size: (H, W).
        first: Row of the first candidate in the output.
        candidates: N.
        given_boxes: Whether boxes were given, rather than taken from the masks.
        mask_kind, stored_size, input_size: See ``MaskStack``.
    """

    size: Size
    first: int
    candidates: int
    given_boxes: bool
    mask_kind: tuple[Hashable, ...]
    stored_size: Size
    input_size: Size | None


class Layout(NamedTuple):
    """All that a plan depends on but the device, and the key under which it is kept.

    Attributes:
        images: Of the drawing.
        order: That of the call, but for crops, whose windows are cut from whole images.
        size: (h, w) of the pictures.
        fit: Of the options.
        blur: Kind and sigma, or None where no mode that draws whole images blurs.
    """

    images: tuple[ImageLayout, ...]
    order: Order
    size: Size
    fit: Fit
    blur: tuple[Blur, float] | None


@dataclass(frozen=True, eq=False)
class Part:
    """The images of a batch whose masks one launch packs."""

    places: tuple[int, ...]
    groups: torch.Tensor  # int32 [G, 4], see triton_words.GROUP_COLUMNS
    logit_taps: list[torch.Tensor]  # of logits, else empty; see make_logit_taps


class Plan:
    """How images of given sizes with given numbers of candidates are drawn.

    Attributes:
        layout: What all else follows from.
        device: Where the tables are.
        frames: Of the images.
        moves: Whether any candidate is shown in a window of its own.
        resampled: Whether any drawing is resized after it is drawn.
        geometry: Theirs.
        blur: Of their canvases, or None where no mode that draws whole images blurs.
        mask_taps: From their masks to their canvases.
        images: int32 ``[B, 8]``, see ``triton_words.IMAGE_COLUMNS``.
        scales: fp32 ``[B, 2]``, size of a canvas in sizes of its image.
        tasks: int32 ``[T, 10]``, see ``triton_select.TASK_COLUMNS``.
        groups: int32 ``[rows, 4]``, all groups in the order of their words.
        owners: int32 ``[rows]``, image of each row of words.
        parts: The groups by form of mask.
    """

    def __init__(self, layout: Layout, device: torch.device) -> None:
        self.layout = layout
        self.device = device
        images = layout.images
        self.frames = tuple(
            make_frame(image.size, layout.size, layout.order, layout.fit) for image in images
        )
        self.moves = any(frame.moves for frame in self.frames)
        self.resampled = layout.order is Order.RENDER_FIRST and any(
            frame.scaled != frame.canvas for frame in self.frames
        )
        self.geometry = make_geometry(self.frames, device)
        canvases = self.geometry.canvas_sizes
        self.blur = None if layout.blur is None else blur_of(canvases, *layout.blur, device)
        pairs = tuple((image.size, canvas) for image, canvas in zip(images, canvases, strict=True))
        self.mask_taps = mask_taps_of(pairs, device)
        groups = _groups(images)
        places: dict[object, list[int]] = {}
        for place, image in enumerate(images):
            places.setdefault(image.mask_kind, []).append(place)
        by_part = [groups]
        if len(places) > 1:
            by_part = [groups[np.isin(groups[:, 0], members)] for members in places.values()]
        scales = [[y / h, x / w] for (h, w), (y, x) in pairs]
        self.images, self.scales, self.tasks, self.groups, self.owners, *sent = send(
            [
                _image_table(images, canvases),
                np.array(scales, np.float32),
                _tasks(images, groups, self.frames, self._per_task()),
                groups,
                np.ascontiguousarray(groups[:, 0]),
                *by_part,
            ],
            device,
        )
        self.parts = [
            Part(tuple(members), there, self._logit_taps(members))
            for members, there in zip(places.values(), sent, strict=True)
        ]

    def _per_task(self) -> int:
        """Candidates for a program: as many as leave three programs for each multiprocessor."""
        if self.moves:
            return 1
        if self.device.type != "cuda":
            return GROUP
        wanted = 3 * torch.cuda.get_device_properties(self.device).multi_processor_count
        tiles = 3 * -(-self.geometry.area // PIXELS)
        for per_task in (32, 16, 8):
            tasks = sum(-(-image.candidates // per_task) for image in self.layout.images)
            if tiles * tasks >= wanted:
                return per_task
        return 4

    def _logit_taps(self, members: list[int]) -> list[torch.Tensor]:
        axes = {}
        for place in members:
            image, canvas = self.layout.images[place], self.geometry.canvas_sizes[place]
            if image.input_size is None:
                return []
            at_canvas = "canvas" in image.mask_kind
            y, x = (
                LogitAxis(
                    image.stored_size[axis],
                    max(image.input_size),
                    image.input_size[axis],
                    (canvas[axis],) if at_canvas else (image.size[axis], canvas[axis]),
                )
                for axis in (0, 1)
            )
            axes[place] = (y, x)
        return make_logit_taps(axes, len(self.frames), max(self.geometry.canvas), self.device)


def plan_of(
    images: Sequence[Candidates], settings: Settings, order: Order, size: Size, device: torch.device
) -> Plan:
    """Return the plan of images that share a dtype, made by an earlier call if there was one.

    Args:
        images: At least one.
        settings: Of the call.
        order, size: See :class:`Layout`.
        device: Where the images are.
    """
    options = settings.options
    blurs = any(spec.effect is Effect.BLUR and not spec.crop for spec in settings.specs)
    layout = Layout(
        tuple(
            [
                ImageLayout(
                    image.size, image.first, image.masks.count, image.given_boxes is not None,
                    image.masks.kind, image.masks.stored_size, image.masks.input_size,
                )
                for image in images
            ]
        ),
        order, size, options.fit,
        (options.blur, float(options.sigma)) if blurs and options.sigma > 0 else None,
    )  # fmt: skip
    return kept(("plan", layout), lambda: Plan(layout, device), device)


def _groups(images: Sequence[ImageLayout]) -> np.ndarray[Any, Any]:
    """int32 ``[rows, 4]``: up to 32 successive candidates of an image each."""
    rows: list[list[int]] = []
    for i, image in enumerate(images):
        count = image.candidates
        for first in range(0, count, GROUP):
            rows.append([i, first, min(GROUP, count - first), len(rows)])
    return np.array(rows, np.int32)


def _tasks(
    images: Sequence[ImageLayout],
    groups: np.ndarray[Any, Any],
    frames: Sequence[Frame],
    per_task: int,
) -> np.ndarray[Any, Any]:
    """int32 ``[T, 10]``: groups split into tasks of at most ``per_task`` candidates."""
    rows: list[tuple[int, ...]] = []
    for place, first, count, row in groups.tolist():
        origin = frames[place].window_origin()
        for bit in range(0, count, per_task):
            out, number = images[place].first + first + bit, min(per_task, count - bit)
            rows.append((place, out, row, bit, number, first + bit, *origin, 0, 0))
    return np.array(rows, np.int32)


def _image_table(images: Sequence[ImageLayout], canvases: Sequence[Size]) -> np.ndarray[Any, Any]:
    """int32 ``[B, 8]``."""
    rows, start = [], 0
    for image, canvas in zip(images, canvases, strict=True):
        rows.append([*canvas, *image.stored_size, start, int(image.given_boxes), *image.size])
        start += image.candidates
    return np.array(rows, np.int32)
