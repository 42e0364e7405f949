"""The closed set of visual prompts: a mode is a region and what is done inside or outside it.

Names follow the paper *Fine-Grained Visual Prompting* (NeurIPS 2023). The released FGVP code uses
some of the same words for other pictures: its flag ``blur_mask`` blurs **outside** the mask, which
the paper and this package call ``blur_reverse_mask``. Write ``official:blur_mask`` to mean the
flag; plain ``blur_mask`` blurs inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from fgvp_kernels.value_checks import nearest, shown


class Region(Enum):
    """Which pixels of the picture a mode marks."""

    NOTHING = "nothing"
    MASK = "mask"
    BOX = "box"
    CIRCLE = "circle"  # the ellipse inscribed in the box
    POINT = "point"  # a ring about the centre of the box


class Effect(Enum):
    """What a mode does to the pixels it changes."""

    NOTHING = "nothing"
    OUTLINE = "outline"
    TINT = "tint"
    FILL = "fill"  # a tint with alpha 1
    GREY = "grey"
    BLUR = "blur"


# Effects whose picture depends on a colour.
COLORED = frozenset({Effect.OUTLINE, Effect.TINT, Effect.FILL})


@dataclass(frozen=True)
class ModeSpec:
    """What a mode draws.

    Attributes:
        region: The pixels called *inside*.
        effect: The change of colour.
        outside: The effect acts outside the region instead of inside it.
        crop: The picture is the candidate's box instead of the whole image.
        code: The paper's code, or None.
        official: The flag of the released FGVP code, or None.
    """

    region: Region
    effect: Effect
    outside: bool = False
    crop: bool = False
    code: str | None = None
    official: str | None = None


class Mode(str, Enum):
    """Every visual prompt this package draws; ``mode.spec`` says what it is made of."""

    NONE = "none"
    KEYPOINT = "keypoint"
    CONTOUR = "contour"
    BOX = "box"
    CIRCLE = "circle"
    MASK = "mask"
    BOX_MASK = "box_mask"
    CIRCLE_MASK = "circle_mask"
    GRAYSCALE_REVERSE_MASK = "grayscale_reverse_mask"
    GRAYSCALE_REVERSE_BOX_MASK = "grayscale_reverse_box_mask"
    GRAYSCALE_REVERSE_CIRCLE_MASK = "grayscale_reverse_circle_mask"
    BLUR_REVERSE_MASK = "blur_reverse_mask"
    BLUR_REVERSE_BOX_MASK = "blur_reverse_box_mask"
    BLUR_REVERSE_CIRCLE_MASK = "blur_reverse_circle_mask"
    REVERSE_MASK = "reverse_mask"
    REVERSE_BOX_MASK = "reverse_box_mask"
    REVERSE_CIRCLE_MASK = "reverse_circle_mask"
    BLUR_MASK = "blur_mask"
    BLUR_BOX_MASK = "blur_box_mask"
    BLUR_CIRCLE_MASK = "blur_circle_mask"
    GRAYSCALE_MASK = "grayscale_mask"
    GRAYSCALE_BOX_MASK = "grayscale_box_mask"
    GRAYSCALE_CIRCLE_MASK = "grayscale_circle_mask"
    CROP = "crop"
    CROP_TINT = "crop_tint"
    CROP_MASK_TINT = "crop_mask_tint"
    CROP_MASK = "crop_mask"
    CROP_BLUR_REVERSE_MASK = "crop_blur_reverse_mask"

    @property
    def spec(self) -> ModeSpec:
        """Region, effect and side of this mode."""
        return _SPECS[self]

    @classmethod
    def parse(cls, name: str | Mode) -> Mode:
        """Return the mode that ``name`` stands for.

        Args:
            name: A ``Mode``, one of this package's names (``"blur_reverse_mask"``), a code of the
                paper (``"D4"``), or a flag of the released code (``"official:blur_mask"``); in any
                case.

        Raises:
            TypeError: ``name`` is no string.
            ValueError: No mode has that name; the message has those most like it.
        """
        if isinstance(name, cls):
            return name
        if not isinstance(name, str):
            raise TypeError(f"mode must be a string or a Mode, got {type(name).__name__}")
        word = name.lower()
        try:
            return _ALIASES[word]
        except KeyError:
            raise ValueError(
                "mode must be one of Mode's names, a paper code (A, B1 to D4, P) or official:FLAG "
                f"with a flag of the released code, see docs/modes.md; "
                f"got {shown(name)}{nearest(word, _ALIASES)}"
            ) from None


_SPECS: dict[Mode, ModeSpec] = {
    Mode.NONE: ModeSpec(Region.NOTHING, Effect.NOTHING),
    Mode.KEYPOINT: ModeSpec(Region.POINT, Effect.OUTLINE, code="A", official="keypoint"),
    Mode.CONTOUR: ModeSpec(Region.MASK, Effect.OUTLINE, code="D1", official="contour"),
    Mode.BOX: ModeSpec(Region.BOX, Effect.OUTLINE, code="B1", official="box"),
    Mode.CIRCLE: ModeSpec(Region.CIRCLE, Effect.OUTLINE, code="C1", official="circle"),
    Mode.MASK: ModeSpec(Region.MASK, Effect.TINT, code="D2", official="mask"),
    Mode.BOX_MASK: ModeSpec(Region.BOX, Effect.TINT, code="B2", official="box_mask"),
    Mode.CIRCLE_MASK: ModeSpec(Region.CIRCLE, Effect.TINT, code="C2", official="circle_mask"),
    Mode.GRAYSCALE_REVERSE_MASK: ModeSpec(
        Region.MASK, Effect.GREY, outside=True, code="D3", official="grayscale_mask"
    ),
    Mode.GRAYSCALE_REVERSE_BOX_MASK: ModeSpec(
        Region.BOX, Effect.GREY, outside=True, code="B3", official="grayscale_box_mask"
    ),
    Mode.GRAYSCALE_REVERSE_CIRCLE_MASK: ModeSpec(
        Region.CIRCLE, Effect.GREY, outside=True, code="C3", official="grayscale_circle_mask"
    ),
    Mode.BLUR_REVERSE_MASK: ModeSpec(
        Region.MASK, Effect.BLUR, outside=True, code="D4", official="blur_mask"
    ),
    Mode.BLUR_REVERSE_BOX_MASK: ModeSpec(
        Region.BOX, Effect.BLUR, outside=True, code="B4", official="blur_box_mask"
    ),
    Mode.BLUR_REVERSE_CIRCLE_MASK: ModeSpec(
        Region.CIRCLE, Effect.BLUR, outside=True, code="C4", official="blur_circle_mask"
    ),
    Mode.REVERSE_MASK: ModeSpec(Region.MASK, Effect.TINT, outside=True, official="reverse_mask"),
    Mode.REVERSE_BOX_MASK: ModeSpec(
        Region.BOX, Effect.TINT, outside=True, official="reverse_box_mask"
    ),
    Mode.REVERSE_CIRCLE_MASK: ModeSpec(
        Region.CIRCLE, Effect.TINT, outside=True, official="reverse_circle_mask"
    ),
    Mode.BLUR_MASK: ModeSpec(Region.MASK, Effect.BLUR),
    Mode.BLUR_BOX_MASK: ModeSpec(Region.BOX, Effect.BLUR),
    Mode.BLUR_CIRCLE_MASK: ModeSpec(Region.CIRCLE, Effect.BLUR),
    Mode.GRAYSCALE_MASK: ModeSpec(Region.MASK, Effect.GREY),
    Mode.GRAYSCALE_BOX_MASK: ModeSpec(Region.BOX, Effect.GREY),
    Mode.GRAYSCALE_CIRCLE_MASK: ModeSpec(Region.CIRCLE, Effect.GREY),
    Mode.CROP: ModeSpec(Region.NOTHING, Effect.NOTHING, crop=True, code="P", official="crop"),
    # "Outside nothing" is the whole crop, which is what the released code tints.
    Mode.CROP_TINT: ModeSpec(Region.NOTHING, Effect.TINT, outside=True, crop=True, official="cpt"),
    Mode.CROP_MASK_TINT: ModeSpec(Region.MASK, Effect.TINT, crop=True, official="cpt_seg"),
    Mode.CROP_MASK: ModeSpec(Region.MASK, Effect.FILL, outside=True, crop=True, official="ov_seg"),
    Mode.CROP_BLUR_REVERSE_MASK: ModeSpec(
        Region.MASK, Effect.BLUR, outside=True, crop=True, official="blur_seg"
    ),
}

# In lower case.
_ALIASES: dict[str, Mode] = (
    {mode.value: mode for mode in Mode}
    | {spec.code.lower(): mode for mode, spec in _SPECS.items() if spec.code}
    | {f"official:{spec.official}": mode for mode, spec in _SPECS.items() if spec.official}
)
