"""How a visual prompt is drawn: one frozen record, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal, get_args

from fgvp_kernels.colors import ColorLike, check_color

Blur = Literal["gaussian", "pil"]
Luma = Literal["bt601", "bgr"]
Fit = Literal["squash", "center_crop", "pad", "object_crop"]


@dataclass(frozen=True)
class RenderOptions:
    """Options of :func:`fgvp_kernels.render_batch`.

    Attributes:
        sigma: Standard deviation of the blur, in pixels of the frame in which drawing happens
            (the resized image for ``order="resize_first"``, the original one for
            ``"render_first"``); 0 to 100 000, where 0 leaves the picture as it is.
        blur: ``"gaussian"``, the true Gaussian, or ``"pil"``, Pillow's three extended box passes
            of the same ``sigma`` (what the released code draws). Both replicate the border.
        line_color: Colour of outlines: a name, an RGB triple 0-255, ``"random"`` (drawn from
            ``seed``, one per candidate), or a ``[N, 3]`` tensor, one per candidate of the call.
        line_width: Width of outlines as OpenCV counts it, in pixels of the drawing frame, >= 1.
        tint_color: Colour of tints and fills; the same forms as ``line_color``.
        alpha: Weight of the tint colour, 0 to 1.
        luma: Grey as BT.601 weighs it (``"bt601"``), or with the weights of red and blue swapped
            (``"bgr"``), as the released code does by mistake.
        fit: How the drawn frame becomes ``size``: ``"squash"`` stretches it, ``"center_crop"``
            and ``"object_crop"`` cut a window about the centre or the candidate's box, ``"pad"``
            fits the whole picture and leaves zeros at the right or bottom.
        seed: Seed of random colours, below 2⁶⁴.
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
        _check_choice("blur", self.blur, get_args(Blur))
        _check_choice("luma", self.luma, get_args(Luma))
        _check_choice("fit", self.fit, get_args(Fit))
        _check_number("sigma", self.sigma, 0.0, 100_000.0)
        _check_number("alpha", self.alpha, 0.0, 1.0)
        _check_integer("line_width", self.line_width, 1)
        _check_integer("seed", self.seed, 0)
        if self.seed >= 2**64:
            raise ValueError(f"seed must be below 2**64, got {self.seed}")
        check_color("line_color", self.line_color)
        check_color("tint_color", self.tint_color)

    @classmethod
    def official(cls, **changes: Any) -> RenderOptions:
        """What the released FGVP code draws, its slip in the grey weights included."""
        return cls(**{"blur": "pil", "luma": "bgr", **changes})


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def _check_number(name: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    if not low <= float(value) <= high:
        raise ValueError(f"{name} must be between {low:g} and {high:g}, got {value!r}")


def _check_integer(name: str, value: object, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an int, got {type(value).__name__}")
    if value < low:
        raise ValueError(f"{name} must be >= {low}, got {value}")
