"""``torch.ops.fgvp.render``: a whole call as one operator, for ``torch.compile`` and autograd.

Compilers see through Python no further than tensors of known shape, so what depends on values (the
checks, boxes of masks, chunks) happens inside the operator. Run plainly, ``render_batch`` does
without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch

from fgvp_kernels.backends import draw, select_backend
from fgvp_kernels.batch import RenderBatch, Settings
from fgvp_kernels.colors import ColorLike, resolve_color
from fgvp_kernels.frames import Order
from fgvp_kernels.inputs import check_modes, to_candidates
from fgvp_kernels.modes import Mode
from fgvp_kernels.options import RenderOptions
from fgvp_kernels.torch_backend.rendering import render as render_in_torch

_Result = TypeVar("_Result")


@torch.library.custom_op("fgvp::render", mutates_args=())
def render(
    images: Sequence[torch.Tensor],
    masks: Sequence[torch.Tensor],
    boxes: Sequence[torch.Tensor],
    line_color: torch.Tensor | None,
    tint_color: torch.Tensor | None,
    modes: str,
    size: Sequence[int],
    order: str,
    drawing: str,
    sigma: float,
    alpha: float,
    integers: Sequence[int],
    scale: Sequence[float],
    shift: Sequence[float],
    dtype: torch.dtype,
    backend: str,
) -> torch.Tensor:
    """Render a batch of dense masks.

    Args:
        images: B images ``[3, H, W]``, uint8 or float in [0, 1].
        masks: B stacks ``[N, H, W]``, bool, uint8 or float in [0, 1]; or none at all, where boxes
            are enough.
        boxes: B times ``[N, 4]`` xyxy, or none at all for tight boxes.
        line_color, tint_color: ``[ΣN, 3]`` levels, or None where ``drawing`` names the colour.
        modes: Canonical names of K modes, joined by ``,``.
        size: (h, w) of the pictures.
        order: ``"resize_first"`` or ``"render_first"``.
        drawing: blur, luma, fit, line colour and tint colour of the options, joined by ``|``; a
            triple of levels is written ``r,g,b``.
        sigma, alpha: As in the options.
        integers: line_width and seed of the options, the seed modulo 2⁶⁴.
        scale, shift: Per channel, ``picture = scale · level + shift``.
        dtype: Of the pictures.
        backend: ``"auto"`` or a backend's name.

    Returns:
        ``[K, ΣN, 3, h, w]``.
    """
    with torch.no_grad():
        batch = _batch(
            images, masks, boxes, line_color, tint_color, modes, size, order, drawing, sigma,
            alpha, integers, scale, shift, dtype,
        )  # fmt: skip
        out = torch.empty(batch.shape, dtype=dtype, device=images[0].device)
        draw(select_backend(backend, batch), batch, out)
    return out


@render.register_fake
def _(images: Any, masks: Any, boxes: Any, line: Any, tint: Any, modes: str, size: Any,
      order: Any, drawing: Any, sigma: Any, alpha: Any, integers: Any, scale: Any, shift: Any,
      dtype: torch.dtype, backend: Any) -> torch.Tensor:  # fmt: skip
    count = sum(rows.shape[0] for rows in masks or boxes)
    shape = (len(modes.split(",")), count, 3, size[0], size[1])
    return torch.empty(shape, dtype=dtype, device=images[0].device)


@torch.library.custom_op("fgvp::render_backward", mutates_args=())
def render_backward(
    gradient: torch.Tensor,
    images: Sequence[torch.Tensor],
    masks: Sequence[torch.Tensor],
    boxes: Sequence[torch.Tensor],
    line_color: torch.Tensor | None,
    tint_color: torch.Tensor | None,
    modes: str,
    size: Sequence[int],
    order: str,
    drawing: str,
    sigma: float,
    alpha: float,
    integers: Sequence[int],
    scale: Sequence[float],
    shift: Sequence[float],
    dtype: torch.dtype,
) -> list[torch.Tensor]:
    """Gradients of ``render`` with respect to its images and masks.

    The pictures are drawn again in torch, for autograd to follow, whatever drew them before.

    Args:
        gradient: ``[K, ΣN, 3, h, w]``; the others are those of ``render``.

    Returns:
        B gradients of the images, then B of the masks; of no elements where an input is not
        floating point.
    """
    inputs = (*images, *masks)
    leaves = [tensor.detach().requires_grad_(tensor.is_floating_point()) for tensor in inputs]

    def walk_back() -> list[torch.Tensor]:
        batch = _batch(
            leaves[: len(images)], leaves[len(images) :], boxes, line_color, tint_color, modes,
            size, order, drawing, sigma, alpha, integers, scale, shift, dtype,
        )  # fmt: skip
        out = torch.empty(batch.shape, dtype=dtype, device=images[0].device)
        render_in_torch(batch, out)
        wanted = [leaf for leaf in leaves if leaf.requires_grad]
        found = iter(torch.autograd.grad(out, wanted, gradient, materialize_grads=True))
        return [next(found) if leaf.requires_grad else _no_gradient(leaf) for leaf in leaves]

    return _where_autograd_works(walk_back, images[0].device)


def _where_autograd_works(call: Callable[[], _Result], device: torch.device) -> _Result:
    """Run ``call`` in a thread of its own: within an operator's body autograd is switched off."""
    stream = torch.cuda.current_stream(device) if device.type == "cuda" else None

    def run() -> _Result:
        with torch.cuda.stream(stream), torch.enable_grad():
            return call()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


@render_backward.register_fake
def _(gradient: Any, images: Any, masks: Any, *settings: Any) -> list[torch.Tensor]:
    return [
        torch.empty_like(tensor) if tensor.is_floating_point() else _no_gradient(tensor)
        for tensor in (*images, *masks)
    ]


def _no_gradient(tensor: torch.Tensor) -> torch.Tensor:
    return torch.empty(0, device=tensor.device)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    images, masks, boxes, line_color, tint_color, *settings = inputs
    ctx.counts = (len(images), len(masks), len(boxes))
    ctx.save_for_backward(*images, *masks, *boxes, line_color, tint_color)
    ctx.settings = settings[:-1]  # the backend is torch's


def _backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
    *tensors, line_color, tint_color = ctx.saved_tensors
    first, second, third = ctx.counts
    images, masks = tensors[:first], tensors[first : first + second]
    boxes = tensors[first + second :]
    gradients = torch.ops.fgvp.render_backward(
        gradient, images, masks, boxes, line_color, tint_color, *ctx.settings
    )
    wanted = [
        found if tensor.is_floating_point() else None
        for found, tensor in zip(gradients, (*images, *masks), strict=True)
    ]
    # Boxes, colours, settings and backend have none.
    nothing = [None] * (len(ctx.settings) + 3)
    return (wanted[:first], wanted[first:], [None] * third, *nothing)


render.register_autograd(_backward, setup_context=_setup_context)


def _batch(
    images: Sequence[torch.Tensor],
    masks: Sequence[torch.Tensor],
    boxes: Sequence[torch.Tensor],
    line_color: torch.Tensor | None,
    tint_color: torch.Tensor | None,
    modes: str,
    size: Sequence[int],
    order: str,
    drawing: str,
    sigma: float,
    alpha: float,
    integers: Sequence[int],
    scale: Sequence[float],
    shift: Sequence[float],
    dtype: torch.dtype,
) -> RenderBatch:
    """Rebuild what ``render_batch`` would have made; the checks of values are made here."""
    blur, luma, fit, line, tint = drawing.split("|")
    options = RenderOptions(
        sigma=sigma,
        blur=blur,  # type: ignore[arg-type]
        line_color=_color(line, line_color),
        line_width=integers[0],
        tint_color=_color(tint, tint_color),
        alpha=alpha,
        luma=luma,  # type: ignore[arg-type]
        fit=fit,  # type: ignore[arg-type]
        seed=integers[1] % 2**64,
    )
    nothing = [None] * len(images)
    candidates = to_candidates(images, masks or nothing, boxes or nothing, batched=True)
    drawn = [Mode(name) for name in modes.split(",")]
    check_modes(drawn, candidates)
    settings = Settings(
        specs=tuple(mode.spec for mode in drawn),
        size=(size[0], size[1]),
        order=Order(order),
        options=options,
        scale=(scale[0], scale[1], scale[2]),
        shift=(shift[0], shift[1], shift[2]),
        dtype=dtype,
    )
    count = sum(image.masks.count for image in candidates)
    return RenderBatch(
        images=candidates,
        settings=settings,
        line_color=resolve_color("line_color", options.line_color, count, options.seed),
        tint_color=resolve_color("tint_color", options.tint_color, count, options.seed),
    )


def _color(text: str, rows: torch.Tensor | None) -> ColorLike:
    if rows is not None:
        return rows
    return tuple(map(int, text.split(","))) if "," in text else text


def _signed(seed: int) -> int:
    """The seed as an operator takes numbers, of 64 bits with a sign."""
    return seed - 2**64 if seed >= 2**63 else seed


def traced_render(
    images: list[Any],
    masks: list[Any],
    boxes: list[Any],
    modes: Sequence[Mode],
    size: tuple[int, int],
    order: Order,
    options: RenderOptions,
    affine: tuple[tuple[float, float, float], tuple[float, float, float]],
    dtype: torch.dtype,
    backend: str,
) -> torch.Tensor:
    """Call the operator from code that is being compiled; images and masks are tensors."""
    colors = (options.line_color, options.tint_color)
    rows = [color if isinstance(color, torch.Tensor) else None for color in colors]
    names = [
        color if isinstance(color, str)
        else "" if isinstance(color, torch.Tensor)
        else ",".join([str(level) for level in color])
        for color in colors
    ]  # fmt: skip
    result: torch.Tensor = torch.ops.fgvp.render(
        images, masks, boxes, rows[0], rows[1], ",".join([mode.value for mode in modes]),
        list(size), order.value, "|".join([options.blur, options.luma, options.fit, *names]),
        options.sigma, options.alpha, [options.line_width, _signed(options.seed)],
        list(affine[0]), list(affine[1]), dtype, backend,
    )  # fmt: skip
    return result
