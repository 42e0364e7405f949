"""Gradients of the Triton backend: pictures back to float images and soft masks.

The planes are drawn again, the pictures' gradients gathered on the canvas, and from there every
linear step is walked back by the product with its transposed matrix: blur, resize, and the
bilinear resize of soft masks. All sums have a fixed order: equal inputs give equal gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from fgvp_kernels.backends import triton_backward
from fgvp_kernels.backends.torch_drawing import BT601
from fgvp_kernels.backends.triton_drawing import Drawing, drawings
from fgvp_kernels.backends.triton_launches import launch
from fgvp_kernels.backends.triton_masks import pack_words, stored
from fgvp_kernels.backends.triton_products import Products, multiply_columns, multiply_rows
from fgvp_kernels.backends.triton_transposes import transposes_of
from fgvp_kernels.backends.triton_windows import EFFECTS
from fgvp_kernels.batch import RenderBatch
from fgvp_kernels.device_tables import offsets_of
from fgvp_kernels.modes import Effect, ModeSpec, Region

PIXELS = 128  # of a program: with more, soft masks of squashed pictures would spill


def render_tracked(batch: RenderBatch, out: torch.Tensor) -> bool:
    """Draw as ``triton_backend.render`` does, for autograd to follow; False if it need not."""
    leaves = [leaf for leaf in batch.inputs if leaf is not None and leaf.requires_grad]
    if leaves:
        _Render.apply(batch, out, *leaves)
    return bool(leaves)


class _Render(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, batch: RenderBatch, out: torch.Tensor, *leaves: torch.Tensor
    ) -> torch.Tensor:
        for drawing in drawings(batch, batch.settings.order, out):
            drawing.draw()
        ctx.batch = batch
        ctx.wanted = [leaf is not None and leaf.requires_grad for leaf in batch.inputs]
        ctx.save_for_backward(*leaves)
        ctx.mark_dirty(out)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        _ = ctx.saved_tensors  # raises where one was changed since
        found = gradients(ctx.batch, gradient, ctx.wanted)
        wanted = [part for part, asked in zip(found, ctx.wanted, strict=True) if asked]
        return (None, None, *wanted)


def gradients(
    batch: RenderBatch, gradient: torch.Tensor, wanted: Sequence[bool]
) -> list[torch.Tensor | None]:
    """Gradients with respect to the images and masks of ``batch``.

    Args:
        batch: What was drawn.
        gradient: ``[K, ΣN, 3, h, w]``, of the pictures.
        wanted: For each image, then for each image's masks, whether its gradient is.

    Returns:
        As many, each of the shape and dtype of its image or masks; None where it is not wanted.
    """
    inputs, count = batch.inputs, len(batch.images)
    found = [
        torch.zeros_like(tensor, memory_format=torch.contiguous_format)
        if asked and tensor is not None
        else None
        for tensor, asked in zip(inputs, wanted, strict=True)
    ]
    places = {image.first: i for i, image in enumerate(batch.images) if image.masks.count > 0}
    for drawing in drawings(batch, batch.settings.order, gradient.contiguous()):
        at = [places[image.first] for image in drawing.images]
        walk = _WalkBack(drawing, any(wanted[i] for i in at), any(wanted[count + i] for i in at))
        walk.gather()
        for j, i in enumerate(at):
            for part, target in ((walk.d_images, found[i]), (walk.d_masks, found[count + i])):
                if target is not None and part is not None:
                    target.copy_(part[j])
    return found


class _WalkBack:
    """The gradients of some images' drawing.

    Attributes:
        d_images: fp32 ``[3, H, W]`` of each image, or None where they are not wanted.
        d_masks: fp32 ``[N, H, W]`` of each image, or None where they are not wanted.
    """

    def __init__(self, drawing: Drawing, images: bool, masks: bool) -> None:
        self.drawing = drawing
        self.plan = drawing.plan
        self.tables = transposes_of(drawing.plan)
        height, width = drawing.geometry.canvas
        shape = (len(drawing.images), 3, height, width)
        count = sum(image.masks.count for image in drawing.images)

        def zeros(*shape: int) -> torch.Tensor:
            return torch.zeros(shape, dtype=torch.float32, device=drawing.device)

        self.d_canvas = zeros(*shape) if images else None
        self.d_blurred = zeros(*shape) if images and self.plan.blur else None
        self.d_covers = zeros(count, 1, height, width) if masks else None
        self.d_images: list[torch.Tensor] | None = None
        self.d_masks: list[torch.Tensor] | None = None

    def gather(self) -> None:
        """Go through the modes, then through what they share."""
        words: dict[tuple[Region, bool], torch.Tensor] = {}
        blurred = None
        drawing = self.drawing
        for k, spec in enumerate(drawing.settings.specs):
            soft = drawing.is_soft(spec)
            if self.d_canvas is None and not soft:
                continue
            if spec.effect is Effect.BLUR and blurred is None:
                blurred = drawing.blurred()
            key = (spec.region, spec.effect is Effect.OUTLINE)
            if not soft and key not in words:
                words[key] = pack_words(spec, drawing.images, self.plan, drawing.settings)
            self._gather(k, spec, blurred, None if soft else words[key])
        if self.d_canvas is not None:
            self.d_images = self._images(self.d_canvas)
        if self.d_covers is not None:
            self.d_masks = self._masks(self.d_covers)

    def _gather(
        self, k: int, spec: ModeSpec, blurred: torch.Tensor | None, words: torch.Tensor | None
    ) -> None:
        """Add the gradients of mode ``k``; without words its masks are soft."""
        drawing, tables, geometry = self.drawing, self.tables, self.drawing.geometry
        canvas, options = drawing.canvas, drawing.settings.options
        unused = tables.spans
        masks, offsets = [unused], unused
        if words is None:
            masks = [stored(image.masks) for image in drawing.images]
            offsets = offsets_of(masks, drawing.device)
        effect = spec.effect
        if effect is Effect.BLUR and self.plan.blur is None:
            effect = Effect.NOTHING
        area = geometry.canvas[0] * geometry.canvas[1]
        taps = self.plan.mask_taps
        d_masks = words is None and self.d_covers is not None
        launch(
            triton_backward.gather_kernel, (-(-area // PIXELS), len(drawing.images), 1),
            (drawing.out[k], drawing.constants(spec), tables.shown, tables.shares, self.plan.images,
             tables.spans, unused if words is None else words, masks[0], offsets, taps.taps,
             taps.fractions, canvas, canvas if blurred is None else blurred,
             unused if self.d_canvas is None else self.d_canvas,
             unused if self.d_blurred is None else self.d_blurred,
             unused if self.d_covers is None else self.d_covers),
            (geometry.area, geometry.width, tables.shown.shape[2], geometry.canvas[1], taps.length,
             area),
            (options.alpha, *(BT601 if options.luma == "bt601" else BT601[::-1])),
            EFFECT=EFFECTS[effect], OUTSIDE=spec.outside, TAPS=geometry.tap_count,
            SOFT=words is None, D_IMAGES=self.d_canvas is not None, D_MASKS=d_masks, BLOCK=PIXELS,
        )  # fmt: skip

    def _images(self, d_canvas: torch.Tensor) -> list[torch.Tensor]:
        if self.d_blurred is not None:
            d_canvas += self._walk(self.d_blurred, self.tables.blur)
        whole = self._walk(d_canvas, self.tables.resize, factor=255.0)
        sizes = [image.size for image in self.drawing.images]
        return [whole[i, :, :h, :w] for i, (h, w) in enumerate(sizes)]

    def _masks(self, d_covers: torch.Tensor) -> list[torch.Tensor]:
        whole = self._walk(d_covers, self.tables.masks)
        parts, start = [], 0
        for image in self.drawing.images:
            (height, width), count = image.size, image.masks.count
            parts.append(whole[start : start + count, 0, :height, :width])
            start += count
        return parts

    def _walk(
        self, x: torch.Tensor, steps: Sequence[tuple[str, Products]], factor: float = 1.0
    ) -> torch.Tensor:
        """Multiply ``x [B, C, y, x]`` by ``factor`` and transposed matrices, as ``steps`` say."""
        if not steps:
            return x * factor
        for axis, products in steps:
            longest = max(products.outputs)
            shape = (x.shape[2], longest) if axis == "columns" else (longest, x.shape[3])
            y = x.new_empty(*x.shape[:2], shape[0], -(-shape[1] // 16) * 16)
            if axis == "columns":
                multiply_columns(x, products, y, False, False, factor=factor, wide=True)
                factor = 1.0
            else:
                multiply_rows(x, products, y, False, False, wide=True)
            x = y
        return x
