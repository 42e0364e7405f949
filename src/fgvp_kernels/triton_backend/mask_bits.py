"""Words of every mask form: which kernel packs which masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from fgvp_kernels.batch import Candidates, Settings
from fgvp_kernels.device_tables import content_tables, offsets_of
from fgvp_kernels.ellipses import MOST_SIDES, NOWHERE, half_width, unit_corners
from fgvp_kernels.mask_stacks import DenseMasks, LogitMasks, MaskStack, PackedMaskStack, RleMasks
from fgvp_kernels.modes import Effect, ModeSpec, Region
from fgvp_kernels.regions import KEYPOINT_RADIUS, slanted_reach
from fgvp_kernels.triton_backend.kernels import contours as triton_contours
from fgvp_kernels.triton_backend.kernels import mask_bits as triton_words
from fgvp_kernels.triton_backend.kernels import regions as triton_regions
from fgvp_kernels.triton_backend.launches import launch
from fgvp_kernels.triton_backend.plan import GROUP, Part, Plan

PIXELS = 256  # of a program


def pack_words(
    spec: ModeSpec, images: Sequence[Candidates], plan: Plan, settings: Settings
) -> torch.Tensor:
    """Pack the region of ``spec`` for every candidate.

    Args:
        spec: The mode.
        images: The images of a batch.
        plan: Theirs.
        settings: Of the call.

    Returns:
        int32 ``[rows, CH·CW]``: bits of all candidates on the canvas, up to 32 candidates of one
        image in a row, see ``Plan.groups``.
    """
    height, width = plan.geometry.canvas
    rows = plan.groups.shape[0]
    words = torch.empty(rows, height * width, dtype=torch.int32, device=plan.device)
    if spec.region is Region.NOTHING:
        return words.zero_()
    if spec.region is not Region.MASK:
        _pack_shapes(images, plan, words, spec, settings)
        return words
    for part in plan.parts:
        stacks = [images[place].masks for place in part.places]
        if isinstance(stacks[0], RleMasks):
            _pack_runs(part, images, plan, words)
        elif isinstance(stacks[0], LogitMasks):
            _pack_logits(part, stacks, len(images), plan, words)
        else:
            _pack_dense(part, stacks, len(images), plan, words)
    if spec.effect is Effect.OUTLINE:
        return _outline(words, plan, settings.options.line_width)
    return words


def _grid(words: torch.Tensor, groups: torch.Tensor) -> tuple[int, int, int]:
    return (-(-words.shape[1] // PIXELS), groups.shape[0], 1)


def _offsets(tensors: list[torch.Tensor], part: Part, batch: int) -> torch.Tensor:
    """int64 ``[B]``: where the tensors of a part begin, from the first one's beginning."""
    spread = [tensors[0]] * batch
    for place, tensor in zip(part.places, tensors, strict=True):
        spread[place] = tensor
    return offsets_of(spread, tensors[0].device)


def stored(stack: MaskStack) -> torch.Tensor:
    """The masks as kernels read them: contiguous, with bool as bytes."""
    if isinstance(stack, PackedMaskStack):
        return stack.bits.contiguous()
    if isinstance(stack, LogitMasks):
        return stack.logits.contiguous()
    assert isinstance(stack, DenseMasks)
    masks = stack.masks.detach().contiguous()
    return masks.view(torch.uint8) if masks.dtype == torch.bool else masks


def _pack_dense(
    part: Part, stacks: list[MaskStack], batch: int, plan: Plan, words: torch.Tensor
) -> None:
    masks = [stored(stack) for stack in stacks]
    taps = plan.mask_taps
    launch(
        triton_words.pack_dense_kernel, _grid(words, part.groups),
        (masks[0], _offsets(masks, part, batch), taps.taps, plan.images, part.groups, words),
        (taps.length, plan.geometry.canvas[1], words.shape[1]),
        PACKED=isinstance(stacks[0], PackedMaskStack), BLOCK=PIXELS,
    )  # fmt: skip


def _pack_runs(part: Part, images: Sequence[Candidates], plan: Plan, words: torch.Tensor) -> None:
    starts, ends = [0], []
    for place, image in enumerate(images):
        stack = image.masks
        runs = stack.runs if isinstance(stack, RleMasks) and place in part.places else ()
        ends += [np.cumsum(_without_empty_runs(run)) for run in runs]
        counts = [len(end) for end in ends[len(ends) - len(runs) :]]
        starts += (starts[-1] + np.cumsum(counts or [0] * image.masks.count)).tolist()
    tables = [np.concatenate(ends).astype(np.int32), np.array(starts, np.int32)]
    taps = plan.mask_taps
    steps = max(len(end) for end in ends).bit_length()
    launch(
        triton_words.pack_runs_kernel, _grid(words, part.groups),
        (*content_tables(tables, plan.device), taps.taps, plan.images, part.groups, words),
        (taps.length, plan.geometry.canvas[1], words.shape[1], steps), BLOCK=PIXELS,
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


def _pack_logits(
    part: Part, stacks: list[MaskStack], batch: int, plan: Plan, words: torch.Tensor
) -> None:
    logits = [stored(stack) for stack in stacks]
    taps, weights = part.logit_taps
    launch(
        triton_words.pack_logits_kernel, _grid(words, part.groups),
        (logits[0], _offsets(logits, part, batch), taps, weights, plan.images, part.groups, words),
        (taps.shape[3], plan.geometry.canvas[1], words.shape[1]), VARIANTS=taps.shape[2],
        BLOCK=PIXELS,
    )  # fmt: skip


_SHAPES = {
    Region.BOX: triton_regions.BOX.value,
    Region.CIRCLE: triton_regions.ELLIPSE.value,
    Region.POINT: triton_regions.POINT.value,
}


def _pack_shapes(
    images: Sequence[Candidates],
    plan: Plan,
    words: torch.Tensor,
    spec: ModeSpec,
    settings: Settings,
) -> None:
    boxes = [image.boxes.contiguous() for image in images]  # [N, 4] each
    geometry, width = plan.geometry, settings.options.line_width
    rows, pitch = geometry.canvas
    outline = spec.effect is Effect.OUTLINE
    candidates = sum(image.masks.count for image in images)
    runs = words.new_full((candidates, 4, rows), NOWHERE)
    side = min(geometry.width, geometry.area // geometry.width)
    launch(
        triton_regions.shape_runs_kernel, (len(plan.groups), GROUP, 1),
        (boxes[0] if len(boxes) == 1 else torch.cat(boxes), plan.scales, plan.images, plan.groups,
         *content_tables([unit_corners()], plan.device), runs),
        (rows, half_width(width, geometry.canvas) if outline else 0),
        (int(KEYPOINT_RADIUS * side),),
        SHAPE=_SHAPES[spec.region], OUTLINE=outline, THIN=outline and width == 1,
        SIDES=MOST_SIDES, BLOCK=128,
        enable_fp_fusion=False,  # coordinates are cut to whole pixels: they must round as in torch
    )  # fmt: skip
    launch(
        triton_regions.pack_shapes_kernel, _grid(words, plan.groups),
        (runs, plan.images, plan.groups, words), (rows, pitch, words.shape[1]),
        OUTLINE=outline, BLOCK=PIXELS,
    )  # fmt: skip


def _outline(words: torch.Tensor, plan: Plan, width: int) -> torch.Tensor:
    """Words of the outlines of what ``words`` holds."""
    half = half_width(width, plan.geometry.canvas)
    edges, lines = words.new_empty(3, *words.shape), torch.empty_like(words)
    integers = (plan.geometry.canvas[1], words.shape[1])
    grid = _grid(words, plan.owners)
    launch(
        triton_contours.boundary_kernel, grid, (words, plan.images, plan.owners, edges), integers,
        BLOCK=PIXELS,
    )  # fmt: skip
    launch(
        triton_contours.widen_kernel, grid, (edges, plan.images, plan.owners, lines),
        (*integers, half, slanted_reach(half)), BLOCK=PIXELS,
    )  # fmt: skip
    return lines
