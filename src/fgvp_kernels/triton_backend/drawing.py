"""Drawing whole images: finished planes of each image, words of each candidate, and pictures.

Per image two finished planes (four under a squash), per candidate and pixel one bit, packed along
candidates: the select kernel then does little but store.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from fgvp_kernels.batch import Candidates, RenderBatch
from fgvp_kernels.device_tables import numbers_on, offsets_of
from fgvp_kernels.frames import Order
from fgvp_kernels.modes import Effect, ModeSpec, Region
from fgvp_kernels.torch_backend.canvas import BT601
from fgvp_kernels.triton_backend.kernels import planes as triton_planes
from fgvp_kernels.triton_backend.kernels import select as triton_select
from fgvp_kernels.triton_backend.launches import launch
from fgvp_kernels.triton_backend.mask_bits import pack_words, stored
from fgvp_kernels.triton_backend.plan import PIXELS, plan_of
from fgvp_kernels.triton_backend.products import blur_levels, multiply_columns, multiply_rows
from fgvp_kernels.triton_backend.windows import (
    BITS,
    EFFECTS,
    SOFT,
    Masks,
    Surfaces,
    has_own_colors,
    surface_tables_of,
    tasks_about,
)

# Images whose planes are made before any of their pictures is written: what the L2 cache holds.
_IMAGES_AT_ONCE = 32
PLANE_PIXELS = BLEND_PIXELS = 512  # of kernels that would spill with more


def drawings(
    images: Sequence[Candidates], batch: RenderBatch, order: Order, out: torch.Tensor
) -> Iterator[Drawing]:
    """Drawings of images with candidates, a few images each.

    Args:
        images: Of the call; those without candidates are left out.
        batch: The call.
        order: See :func:`plan_of`.
        out: ``[K, ΣN, 3, h, w]``, the pictures.
    """
    # Kernels are compiled for the dtypes of an image and of its soft masks.
    alike: dict[object, list[Candidates]] = {}
    for image in images:
        if image.masks.count > 0:
            soft = image.masks.kind if image.masks.soft else None
            alike.setdefault((image.image.dtype, soft), []).append(image)
    with torch.cuda.device_of(out):  # type: ignore[no-untyped-call]
        for group in alike.values():
            for start in range(0, len(group), _IMAGES_AT_ONCE):
                yield Drawing(group[start : start + _IMAGES_AT_ONCE], batch, order, out)


class Drawing:
    """Some images of a batch, of one dtype, all with binary or all with soft masks of one dtype."""

    def __init__(
        self, images: list[Candidates], batch: RenderBatch, order: Order, out: torch.Tensor
    ) -> None:
        self.images = images
        self.batch = batch
        self.settings = batch.settings
        self.out = out
        self.device = out.device
        self.soft = images[0].masks.soft
        size = (out.shape[3], out.shape[4])
        self.plan = plan_of(images, batch.settings, order, size, self.device)
        self.geometry = self.plan.geometry
        self.canvas = self._resized()

    def draw(self) -> None:
        """Draw all modes of whole images; words are shared by the modes of a region."""
        words: dict[tuple[Region, bool], torch.Tensor] = {}
        blurred = None
        for k, spec in enumerate(self.settings.specs):
            if spec.crop:
                continue
            if spec.effect is Effect.BLUR and blurred is None:
                blurred = self._blurred()
            soft = self._is_soft(spec)
            key = (spec.region, spec.effect is Effect.OUTLINE)
            if not soft and key not in words:
                words[key] = pack_words(spec, self.images, self.plan, self.settings)
            if self.plan.resampled or self.plan.moves or has_own_colors(spec, self.batch):
                self._draw_apart(k, blurred, None if soft else words[key])
                continue
            planes = self._planes(k, spec, blurred, soft)
            if soft:
                self._blend(k, planes)
            else:
                self._select(k, planes, words[key])

    def _draw_apart(self, k: int, blurred: torch.Tensor | None, words: torch.Tensor | None) -> None:
        """Draw a mode whose candidates share no finished picture; without words, soft masks."""
        sizes = tuple(image.masks.stored_size for image in self.images)
        tables = surface_tables_of(self.plan.frames, sizes, self.device)
        if words is None:
            stacks = [stored(image.masks) for image in self.images]
            offsets = offsets_of(stacks, self.device)
            masks = Masks(SOFT, stacks[0], offsets=offsets, taps=self.plan.mask_taps)
        else:
            masks = Masks(BITS, words, self.geometry.canvas[1])
        tasks = self.plan.tasks
        if self.plan.moves:
            boxes = torch.cat([image.boxes for image in self.images])  # [T, 4]
            tasks = tasks_about(boxes, tasks, tables)
        candidates = sum(image.masks.count for image in self.images)
        surfaces = Surfaces(tables, self.canvas, blurred, self.batch)
        surfaces.draw(k, masks, tasks, candidates, self.out[k])

    def _is_soft(self, spec: ModeSpec) -> bool:
        """Whether a mode blends by the masks' weights, rather than selecting."""
        return self.soft and spec.region is Region.MASK and spec.effect is not Effect.OUTLINE

    def _resized(self) -> torch.Tensor:
        """Levels on the canvas, ``[B, 3, CH, CW]``: uint8, or fp32 of float images."""
        geometry, count = self.geometry, len(self.images)
        pictures = [image.image.detach().contiguous() for image in self.images]
        exact = pictures[0].dtype == torch.uint8
        levels = torch.uint8 if exact else torch.float32
        canvas = torch.empty(count, 3, *geometry.canvas, dtype=levels, device=self.device)
        if geometry.resize is None:
            for place, picture in enumerate(pictures):
                height, width = picture.shape[1:]
                canvas[place, :, :height, :width] = picture
            return canvas if exact else canvas.mul_(255.0)
        height = max(image.size[0] for image in self.images)
        columns = torch.empty(
            count, 3, height, geometry.canvas[1], dtype=levels, device=self.device
        )
        multiply_columns(
            pictures[0], geometry.resize[0], columns, exact, exact,
            factor=1.0 if exact else 255.0, offsets=offsets_of(pictures, self.device),
        )  # fmt: skip
        multiply_rows(columns, geometry.resize[1], canvas, exact, exact)
        return canvas

    def _blurred(self) -> torch.Tensor:
        """Blurred levels on the canvas, fp32 ``[B, 3, CH, CW]``."""
        return blur_levels(self.canvas, self.plan.blur)

    def _planes(
        self, k: int, spec: ModeSpec, blurred: torch.Tensor | None, soft: bool
    ) -> torch.Tensor:
        """Finished planes of mode ``k``, see ``planes_kernel``."""
        geometry, settings, options = self.geometry, self.settings, self.settings.options
        taps = geometry.tap_count
        count = 1 + taps if soft else 2 * taps
        dtype = torch.float32 if soft else settings.dtype
        planes = torch.empty(
            len(self.images), count, 3, geometry.area, dtype=dtype, device=self.device
        )
        red, green, blue = BT601 if options.luma == "bt601" else BT601[::-1]
        grid = (-(-geometry.area // PLANE_PIXELS), len(self.images), 1)
        launch(
            triton_planes.planes_kernel, grid,
            (self.canvas, self.canvas if blurred is None else blurred, geometry.taps,
             geometry.fractions, self._constants(spec), planes),
            (self.canvas.stride(0), self.canvas.stride(1), geometry.area, geometry.width,
             geometry.length, geometry.canvas[1]),
            (options.alpha, red, green, blue), EFFECT=EFFECTS[spec.effect],
            OUTSIDE=spec.outside, TAPS=taps, SOFT=soft,
            ROUND=settings.dtype == torch.uint8 and not soft, BLOCK=PLANE_PIXELS,
        )  # fmt: skip
        return planes

    def _constants(self, spec: ModeSpec) -> torch.Tensor:
        """fp32 ``[9]``: scale, shift and the mode's colour, of each channel."""
        affine = (*self.settings.scale, *self.settings.shift)
        color = self.batch.line_color if spec.effect is Effect.OUTLINE else self.batch.tint_color
        if color.device == self.device and self.device.type != "cpu":
            return torch.cat([numbers_on(affine, self.device), color[0]])
        return numbers_on((*affine, *color.tolist()[0]), self.device)

    def _select(self, k: int, planes: torch.Tensor, words: torch.Tensor) -> None:
        geometry, tasks = self.geometry, self.plan.tasks
        launch(
            triton_select.select_kernel, (-(-geometry.area // PIXELS), tasks.shape[0], 3),
            (planes, words, geometry.taps, tasks, self.out[k]),
            (geometry.area, geometry.width, geometry.length, geometry.canvas[1], words.shape[1]),
            TAPS=geometry.tap_count,
            BLOCK=PIXELS,
        )  # fmt: skip

    def _blend(self, k: int, planes: torch.Tensor) -> None:
        geometry, tasks, mask_taps = self.geometry, self.plan.tasks, self.plan.mask_taps
        masks = [stored(image.masks) for image in self.images]
        launch(
            triton_select.blend_kernel, (-(-geometry.area // BLEND_PIXELS), tasks.shape[0], 1),
            (planes, masks[0], offsets_of(masks, self.device), mask_taps.taps,
             mask_taps.fractions, self.plan.images, geometry.taps, tasks, self.out[k]),
            (geometry.area, geometry.width, geometry.length, geometry.canvas[1],
             mask_taps.length), TAPS=geometry.tap_count,
            ROUND=self.settings.dtype == torch.uint8, BLOCK=BLEND_PIXELS,
        )  # fmt: skip
