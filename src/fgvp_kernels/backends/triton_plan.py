"""What calls of equal shapes and options share: tables on the device, and launches made ready."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fgvp_kernels.backends.triton_geometry import (
    LogitAxis,
    make_geometry,
    make_logit_taps,
    mask_taps_of,
)
from fgvp_kernels.backends.triton_launches import Launches
from fgvp_kernels.backends.triton_products import blur_of
from fgvp_kernels.batch import Candidates, Settings
from fgvp_kernels.device_tables import DeviceCache, send
from fgvp_kernels.frames import Frame, Order, Size, make_frame
from fgvp_kernels.mask_stacks import LogitMasks
from fgvp_kernels.modes import Effect

GROUP = 32  # candidates in a word
PIXELS = 1024  # of a program of the select kernel: 16 bytes of fp16 a thread


@dataclass(frozen=True, eq=False)
class Part:
    """The images of a batch whose masks one launch packs."""

    places: tuple[int, ...]
    groups: torch.Tensor  # int32 [G, 4], see triton_words.GROUP_COLUMNS
    logit_taps: list[torch.Tensor]  # of logits, else empty; see make_logit_taps


class Plan(Launches):
    """How images of given sizes with given numbers of candidates are drawn.

    Attributes:
        frames: Of the images.
        geometry: Theirs.
        blur: Of their canvases, or None where no mode that draws whole images blurs.
        mask_taps: From their masks to their canvases.
        images: int32 ``[B, 6]``, see ``triton_words.IMAGE_COLUMNS``.
        scales: fp32 ``[B, 2]``, size of a canvas in sizes of its image.
        tasks: int32 ``[T, 10]``, see ``triton_select.TASK_COLUMNS``.
        groups: int32 ``[rows, 4]``, all groups in the order of their words.
        owners: int32 ``[rows]``, image of each row of words.
        parts: The groups by form of mask.
    """

    def __init__(
        self,
        images: Sequence[Candidates],
        settings: Settings,
        order: Order,
        size: Size,
        device: torch.device,
    ) -> None:
        super().__init__()
        options = settings.options
        self.device = device
        self.frames = tuple(make_frame(i.size, size, order, options.fit) for i in images)
        self.geometry = make_geometry(self.frames, device)
        canvases = self.geometry.canvas_sizes
        self.blur = None
        whole = [spec for spec in settings.specs if not spec.crop]
        if options.sigma > 0 and any(spec.effect is Effect.BLUR for spec in whole):
            self.blur = blur_of(canvases, options.blur, options.sigma, device)
        pairs = tuple((image.size, canvas) for image, canvas in zip(images, canvases, strict=True))
        self.mask_taps = mask_taps_of(pairs, device)
        groups = _groups(images)
        places: dict[object, list[int]] = {}
        for place, image in enumerate(images):
            places.setdefault(image.masks.kind, []).append(place)
        by_part = [groups]
        if len(places) > 1:
            by_part = [groups[np.isin(groups[:, 0], members)] for members in places.values()]
        scales = [[y / h, x / w] for (h, w), (y, x) in pairs]
        self.images, self.scales, self.tasks, self.groups, self.owners, *sent = send(
            [
                _image_table(images, canvases),
                np.array(scales, np.float32),
                _tasks(images, groups, self.frames, self._per_task(images)),
                groups,
                np.ascontiguousarray(groups[:, 0]),
                *by_part,
            ],
            device,
        )
        self.parts = [
            Part(tuple(members), there, self._logit_taps(images, members))
            for members, there in zip(places.values(), sent, strict=True)
        ]

    def _per_task(self, images: Sequence[Candidates]) -> int:
        """Candidates for a program: as many as leave three programs for each multiprocessor."""
        if any(frame.moves for frame in self.frames):
            return 1
        if self.device.type != "cuda":
            return GROUP
        wanted = 3 * torch.cuda.get_device_properties(self.device).multi_processor_count
        tiles = 3 * -(-self.geometry.area // PIXELS)
        for per_task in (32, 16, 8):
            if tiles * sum(-(-image.masks.count // per_task) for image in images) >= wanted:
                return per_task
        return 4

    def _logit_taps(self, images: Sequence[Candidates], members: list[int]) -> list[torch.Tensor]:
        axes = {}
        for place in members:
            image, canvas = images[place], self.geometry.canvas_sizes[place]
            if not isinstance(image.masks, LogitMasks):
                return []
            form = image.masks.form
            y, x = (
                LogitAxis(
                    form.logits.shape[1 + axis],
                    max(form.input_size),
                    form.input_size[axis],
                    (canvas[axis],) if form.at == "canvas" else (image.size[axis], canvas[axis]),
                )
                for axis in (0, 1)
            )
            axes[place] = (y, x)
        return make_logit_taps(axes, len(images), max(self.geometry.canvas), self.device)


_PLANS: DeviceCache[Plan] = DeviceCache(32)


def plan_of(
    images: Sequence[Candidates],
    settings: Settings,
    order: Order,
    size: Size,
    device: torch.device,
) -> Plan:
    """Return the plan of images that share a dtype, made by an earlier call if there was one.

    ``order`` is that of ``settings``, but for crops, whose windows are cut from whole images.
    """
    options = settings.options
    key = (
        device, size, settings.specs, order, settings.dtype, options.fit, options.sigma,
        options.blur, options.line_width,
        *[
            (image.size, image.image.dtype, image.first, image.masks.count, image.masks.kind,
             image.masks.stored_size, image.masks.input_size, image.given_boxes is None)
            for image in images
        ],
    )  # fmt: skip
    return _PLANS.get(key, lambda: Plan(images, settings, order, size, device), device)


def _groups(images: Sequence[Candidates]) -> np.ndarray[Any, Any]:
    """int32 ``[rows, 4]``: up to 32 successive candidates of an image each."""
    rows: list[list[int]] = []
    for i, image in enumerate(images):
        count = image.masks.count
        for first in range(0, count, GROUP):
            rows.append([i, first, min(GROUP, count - first), len(rows)])
    return np.array(rows, np.int32)


def _tasks(
    images: Sequence[Candidates],
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


def _image_table(images: Sequence[Candidates], canvases: Sequence[Size]) -> np.ndarray[Any, Any]:
    """int32 ``[B, 6]``."""
    rows, start = [], 0
    for image, canvas in zip(images, canvases, strict=True):
        given = image.given_boxes is not None
        rows.append([*canvas, *image.masks.stored_size, start, int(given)])
        start += image.masks.count
    return np.array(rows, np.int32)
