"""The public call: check the arguments, choose a backend, draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from numbers import Integral
from typing import Any

import torch

from fgvp_kernels.backends import draw, select_backend
from fgvp_kernels.batch import STATISTICS, RenderBatch, Settings, normalization
from fgvp_kernels.colors import resolve_color
from fgvp_kernels.frames import Order, Size
from fgvp_kernels.inputs import check_modes, split_images, split_per_image, to_candidates
from fgvp_kernels.mask_inputs import stack_masks
from fgvp_kernels.modes import Mode
from fgvp_kernels.ops import traced_render
from fgvp_kernels.options import RenderOptions
from fgvp_kernels.outputs import allocate, check_apart, check_out
from fgvp_kernels.value_checks import FLOATS, nearest, shown

_DTYPES = (torch.uint8, *FLOATS)
_LONGEST_SIDE = 2**16  # of pictures

_DEFAULT_OPTIONS = RenderOptions()


def render_batch(
    images: Any,
    masks: Any,
    mode: str | Mode | Sequence[str | Mode] = "blur_reverse_mask",
    *,
    boxes: Any = None,
    size: int | tuple[int, int] | None = None,
    order: str = "resize_first",
    options: RenderOptions = _DEFAULT_OPTIONS,
    normalize: str | tuple[Sequence[float], Sequence[float]] | None = None,
    dtype: torch.dtype | None = None,
    device: str | torch.device | None = None,
    backend: str = "auto",
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Render every candidate of every image as a visual prompt.

    A picture is ``R(a · inside + (1 - a) · outside)``: the mode says which two pictures ``inside``
    and ``outside`` are and what region ``a`` is, ``R`` brings the drawing to ``size``.

    Args:
        images: One image or a batch. An image is a tensor ``[3, H, W]`` or an array ``[H, W, 3]``
            (RGB), uint8 or floating point in [0, 1], or a PIL image; a batch is a sequence of
            images, whose sizes may differ, or a tensor ``[B, 3, H, W]``.
        masks: Of one image: ``[N, H, W]`` bool, uint8 (0 and 1, or 0 and 255) or float in [0, 1]
            (soft), or one mask ``[H, W]``, as a tensor or array; a list of masks ``[H, W]`` of one
            dtype, of COCO RLE dicts, or of dicts that hold either as ``"segmentation"`` (what
            ``SamAutomaticMaskGenerator`` gives; their other entries are not read);
            ``PackedMasks``; ``MaskLogits``. So ``[3, H, W]`` is three masks of one image.
            Of a batch: a sequence with one of those per image (N may differ), or a tensor
            ``[B, N, H, W]``. So a list of B masks ``[H, W]`` is one mask for each image, while a
            tensor ``[B, H, W]``, which could be meant otherwise, is refused.
            None, for all or in place of one image's masks: boxes alone say what is drawn, which
            is enough for every mode but those that draw the mask.
        mode: One mode, or a sequence of K modes that share the resized image and its blur. A
            mode is a name, a paper code (``"D4"``) or ``"official:NAME"``, a flag of the released
            FGVP code, in any case. Beware: ``"official:blur_mask"`` blurs outside,
            ``"blur_mask"`` inside.
        boxes: Per image ``[N, 4]``, or one box ``[4]``: x0, y0, x1, y1 in pixels; the masks' tight
            boxes without it. Boxes that all lie in [0, 1] and are not whole numbers are taken for
            normalised ones, and refused.
        size: Side of the square pictures, or (h, w), up to 65 536; None keeps the size of the
            images, which must then all be equal. An image or crop whose long side, with the short
            one at ``size``, would make 2³¹ pixels or more is refused. Of an image or crop over 8
            times as long as what is shown of it and of more than 2²⁰ pixels then, only what is
            shown is drawn; its blur is that of the enlargement before it is rounded to whole
            levels.
        order: ``"resize_first"`` draws on the image resized to short side ``size`` (the released
            FGVP code), ``"render_first"`` on the original image (ReCLIP).
        options: How things are drawn; see :class:`RenderOptions`.
        normalize: None for plain values; ``"clip"``, ``"imagenet"`` or ``"siglip"`` for the mean
            and standard deviation of OpenAI's CLIP, of ImageNet, or 0.5 and 0.5; or a pair of
            three each, (mean, std), for values in [0, 1].
        dtype: uint8, float16, bfloat16, float32 or float64. None: uint8 without ``normalize``,
            else float16 on a GPU and float32 on a CPU.
        device: Where to render; None: where the images are.
        backend: ``"auto"`` or a name of :func:`available_backends`, which then runs or raises; only
            ``"torch"`` has gradients, and ``"auto"`` takes it for them.
        out: Tensor to write into, of exactly the result's shape, dtype and device, contiguous,
            and apart from the memory of images, masks, boxes and colours.

    Returns:
        Contiguous ``[ΣN, 3, h, w]``, candidates of image 0 first; ``[K, ΣN, 3, h, w]`` for a
        sequence of modes. Floating point values lie in [0, 1] without ``normalize``.

    Raises:
        TypeError, ValueError: An argument has the wrong type or value; the message names it.
            Float images and masks must lie in [0, 1], which NaN does not (images by 0.001 more,
            for what float arithmetic leaves), and run lengths must add up to H·W.
        RuntimeError: ``backend`` cannot run here, or a CUDA graph's capture met something new.

    CUDA graphs: the Triton backend can be captured by ``torch.cuda.graph``. Put images and masks in
    tensors that stay where they are, call once as usual (this fills the tables that a capture can
    only read), then capture the same call; before a replay, copy new images and masks into those
    tensors. COCO RLE, NumPy arrays, PIL images and random colours come from the host: a replay
    draws what they were. Values of float and uint8 arguments are looked at in every call except
    while capturing; bool masks, ``PackedMasks``, RLE and ``MaskLogits`` need no look, and the host
    does not wait for the device. Modes that crop are the exception: the host must know the boxes,
    waits for them, and no graph captures such a call, unless masks are RLE and no boxes are given.

    Example:
        >>> import torch
        >>> image = torch.zeros(3, 48, 64, dtype=torch.uint8)
        >>> masks = torch.zeros(5, 48, 64, dtype=torch.bool)
        >>> render_batch(image, masks, "blur_reverse_mask", size=32, normalize="clip").shape
        torch.Size([5, 3, 32, 32])
    """
    many_modes = not isinstance(mode, str) and isinstance(mode, Sequence)
    modes = [Mode.parse(name) for name in (mode if many_modes else [mode])]  # type: ignore[arg-type]
    if not modes:
        raise ValueError("mode must name at least one mode, got an empty sequence")
    if not isinstance(options, RenderOptions):
        raise TypeError(f"options must be RenderOptions, got {type(options).__name__}")
    place = None if device is None else _check_device(device)
    if torch.compiler.is_compiling():
        pictures = _render_traced(
            images, masks, boxes, modes, size, _check_order(order), options, normalize, dtype,
            place, backend,
        )  # fmt: skip
        pictures = pictures if many_modes else pictures[0]
        if out is None:
            return pictures
        check_out(out, tuple(pictures.shape), pictures.dtype, pictures.device)
        return out.copy_(pictures)
    parts, batched = split_images(images)
    mask_parts = split_per_image(masks, len(parts), batched, "masks")
    box_parts = split_per_image(boxes, len(parts), batched, "boxes")
    candidates = to_candidates(parts, mask_parts, box_parts, batched, place)
    check_modes(modes, candidates)
    target = candidates[0].image.device
    dtype = _output_dtype(dtype, normalize, target)
    scale, shift = normalization(_check_normalize(normalize, dtype), dtype)
    settings = Settings(
        specs=tuple(mode.spec for mode in modes),
        size=_check_size(size, [image.size for image in candidates]),
        order=_check_order(order),
        options=options,
        scale=scale,
        shift=shift,
        dtype=dtype,
    )
    count = sum(image.masks.count for image in candidates)
    batch = RenderBatch(
        images=candidates,
        settings=settings,
        line_color=resolve_color("line_color", options.line_color, count, options.seed),
        tint_color=resolve_color("tint_color", options.tint_color, count, options.seed),
    )
    renderer = select_backend(backend, batch)
    shape = batch.shape if many_modes else batch.shape[1:]
    if out is None:
        out = allocate(shape, dtype, target)
    else:
        check_out(out, shape, dtype, target)
        check_apart(out, batch)
    draw(renderer, batch, out if many_modes else out[None])
    return out


def _render_traced(
    images: Any,
    masks: Any,
    boxes: Any,
    modes: Sequence[Mode],
    size: int | tuple[int, int] | None,
    order: Order,
    options: RenderOptions,
    normalize: Any,
    dtype: torch.dtype | None,
    device: torch.device | None,
    backend: str,
) -> torch.Tensor:
    """The call as one operator, ``[K, ΣN, 3, h, w]``, for code that is being compiled."""
    parts, batched = split_images(images)
    mask_parts = [] if masks is None else split_per_image(masks, len(parts), batched, "masks")
    box_parts = [] if boxes is None else split_per_image(boxes, len(parts), batched, "boxes")
    mask_parts = [
        stack_masks(part, "masks") if isinstance(part, (list, tuple)) and _are_tensors(part)
        else part
        for part in mask_parts
    ]  # fmt: skip
    for name, values in (("images", parts), ("masks", mask_parts), ("boxes", box_parts)):
        if not _are_tensors(values):
            raise TypeError(f"{name} must be tensors within torch.compile")
    mask_parts = [part[None] if part.ndim == 2 else part for part in mask_parts]  # [N, H, W] each
    box_parts = [part[None] if part.ndim == 1 else part for part in box_parts]  # [N, 4] each
    if device is not None:
        parts = [part.to(device) for part in parts]
    dtype = _output_dtype(dtype, normalize, parts[0].device)
    affine = normalization(_check_normalize(normalize, dtype), dtype)
    image_sizes = [(part.shape[1], part.shape[2]) for part in parts]
    pictures = _check_size(size, image_sizes) or image_sizes[0]
    return traced_render(
        parts, mask_parts, box_parts, modes, pictures, order, options, affine, dtype, backend
    )


def _are_tensors(values: Sequence[object]) -> bool:
    return all(isinstance(value, torch.Tensor) for value in values)


def _check_device(device: object) -> torch.device:
    try:
        asked: torch.device = torch.device(device)  # type: ignore[call-overload]
    except (RuntimeError, TypeError, ValueError):
        raise ValueError(f"device must be one that torch knows, got {shown(device)}") from None
    place = None
    if asked.type != "meta":
        with suppress(Exception):  # each kind of device that this torch lacks raises its own
            place = torch.empty(0, device=asked).device
    if place is None or asked.index not in (None, place.index or 0):
        raise ValueError(f"device must be one that can compute here, got {shown(device)}")
    return place


def _check_order(order: object) -> Order:
    try:
        return Order(order)
    except ValueError:
        choices = ", ".join(item.value for item in Order)
        raise ValueError(f"order must be one of {choices}, got {shown(order)}") from None


def _check_size(size: object, image_sizes: Sequence[Size]) -> Size | None:
    if size is None:
        if any(other != image_sizes[0] for other in image_sizes):
            raise ValueError(
                f"size=None needs images of equal size, got {sorted(set(image_sizes))}; give a size"
            )
        return None
    sides = size if isinstance(size, (tuple, list)) else (size, size)
    if len(sides) != 2 or not all(
        isinstance(side, Integral) and not isinstance(side, bool) for side in sides
    ):
        raise TypeError(f"size must be None, an int or (height, width), got {shown(size)}")
    if not 1 <= min(sides) <= max(sides) <= _LONGEST_SIDE:
        raise ValueError(f"size must be between 1 and {_LONGEST_SIDE}, got {shown(size)}")
    return (int(sides[0]), int(sides[1]))


def _output_dtype(dtype: object, normalize: object, device: torch.device) -> torch.dtype:
    if dtype is None:
        if normalize is None:
            return torch.uint8
        return torch.float32 if device.type == "cpu" else torch.float16
    if not isinstance(dtype, torch.dtype):
        raise TypeError(f"dtype must be a torch.dtype, got {type(dtype).__name__}")
    if dtype not in _DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(map(str, _DTYPES))}; got {dtype}")
    return dtype


def _check_normalize(
    normalize: object, dtype: torch.dtype
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    if normalize is None:
        return None
    if dtype == torch.uint8:
        raise ValueError("dtype must be floating point with normalize, got torch.uint8")
    choices = f"None, {', '.join(map(repr, STATISTICS))}"
    if isinstance(normalize, str):
        if normalize not in STATISTICS:
            raise ValueError(
                f"normalize must be {choices} or (mean, std), "
                f"got {shown(normalize)}{nearest(normalize, STATISTICS)}"
            )
        return STATISTICS[normalize]
    try:
        mean, std = (tuple(float(value) for value in part) for part in normalize)  # type: ignore[attr-defined]
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise TypeError(
            f"normalize must be {choices} or a pair (mean, std) of three numbers each, "
            f"got {shown(normalize)}"
        ) from None
    if len(mean) != 3 or len(std) != 3:
        raise ValueError(f"normalize must have three means and three stds, got {shown(normalize)}")
    if not all(0 < value < math.inf for value in std) or not all(map(math.isfinite, mean)):
        raise ValueError(
            f"normalize must have finite means and positive stds, got {shown(normalize)}"
        )
    return mean, std
