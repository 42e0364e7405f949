"""The Triton backend: the pictures of a whole batch in a handful of launches.

Per image two finished planes (four under a squash), per candidate and pixel one bit, packed along
candidates: the select kernel then does little but store. Drawing happens on the resized image;
what needs every candidate resampled on its own is left to the torch backend.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from fgvp_kernels.backends import triton_planes, triton_select
from fgvp_kernels.backends.torch_drawing import BT601
from fgvp_kernels.backends.triton_geometry import BLOCK_K, BLOCK_M, BLOCK_N, Products
from fgvp_kernels.backends.triton_masks import pack_words, stored
from fgvp_kernels.backends.triton_plan import PIXELS, plan_of
from fgvp_kernels.batch import Candidates, RenderBatch
from fgvp_kernels.device_tables import content_tables, offsets_of
from fgvp_kernels.frames import Order
from fgvp_kernels.modes import Effect, ModeSpec, Region

# Images whose planes are made before any of their pictures is written: what the L2 cache holds.
_IMAGES_AT_ONCE = 32
PLANE_PIXELS = BLEND_PIXELS = 512  # of kernels that would spill with more

EFFECTS = {
    Effect.NOTHING: triton_planes.NOTHING.value,
    Effect.OUTLINE: triton_planes.CONSTANT.value,
    Effect.FILL: triton_planes.CONSTANT.value,
    Effect.TINT: triton_planes.TINT.value,
    Effect.GREY: triton_planes.GREY.value,
    Effect.BLUR: triton_planes.BLUR.value,
}


def unsupported(batch: RenderBatch) -> str | None:
    """Return why this backend cannot draw ``batch``, or None if it can."""
    settings = batch.settings
    if any(spec.crop for spec in settings.specs):
        return "modes that crop resample every candidate on its own"
    if settings.order is Order.RENDER_FIRST and settings.size is not None:
        return "order='render_first' resamples every candidate on its own"
    if settings.options.fit == "object_crop" and settings.size is not None:
        return "fit='object_crop' gives every candidate a window of its own"
    if len(batch.line_color) > 1 or len(batch.tint_color) > 1:
        return "colours that differ between candidates"
    if settings.dtype == torch.float64 or any(
        image.image.dtype == torch.float64 for image in batch.images
    ):
        return "float64"
    return None


def render(batch: RenderBatch, out: torch.Tensor) -> None:
    """Draw every candidate of ``batch`` in every mode into ``out [K, ΣN, 3, h, w]``."""
    if torch.is_grad_enabled() and out.is_floating_point():
        from fgvp_kernels.backends import triton_gradients

        if triton_gradients.render_tracked(batch, out):
            return
    for drawing in drawings(batch, out):
        drawing.draw()


def drawings(batch: RenderBatch, out: torch.Tensor) -> Iterator[Drawing]:
    """Drawings of all images with candidates, a few images each; ``out`` as in :func:`render`."""
    # Kernels are compiled for the dtypes of an image and of its soft masks.
    alike: dict[object, list[Candidates]] = {}
    for image in batch.images:
        if image.masks.count > 0:
            soft = image.masks.kind if image.masks.soft else None
            alike.setdefault((image.image.dtype, soft), []).append(image)
    with torch.cuda.device_of(out):  # type: ignore[no-untyped-call]
        for images in alike.values():
            for start in range(0, len(images), _IMAGES_AT_ONCE):
                yield Drawing(images[start : start + _IMAGES_AT_ONCE], batch, out)


class Drawing:
    """Some images of a batch, of one dtype, all with binary or all with soft masks of one dtype."""

    def __init__(self, images: list[Candidates], batch: RenderBatch, out: torch.Tensor) -> None:
        self.images = images
        self.batch = batch
        self.settings = batch.settings
        self.out = out
        self.device = out.device
        self.soft = images[0].masks.soft
        self.plan = plan_of(images, batch.settings, (out.shape[3], out.shape[4]), self.device)
        self.geometry = self.plan.geometry
        self.canvas = self._resized()

    def draw(self) -> None:
        """Draw all modes; words are shared by the modes of a region."""
        words: dict[tuple[Region, bool], torch.Tensor] = {}
        blurred = None
        for k, spec in enumerate(self.settings.specs):
            if spec.effect is Effect.BLUR and blurred is None:
                blurred = self.blurred()
            soft = self.is_soft(spec)
            planes = self._planes(k, spec, blurred, soft)
            if soft:
                self._blend(k, planes)
                continue
            key = (spec.region, spec.effect is Effect.OUTLINE)
            if key not in words:
                words[key] = pack_words(spec, self.images, self.plan, self.settings)
            self._select(k, planes, words[key])

    def is_soft(self, spec: ModeSpec) -> bool:
        """Whether a mode blends by the masks' weights, rather than selecting."""
        return self.soft and spec.region is Region.MASK and spec.effect is not Effect.OUTLINE

    def _resized(self) -> torch.Tensor:
        """Levels on the canvas, ``[B, 3, CH, CW]``: uint8, or fp32 of float images."""
        geometry, count = self.geometry, len(self.images)
        pictures = [image.image.detach().contiguous() for image in self.images]
        exact = pictures[0].dtype == torch.uint8
        levels = torch.uint8 if exact else torch.float32
        canvas = torch.empty(count, 3, *geometry.canvas, dtype=levels, device=self.device)
        height = max(image.size[0] for image in self.images)
        columns = torch.empty(
            count, 3, height, geometry.canvas[1], dtype=levels, device=self.device
        )
        self.multiply_columns(
            "resize columns", pictures[0], geometry.columns, columns, exact, exact,
            factor=1.0 if exact else 255.0, offsets=offsets_of(pictures, self.device),
        )  # fmt: skip
        self.multiply_rows("resize rows", columns, geometry.rows, canvas, exact, exact)
        return canvas

    def blurred(self) -> torch.Tensor:
        """Blurred levels on the canvas, fp32 ``[B, 3, CH, CW]``."""
        blur = self.plan.blur
        if blur is None:
            return self.canvas.float()
        exact = self.canvas.dtype == torch.uint8
        columns = self.buffer(self.geometry.canvas[0], max(blur.collect_columns.outputs))
        self.multiply_columns(
            "blur columns", self.canvas, blur.collect_columns, columns, exact, False
        )
        rows = self.buffer(max(blur.collect_rows.outputs), columns.shape[3])
        self.multiply_rows("blur rows", columns, blur.collect_rows, rows, False, False)
        if blur.spread_rows is None or blur.spread_columns is None:
            return rows
        spread = self.buffer(self.geometry.canvas[0], columns.shape[3])
        self.multiply_rows("spread rows", rows, blur.spread_rows, spread, False, False)
        blurred = self.buffer(*self.geometry.canvas)
        self.multiply_columns("spread columns", spread, blur.spread_columns, blurred, False, False)
        return blurred

    def buffer(self, height: int, width: int) -> torch.Tensor:
        width = -(-width // 16) * 16
        return torch.empty(len(self.images), 3, height, width, device=self.device)

    def multiply_columns(
        self,
        name: str,
        x: torch.Tensor,
        products: Products,
        y: torch.Tensor,
        exact: bool,
        rounded: bool,
        factor: float = 1.0,
        offsets: torch.Tensor | None = None,
        wide: bool = False,
    ) -> None:
        """``y = factor · x · Aᵀ``; with ``offsets``, ``x`` is the first of several images."""
        apart = offsets is not None
        self.plan.launch(
            name, triton_planes.multiply_columns_kernel, (products.tiles, y.shape[1], y.shape[0]),
            x, offsets if apart else products.table, products.matrices, products.bands,
            products.table, y, *((0, 0, 0) if apart else x.stride()[:3]), *y.stride()[:3], factor,
            APART=apart, X_EXACT=exact, ROUND=rounded, WIDE=wide, BLOCK_M=BLOCK_M, BLOCK_N=BLOCK_N,
            BLOCK_K=BLOCK_K,
        )  # fmt: skip

    def multiply_rows(
        self,
        name: str,
        x: torch.Tensor,
        products: Products,
        y: torch.Tensor,
        exact: bool,
        rounded: bool,
        wide: bool = False,
    ) -> None:
        """``y = A · x``."""
        self.plan.launch(
            name, triton_planes.multiply_rows_kernel, (products.tiles, y.shape[1], y.shape[0]),
            x, products.matrices, products.bands, products.table, y, *x.stride()[:3],
            *y.stride()[:3], X_EXACT=exact, ROUND=rounded, WIDE=wide, BLOCK_M=BLOCK_M,
            BLOCK_N=BLOCK_N, BLOCK_K=BLOCK_K,
        )  # fmt: skip

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
        self.plan.launch(
            ("planes", k), triton_planes.planes_kernel, grid,
            self.canvas, self.canvas if blurred is None else blurred, geometry.taps,
            geometry.fractions, self.constants(spec), planes, self.canvas.stride(0),
            self.canvas.stride(1), geometry.area, geometry.width, geometry.length,
            geometry.canvas[1], options.alpha, red, green, blue, EFFECT=EFFECTS[spec.effect],
            OUTSIDE=spec.outside, TAPS=taps, SOFT=soft,
            ROUND=settings.dtype == torch.uint8 and not soft, BLOCK=PLANE_PIXELS,
        )  # fmt: skip
        return planes

    def constants(self, spec: ModeSpec) -> torch.Tensor:
        """fp32 ``[9]``: scale, shift and the mode's colour, of each channel."""
        affine = (*self.settings.scale, *self.settings.shift)
        color = self.batch.line_color if spec.effect is Effect.OUTLINE else self.batch.tint_color
        if color.device == self.device and self.device.type != "cpu":
            (known,) = content_tables([np.array(affine, np.float32)], self.device)
            return torch.cat([known, color[0]])
        (known,) = content_tables(
            [np.array([*affine, *color[0].tolist()], np.float32)], self.device
        )
        return known

    def _select(self, k: int, planes: torch.Tensor, words: torch.Tensor) -> None:
        geometry, tasks = self.geometry, self.plan.tasks
        self.plan.launch(
            ("select", k), triton_select.select_kernel,
            (-(-geometry.area // PIXELS), len(tasks), 3),
            planes, words, geometry.taps, tasks, self.out[k], geometry.area, geometry.width,
            geometry.length, geometry.canvas[1], words.shape[1], TAPS=geometry.tap_count,
            BLOCK=PIXELS,
        )  # fmt: skip

    def _blend(self, k: int, planes: torch.Tensor) -> None:
        geometry, tasks, mask_taps = self.geometry, self.plan.tasks, self.plan.mask_taps
        masks = [stored(image.masks) for image in self.images]
        self.plan.launch(
            ("blend", k), triton_select.blend_kernel,
            (-(-geometry.area // BLEND_PIXELS), len(tasks), 1),
            planes, masks[0], offsets_of(masks, self.device), mask_taps.taps, mask_taps.fractions,
            self.plan.images, geometry.taps, tasks, self.out[k], geometry.area, geometry.width,
            geometry.length, geometry.canvas[1], mask_taps.length, TAPS=geometry.tap_count,
            ROUND=self.settings.dtype == torch.uint8, BLOCK=BLEND_PIXELS,
        )  # fmt: skip
