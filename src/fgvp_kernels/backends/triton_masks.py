"""Words of every mask form: which kernel packs which masks, and with which tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import triton

from fgvp_kernels.backends import triton_words
from fgvp_kernels.backends.triton_geometry import Geometry, make_logit_taps, make_mask_taps
from fgvp_kernels.batch import Candidates, Settings
from fgvp_kernels.mask_stacks import DenseMasks, LogitMasks, PackedMaskStack, RleMasks
from fgvp_kernels.modes import Effect, ModeSpec, Region
from fgvp_kernels.regions import region_shapes

PIXELS = 256  # of a program


def addresses_of(tensors: Sequence[torch.Tensor], device: torch.device) -> torch.Tensor:
    """int64 ``[B]``: where the tensors begin, for kernels that read images of any size."""
    return torch.tensor([tensor.data_ptr() for tensor in tensors]).to(device)


def triton_dtype(dtype: torch.dtype) -> triton.language.dtype:
    """Triton's name of a dtype that masks and images come in; bytes are uint8."""
    names = {torch.float16: "float16", torch.bfloat16: "bfloat16", torch.float32: "float32"}
    return getattr(triton.language, names.get(dtype, "uint8"))


@dataclass(frozen=True, eq=False)
class Words:
    """Bits of all candidates on the canvas.

    Attributes:
        words: int32 ``[rows, CH·CW]``, up to 32 candidates of one image in a row.
        first_rows: First row of each image.
        images: int32 ``[rows]``, image of each row.
    """

    words: torch.Tensor
    first_rows: list[int]
    images: torch.Tensor


@dataclass(frozen=True, eq=False)
class _Part:
    """The images of a batch whose masks have one form."""

    images: list[Candidates]
    places: list[int]  # their indices in the batch
    groups: torch.Tensor  # int32 [G, 3]: image, first mask, count
    rows: torch.Tensor  # int32 [G], row of the words


def pack_words(
    spec: ModeSpec,
    images: Sequence[Candidates],
    geometry: Geometry,
    settings: Settings,
    group: int,
) -> Words:
    """Pack the region of ``spec`` for every candidate.

    Args:
        spec: The mode.
        images: The images of a batch.
        geometry: Their geometry.
        settings: Of the call.
        group: Candidates in a word, at most 32.
    """
    first_rows: list[int] = []
    owners: list[int] = []
    for i, image in enumerate(images):
        first_rows.append(len(owners))
        owners += [i] * -(-image.masks.count // group)
    device = images[0].image.device
    words = Words(
        torch.empty(
            len(owners), geometry.canvas[0] * geometry.canvas[1], dtype=torch.int32, device=device
        ),
        first_rows,
        torch.tensor(owners, dtype=torch.int32).to(device),
    )
    if spec.region is Region.NOTHING:
        words.words.zero_()
    elif spec.region is Region.MASK:
        for form in (DenseMasks, PackedMaskStack, RleMasks, LogitMasks):
            for at in ("canvas", "image"):
                places = [
                    i
                    for i, image in enumerate(images)
                    if isinstance(image.masks, form) and _threshold(image) == at
                ]
                if places:
                    part = _part(images, places, first_rows, group)
                    _PACKERS[form](part, geometry, words)
        if spec.effect is Effect.OUTLINE:
            return _outline(words, geometry, settings.options.line_width)
    else:
        part = _part(images, list(range(len(images))), first_rows, group)
        _pack_shapes(part, geometry, words, spec, settings)
    return words


def _threshold(image: Candidates) -> str:
    return image.masks.form.at if isinstance(image.masks, LogitMasks) else "canvas"


def _part(
    images: Sequence[Candidates], places: list[int], first_rows: list[int], group: int
) -> _Part:
    groups, rows = [], []
    for index, place in enumerate(places):
        count = images[place].masks.count
        for number, first in enumerate(range(0, count, group)):
            groups.append([index, first, min(group, count - first)])
            rows.append(first_rows[place] + number)
    device = images[0].image.device
    return _Part(
        [images[place] for place in places],
        places,
        torch.tensor(groups, dtype=torch.int32).to(device),
        torch.tensor(rows, dtype=torch.int32).to(device),
    )


def _grid(part: _Part, geometry: Geometry) -> tuple[int, int]:
    return (triton.cdiv(geometry.canvas[0] * geometry.canvas[1], PIXELS), len(part.rows))


def _sizes(part: _Part, geometry: Geometry, more: list[tuple[int, int]]) -> torch.Tensor:
    """int32 ``[B, 4]``: height and width of the canvas, and two numbers more."""
    canvases = [geometry.canvas_sizes[place] for place in part.places]
    table = [[*canvas, *extra] for canvas, extra in zip(canvases, more, strict=True)]
    return torch.tensor(table, dtype=torch.int32).to(part.rows.device)


def _taps(part: _Part, geometry: Geometry) -> tuple[torch.Tensor, int]:
    pairs = tuple(
        (image.size, geometry.canvas_sizes[place])
        for image, place in zip(part.images, part.places, strict=True)
    )
    taps = make_mask_taps(pairs, part.rows.device)
    return taps.taps, taps.length


def _pack_bytes(part: _Part, geometry: Geometry, words: Words) -> None:
    packed = isinstance(part.images[0].masks, PackedMaskStack)
    masks = []
    for image in part.images:
        stack = image.masks
        if isinstance(stack, PackedMaskStack):
            masks.append(stack.bits.contiguous())
        elif isinstance(stack, DenseMasks):
            dense = stack.masks != 0 if stack.soft else stack.masks
            masks.append(dense.contiguous().view(torch.uint8))
    taps, length = _taps(part, geometry)
    sizes = _sizes(part, geometry, [(mask.shape[1], mask.shape[2]) for mask in masks])
    addresses = addresses_of(masks, part.rows.device)
    triton_words.pack_dense_kernel[_grid(part, geometry)](
        addresses, taps, sizes, part.groups, part.rows, words.words, length, geometry.canvas[1],
        words.words.stride(0), PACKED=packed, BLOCK=PIXELS,
    )  # fmt: skip


def _pack_runs(part: _Part, geometry: Geometry, words: Words) -> None:
    runs = [
        _without_empty_runs(run)
        for image in part.images
        if isinstance(image.masks, RleMasks)
        for run in image.masks.runs
    ]
    lengths = [len(run) for run in runs]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    ends = np.concatenate([np.cumsum(run) for run in runs]).astype(np.int32)
    counts = [image.masks.count for image in part.images]
    bases = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int32)
    taps, length = _taps(part, geometry)
    device = part.rows.device
    triton_words.pack_runs_kernel[_grid(part, geometry)](
        torch.from_numpy(ends).to(device), torch.from_numpy(offsets).to(device),
        torch.from_numpy(bases).to(device), taps,
        _sizes(part, geometry, [image.size for image in part.images]), part.groups, part.rows,
        words.words, length, geometry.canvas[1], words.words.stride(0),
        max(lengths).bit_length(), BLOCK=PIXELS,
    )  # fmt: skip


def _without_empty_runs(runs: np.ndarray) -> np.ndarray:
    """The same mask with no run of length 0 but the first, which the kernel relies on."""
    if runs[1:].all():
        return runs
    kept = [int(runs[0])]
    for index, run in enumerate(runs[1:].tolist(), start=1):
        if run == 0:
            continue
        if (index - (len(kept) - 1)) % 2 == 0:
            kept[-1] += run  # an empty run lay between: both belong together
        else:
            kept.append(run)
    return np.array(kept, np.int64)


def _pack_logits(part: _Part, geometry: Geometry, words: Words) -> None:
    stacks = [image.masks for image in part.images]
    forms = [stack.form for stack in stacks if isinstance(stack, LogitMasks)]
    logits = [form.logits.to(part.rows.device).contiguous() for form in forms]
    if len({maps.dtype for maps in logits}) > 1:
        logits = [maps.float() for maps in logits]
    length = max(geometry.canvas)
    tables = []
    for axis in (0, 1):
        pairs = []
        for form, maps, place in zip(forms, logits, part.places, strict=True):
            canvas = geometry.canvas_sizes[place][axis]
            sizes = (canvas,) if form.at == "canvas" else (form.image_size[axis], canvas)
            side = max(form.input_size)
            pairs.append((maps.shape[1 + axis], side, form.input_size[axis], sizes))
        tables.append(make_logit_taps(tuple(pairs), length, part.rows.device))
    taps, weights = (torch.stack(table, 1).contiguous() for table in zip(*tables, strict=True))
    table = _sizes(part, geometry, [(maps.shape[1], maps.shape[2]) for maps in logits])
    addresses = addresses_of(logits, part.rows.device)
    triton_words.pack_logits_kernel[_grid(part, geometry)](
        addresses, taps, weights, table, part.groups, part.rows, words.words, length,
        geometry.canvas[1], words.words.stride(0),
        LOGIT_DTYPE=triton_dtype(logits[0].dtype),
        VARIANTS=1 if forms[0].at == "canvas" else 2, BLOCK=PIXELS,
    )  # fmt: skip


def _pack_shapes(
    part: _Part, geometry: Geometry, words: Words, spec: ModeSpec, settings: Settings
) -> None:
    options, side = settings.options, min(geometry.width, geometry.area // geometry.width)
    shapes = []
    for image, canvas in zip(part.images, geometry.canvas_sizes, strict=True):
        y, x = (length / whole for length, whole in zip(canvas, image.size, strict=True))
        boxes = image.boxes * image.boxes.new_tensor([x, y, x, y])  # [N, 4]
        shape = region_shapes(spec, boxes, image.has_box, canvas, options.line_width, side)
        shapes.append(torch.cat([shape.outer, shape.inner], 1))  # [N, 8]
    starts = np.cumsum([0, *(len(shape) for shape in shapes)])[:-1].tolist()
    triton_words.pack_shapes_kernel[_grid(part, geometry)](
        torch.cat(shapes), _sizes(part, geometry, [(start, 0) for start in starts]), part.groups,
        part.rows, words.words, geometry.canvas[1], words.words.stride(0),
        ELLIPSE=spec.region is not Region.BOX, BLOCK=PIXELS,
    )  # fmt: skip


def _outline(words: Words, geometry: Geometry, width: int) -> Words:
    """Words of the outlines of what ``words`` holds."""
    sizes = torch.tensor([[*size, 0, 0] for size in geometry.canvas_sizes], dtype=torch.int32)
    sizes = sizes.to(words.images.device)
    grid = (triton.cdiv(words.words.shape[1], PIXELS), len(words.images))
    common = (geometry.canvas[1], words.words.stride(0))
    edge, line = torch.empty_like(words.words), torch.empty_like(words.words)
    triton_words.boundary_kernel[grid](
        words.words, sizes, words.images, edge, *common, BLOCK=PIXELS
    )
    triton_words.widen_kernel[grid](
        edge, sizes, words.images, line, *common, width // 2, BLOCK=PIXELS
    )
    return Words(line, words.first_rows, words.images)


_PACKERS = {
    DenseMasks: _pack_bytes,
    PackedMaskStack: _pack_bytes,
    RleMasks: _pack_runs,
    LogitMasks: _pack_logits,
}
