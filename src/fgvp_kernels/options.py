"""How a visual prompt is drawn: one frozen record, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal, get_args

import numpy as np
import torch

from fgvp_kernels.colors import ColorLike, to_color
from fgvp_kernels.value_checks import shown

Blur = Literal["gaussian", "pil"]
Luma = Literal["bt601", "bgr"]
Fit = Literal["squash", "center_crop", "pad", "object_crop"]


@dataclass(frozen=True)
class RenderOptions:
    """Options of :func:`fgvp_kernels.render_batch`.

    Numbers may also be NumPy's, or arrays and tensors without axes; they are kept as ``float`` and
    ``int`` of Python. What is no number, or out of range, is refused here.

    Attributes:
        sigma: Standard deviation of the blur, in pixels of the frame in which drawing happens
            (the resized image for ``order="resize_first"``, the original one for
            ``"render_first"``); 0 to 100 000, where 0 leaves the picture as it is.
        blur: ``"gaussian"``, the true Gaussian, or ``"pil"``, Pillow's three extended box passes
            of the same ``sigma`` (what the released code draws). Both replicate the border.
        line_color: Colour of outlines: a name, ``"#ff8800"``, an RGB triple of ints 0-255,
            ``"random"`` (drawn from ``seed``, one per candidate), or a ``[ΣN, 3]`` tensor of
            levels, one per candidate of the call. Names are those of the released FGVP code (red,
            cpt_red, green, blue, purple, yellow, cyan, black, white, grey) and CSS's; where both
            have one, the former's colour is meant: green is (0, 255, 0), grey, or gray,
            (124, 116, 104). A colour that is not of the former is kept as a triple.
        line_width: Width of outlines as OpenCV counts it, in pixels of the drawing frame; 1 to
            100 000.
        tint_color: Colour of tints and fills; the same forms as ``line_color``.
        alpha: Weight of the tint colour, 0 to 1.
        luma: Grey as BT.601 weighs it (``"bt601"``), or with the weights of red and blue swapped
            (``"bgr"``), as the released code does by mistake.
        fit: How the drawn frame becomes ``size``: ``"squash"`` stretches it, ``"center_crop"``
            and ``"object_crop"`` cut a window about the centre or the candidate's box (which is
            the whole of a crop), ``"pad"`` fits the whole picture and leaves zeros at the right or
            bottom.
        seed: Seed of random colours, 0 to 2⁶⁴ - 1.

    Raises:
        TypeError, ValueError: An option has the wrong type or value; the message names it.
    """

    sigma: float = 100.0
    blur: Blur = "gaussian"
    line_color: ColorLike = "red"
    line_width: int = 2
    tint_color: ColorLike = "green"
    alpha: float = 0.5
    luma: Luma = "bt601"
    fit: Fit = "squash"
    seed: int = 0

    def __post_init__(self) -> None:
        plain = {
            "sigma": _number("sigma", self.sigma, 0.0, 100_000.0),
            "blur": _choice("blur", self.blur, get_args(Blur)),
            "line_color": to_color("line_color", self.line_color),
            "line_width": _integer("line_width", self.line_width, 1, 100_000),
            "tint_color": to_color("tint_color", self.tint_color),
            "alpha": _number("alpha", self.alpha, 0.0, 1.0),
            "luma": _choice("luma", self.luma, get_args(Luma)),
            "fit": _choice("fit", self.fit, get_args(Fit)),
            "seed": _integer("seed", self.seed, 0, 2**64 - 1),
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)

    @classmethod
    def official(cls, **changes: Any) -> RenderOptions:
        """What the released FGVP code draws, its slip in the grey weights included."""
        return cls(**{"blur": "pil", "luma": "bgr", **changes})


def _choice(name: str, value: object, choices: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {shown(value)}")
    return str(value)


def _number(name: str, value: object, low: float, high: float) -> float:
    value = _without_axes(value)
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    # Compared as it is, since not every number is a float; false of NaN as well.
    if not low <= value <= high:  # type: ignore[operator]
        raise ValueError(f"{name} must be between {low:g} and {high:g}, got {shown(value)}")
    return float(value)


def _integer(name: str, value: object, low: int, high: int) -> int:
    value = _without_axes(value)
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an int, got {type(value).__name__}")
    number = int(value)
    if not low <= number <= high:
        raise ValueError(f"{name} must be between {low} and {high}, got {shown(number)}")
    return number


def _without_axes(value: object) -> object:
    """The number in an array or tensor without axes; anything else as it is."""
    if isinstance(value, (np.ndarray, torch.Tensor)) and value.ndim == 0:
        is_meta = isinstance(value, torch.Tensor) and value.is_meta
        return value if is_meta else value.item()
    return value
