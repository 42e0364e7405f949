"""The Triton backend: the pictures of a whole batch in a handful of launches.

Per image two finished planes (four under a squash), per candidate and pixel one bit, packed along
candidates: the select kernel then does little but store. What candidates do not share (the
resampling of ``render_first``, windows and colours of their own, crops) is drawn by
``triton_windows`` and ``triton_crops``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton

from fgvp_kernels.backends import triton_planes, triton_select
from fgvp_kernels.backends.torch_drawing import BT601
from fgvp_kernels.backends.triton_crops import draw_crops
from fgvp_kernels.backends.triton_geometry import (
    BLOCK_K,
    BLOCK_M,
    BLOCK_N,
    Products,
    make_blur,
    make_geometry,
)
from fgvp_kernels.backends.triton_masks import Words, addresses_of, pack_words, triton_dtype
from fgvp_kernels.backends.triton_windows import (
    BITS,
    EFFECTS,
    Masks,
    Surfaces,
    image_tasks,
    shares_pictures,
    soft_masks,
)
from fgvp_kernels.batch import Candidates, RenderBatch
from fgvp_kernels.frames import Order, Size, make_frame
from fgvp_kernels.mask_stacks import DenseMasks
from fgvp_kernels.modes import Effect, Mode, ModeSpec, Region

# Images whose planes are made before any of their pictures is written: what the L2 cache holds.
_IMAGES_AT_ONCE = 32
PIXELS = 1024  # of a program of the select kernel: 16 bytes of fp16 a thread
PLANE_PIXELS = BLEND_PIXELS = 512  # of kernels that would spill with more
_GROUP = 32  # candidates in a word


def unsupported(batch: RenderBatch) -> str | None:
    """Return why this backend cannot draw ``batch``, or None if it can."""
    settings = batch.settings
    if settings.dtype == torch.float64 or any(
        image.image.dtype == torch.float64 for image in batch.images
    ):
        return "float64"
    if any(image.image.requires_grad or _soft_grad(image) for image in batch.images):
        return "gradients"
    return None


def _soft_grad(image: Candidates) -> bool:
    return isinstance(image.masks, DenseMasks) and image.masks.masks.requires_grad


def render(batch: RenderBatch, out: torch.Tensor) -> None:
    """Draw every candidate of ``batch`` in every mode into ``out [K, ΣN, 3, h, w]``."""
    whole = any(not spec.crop for spec in batch.settings.specs)
    crops = any(spec.crop for spec in batch.settings.specs)
    soft = [image for image in batch.images if image.masks.soft]
    hard = [image for image in batch.images if not image.masks.soft]
    for images in (hard, soft):
        images = [image for image in images if image.masks.count > 0]
        for start in range(0, len(images), _IMAGES_AT_ONCE):
            some = images[start : start + _IMAGES_AT_ONCE]
            if whole:
                _Drawing(some, batch, out, batch.settings.order).draw()
            # Windows of bytes are rounded to whole levels when they are resized, others are not.
            for integer in (True, False) if crops else ():
                part = [image for image in some if (image.image.dtype == torch.uint8) == integer]
                if part:
                    _Drawing(part, batch, out, Order.RENDER_FIRST).draw_crops()


@dataclass(frozen=True, eq=False)
class _Tasks:
    """Up to 32 candidates of one image each: what a program of select or blend draws."""

    table: torch.Tensor  # int32 [T, 5], see triton_select.TASK_COLUMNS
    count: int


class _Drawing:
    """Some images of a batch, all with binary or all with soft masks."""

    def __init__(
        self, images: list[Candidates], batch: RenderBatch, out: torch.Tensor, order: Order
    ) -> None:
        self.images = images
        self.batch = batch
        self.settings = batch.settings
        self.out = out
        self.device = out.device
        self.soft = images[0].masks.soft
        size = (out.shape[3], out.shape[4])
        self.frames = tuple(
            make_frame(image.size, size, order, self.settings.options.fit) for image in images
        )
        self.geometry = make_geometry(self.frames, self.device)
        self.canvas = self._resized()

    def draw(self) -> None:
        """Draw all modes; words are shared by the modes of a region."""
        words: dict[tuple[Region, bool], Words] = {}
        blurred = None
        for k, spec in enumerate(self.settings.specs):
            if spec.crop:
                continue
            if spec.effect is Effect.BLUR and blurred is None:
                blurred = self._blurred(self.canvas, self.geometry.canvas_sizes)
            soft = self.soft and spec.region is Region.MASK and spec.effect is not Effect.OUTLINE
            key = (spec.region, spec.effect is Effect.OUTLINE)
            if not soft and key not in words:
                words[key] = pack_words(spec, self.images, self.geometry, self.settings, _GROUP)
            packed = None if soft else words[key]
            if not shares_pictures(spec, self.frames, self.batch):
                bits = None if packed is None else packed.words
                self._draw_apart(spec, blurred, bits, self.out[k])
                continue
            planes = self._planes(spec, blurred, soft)
            if packed is None:
                self._blend(planes, self.out[k])
            else:
                self._select(planes, packed, self.out[k])

    def _draw_apart(
        self,
        spec: ModeSpec,
        blurred: torch.Tensor | None,
        words: torch.Tensor | None,
        out: torch.Tensor,
    ) -> None:
        """Draw a mode whose candidates share no finished picture; soft masks without words."""
        if words is None:
            masks = self._soft_masks()
        else:
            masks = Masks(BITS, words, self.geometry.canvas[1])
        tasks = image_tasks(self.images, self.frames, words is None, self._per_task())
        Surfaces(self.frames, self.canvas, blurred, self.batch).draw(spec, masks, tasks, out)

    def _soft_masks(self) -> Masks:
        stacks = [image.masks for image in self.images]
        pairs = zip([stack.size for stack in stacks], self.geometry.canvas_sizes, strict=True)
        return soft_masks(stacks, range(len(stacks)), tuple(pairs), self.device)

    def draw_crops(self) -> None:
        """Draw all modes that crop, on windows of these canvases, which are the images."""
        words = None
        masked = any(spec.crop and spec.region is Region.MASK for spec in self.settings.specs)
        if (masked and not self.soft) or self.settings.options.fit == "object_crop":
            spec = Mode.MASK.spec
            words = pack_words(spec, self.images, self.geometry, self.settings, _GROUP).words
        draw_crops(self.images, self.canvas, words, self.batch, self.out, self._blurred)

    def _resized(self) -> torch.Tensor:
        """Levels on the canvas, ``[B, 3, CH, CW]``: uint8, or fp32 where an image is float."""
        geometry, count = self.geometry, len(self.images)
        levels = torch.uint8
        if any(image.image.dtype != torch.uint8 for image in self.images):
            levels = torch.float32
        canvas = torch.empty(count, 3, *geometry.canvas, dtype=levels, device=self.device)
        height = max(image.size[0] for image in self.images)
        columns = torch.empty(
            count, 3, height, geometry.canvas[1], dtype=levels, device=self.device
        )
        by_dtype: dict[torch.dtype, list[int]] = {}
        for i, image in enumerate(self.images):
            by_dtype.setdefault(image.image.dtype, []).append(i)
        if len(by_dtype) > 1:
            return self._resized_apart(by_dtype, canvas)
        pictures = [image.image.contiguous() for image in self.images]
        addresses = addresses_of(pictures, self.device)
        exact = levels == torch.uint8
        self._multiply_columns(
            addresses, geometry.columns, columns, exact, exact,
            factor=1.0 if exact else 255.0, dtype=pictures[0].dtype,
        )  # fmt: skip
        self._multiply_rows(columns, geometry.rows, canvas, exact, exact)
        return canvas

    def _resized_apart(
        self, by_dtype: dict[torch.dtype, list[int]], canvas: torch.Tensor
    ) -> torch.Tensor:
        """:meth:`_resized` of images of several dtypes, each dtype on its own."""
        for places in by_dtype.values():
            images = [self.images[i] for i in places]
            part = _Drawing(images, self.batch, self.out, self.frames[0].order)
            height, width = part.geometry.canvas
            canvas[places, :, :height, :width] = part.canvas.to(canvas.dtype)
        return canvas

    def _blurred(self, canvas: torch.Tensor, sizes: tuple[Size, ...]) -> torch.Tensor:
        """Blurred levels of canvases of the given (h, w), fp32 ``[V, 3, CH, CW]``."""
        options = self.settings.options
        if options.sigma == 0:
            return canvas.float()
        blur = make_blur(sizes, options.blur, options.sigma, self.device)
        exact = canvas.dtype == torch.uint8
        columns = _buffer(canvas, canvas.shape[2], max(blur.collect_columns.outputs))
        self._multiply_columns(canvas, blur.collect_columns, columns, exact, False)
        rows = _buffer(canvas, max(blur.collect_rows.outputs), columns.shape[3])
        self._multiply_rows(columns, blur.collect_rows, rows, False, False)
        if blur.spread_rows is None or blur.spread_columns is None:
            return rows
        spread = _buffer(canvas, canvas.shape[2], columns.shape[3])
        self._multiply_rows(rows, blur.spread_rows, spread, False, False)
        blurred = _buffer(canvas, *canvas.shape[2:])
        self._multiply_columns(spread, blur.spread_columns, blurred, False, False)
        return blurred

    def _multiply_columns(
        self,
        x: torch.Tensor,
        products: Products,
        y: torch.Tensor,
        exact: bool,
        rounded: bool,
        factor: float = 1.0,
        dtype: torch.dtype | None = None,
    ) -> None:
        """``y = x · Aᵀ``; ``x`` holds addresses of images of type ``dtype`` if that is given."""
        strides = (0, 0, 0) if dtype is not None else x.stride()[:3]
        triton_planes.multiply_columns_kernel[(products.tiles, 3, len(products.outputs))](
            x, products.matrices, products.bands, products.table, y, *strides, *y.stride()[:3],
            factor, ADDRESSES=dtype is not None, X_DTYPE=triton_dtype(dtype or x.dtype),
            X_EXACT=exact, ROUND=rounded, BLOCK_M=BLOCK_M, BLOCK_N=BLOCK_N, BLOCK_K=BLOCK_K,
        )  # fmt: skip

    def _multiply_rows(
        self, x: torch.Tensor, products: Products, y: torch.Tensor, exact: bool, rounded: bool
    ) -> None:
        """``y = A · x``."""
        triton_planes.multiply_rows_kernel[(products.tiles, 3, len(products.outputs))](
            x, products.matrices, products.bands, products.table, y, *x.stride()[:3],
            *y.stride()[:3], X_EXACT=exact, ROUND=rounded, BLOCK_M=BLOCK_M,
            BLOCK_N=BLOCK_N, BLOCK_K=BLOCK_K,
        )  # fmt: skip

    def _planes(self, spec: ModeSpec, blurred: torch.Tensor | None, soft: bool) -> torch.Tensor:
        """Finished planes of a mode, see ``planes_kernel``."""
        geometry, settings, options = self.geometry, self.settings, self.settings.options
        taps = geometry.tap_count
        count = 1 + taps if soft else 2 * taps
        dtype = torch.float32 if soft else settings.dtype
        planes = torch.empty(
            len(self.images), count, 3, geometry.area, dtype=dtype, device=self.device
        )
        line, tint = self.batch.line_color[0], self.batch.tint_color[0]
        color = line if spec.effect is Effect.OUTLINE else tint
        constants = torch.tensor([settings.scale, settings.shift, color.tolist()])
        red, green, blue = BT601 if options.luma == "bt601" else BT601[::-1]
        triton_planes.planes_kernel[(triton.cdiv(geometry.area, PLANE_PIXELS), len(self.images))](
            self.canvas, self.canvas if blurred is None else blurred, geometry.taps,
            geometry.fractions, constants.to(self.device), planes, self.canvas.stride(0),
            self.canvas.stride(1), geometry.area, geometry.width, geometry.length,
            geometry.canvas[1], options.alpha, red, green, blue, EFFECT=EFFECTS[spec.effect],
            OUTSIDE=spec.outside, TAPS=taps, SOFT=soft,
            ROUND=settings.dtype == torch.uint8 and not soft, BLOCK=PLANE_PIXELS,
        )  # fmt: skip
        return planes

    def _tasks(self, word_rows: list[int] | None, per_task: int) -> _Tasks:
        """Split every image's candidates into tasks of at most ``per_task``.

        ``word_rows`` are the first rows of the images' words; None for tasks that read soft masks.
        """
        rows: list[list[int]] = []
        for i, image in enumerate(self.images):
            for first in range(0, image.masks.count, per_task):
                number = min(per_task, image.masks.count - first)
                group = first if word_rows is None else word_rows[i] + first // _GROUP
                rows.append([i, image.first + first, group, first % _GROUP, number])
        table = torch.tensor(rows, dtype=torch.int32).to(self.device)
        return _Tasks(table, len(rows))

    def _per_task(self) -> int:
        """Candidates for a program: as many as leave three programs for each multiprocessor."""
        if self.device.type != "cuda":
            return _GROUP
        wanted = 3 * torch.cuda.get_device_properties(self.device).multi_processor_count
        tiles = 3 * triton.cdiv(self.geometry.area, PIXELS)
        for per_task in (32, 16, 8):
            if tiles * sum(-(-image.masks.count // per_task) for image in self.images) >= wanted:
                return per_task
        return 4

    def _select(self, planes: torch.Tensor, words: Words, out: torch.Tensor) -> None:
        geometry = self.geometry
        tasks = self._tasks(words.first_rows, self._per_task())
        triton_select.select_kernel[(triton.cdiv(geometry.area, PIXELS), tasks.count, 3)](
            planes, words.words, geometry.taps, tasks.table, out, geometry.area, geometry.width,
            geometry.length, geometry.canvas[1], words.words.stride(0), TAPS=geometry.tap_count,
            BLOCK=PIXELS,
        )  # fmt: skip

    def _blend(self, planes: torch.Tensor, out: torch.Tensor) -> None:
        geometry = self.geometry
        masks = self._soft_masks()
        assert masks.taps is not None
        pairs = zip(self.geometry.canvas_sizes, masks.sizes, strict=True)
        sizes = torch.tensor([[*canvas, *size] for canvas, size in pairs], dtype=torch.int32)
        tasks = self._tasks(None, self._per_task())
        triton_select.blend_kernel[(triton.cdiv(geometry.area, BLEND_PIXELS), tasks.count)](
            planes, masks.data, masks.taps.taps, masks.taps.fractions,
            sizes.to(self.device), geometry.taps, tasks.table, out, geometry.area, geometry.width,
            geometry.length, geometry.canvas[1], masks.taps.length,
            MASK_DTYPE=triton_dtype(masks.dtype), TAPS=geometry.tap_count,
            ROUND=self.settings.dtype == torch.uint8, BLOCK=BLEND_PIXELS,
        )  # fmt: skip


def _buffer(canvases: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """fp32 for as many images as ``canvases`` has."""
    width = -(-width // 16) * 16
    return torch.empty(len(canvases), 3, height, width, device=canvases.device)
