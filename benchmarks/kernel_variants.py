"""Every variant of every Triton kernel that ships, specialised as a usual call does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fgvp_kernels.ellipses import MOST_SIDES
from fgvp_kernels.triton_backend import windows as triton_windows
from fgvp_kernels.triton_backend.drawing import BLEND_PIXELS, PIXELS, PLANE_PIXELS
from fgvp_kernels.triton_backend.kernels import compose as triton_compose
from fgvp_kernels.triton_backend.kernels import contours as triton_contours
from fgvp_kernels.triton_backend.kernels import mask_bits as triton_words
from fgvp_kernels.triton_backend.kernels import planes as triton_planes
from fgvp_kernels.triton_backend.kernels import regions as triton_regions
from fgvp_kernels.triton_backend.kernels import select as triton_select
from fgvp_kernels.triton_backend.kernels import tiles as triton_tiles
from fgvp_kernels.triton_backend.mask_bits import PIXELS as WORD_PIXELS
from fgvp_kernels.triton_backend.products import BLOCK_K, BLOCK_M, BLOCK_N
from fgvp_kernels.triton_backend.windows import (
    BITS,
    COMPOSE_PIXELS,
    COMPOSE_SOFT_PIXELS,
    NOTHING,
    SOFT,
)

# Sizes that are multiples of 16 at the usual picture sizes (224, 336, 384, 448), and always for
# pitches and strides; the compiler is told, as it is at a launch.
_ALIGNED = {"area", "width", "length", "pitch", "mask_length", "stride_words"}
_ALIGNED |= {"height", "mask_pitch", "plane_pitch"}
_FLOATS = {"factor", "alpha", "red", "green", "blue", "radius"}
_INT32 = {"words_ptr", "taps_ptr", "tasks_ptr", "groups_ptr", "images_ptr", "table_ptr"}
_INT32 |= {"band_ptr", "ends_ptr", "starts_ptr", "owners_ptr", "mask_taps_ptr"}
_INT32 |= {"frames_ptr", "sizes_ptr", "runs_ptr"}
_INT64 = {"offsets_ptr"}
_FP32 = {"matrix_ptr", "fractions_ptr", "constants_ptr", "weights_ptr", "blurred_ptr"}
_FP32 |= {"boxes_ptr", "scales_ptr", "colors_ptr", "finish_ptr", "corners_ptr"}


@dataclass(frozen=True)
class Variant:
    """One compilation of a kernel.

    Attributes:
        name: Shown in the report.
        kernel: The ``@triton.jit`` function.
        constants: Its compile-time arguments.
        pointers: Types of the pointers that differ between variants.
        registers: The most registers a thread may take on NVIDIA targets.
        store: Bytes of the widest store that must occur, or None.
    """

    name: str
    kernel: Any
    constants: dict[str, Any]
    pointers: dict[str, str] = field(default_factory=dict)
    registers: int = 128
    store: int | None = None

    @property
    def signature(self) -> dict[str, str]:
        """Type of every argument, as Triton's compiler wants it."""
        return {name: self._type(name) for name in self.kernel.arg_names}

    def _type(self, name: str) -> str:
        if name in self.constants:
            return "constexpr"
        if name in self.pointers:
            return self.pointers[name]
        if name in _FP32:
            return "*fp32"
        if name in _INT64:
            return "*i64"
        if name in _INT32 or name == "out_ptr":
            return "*i32"
        return "fp32" if name in _FLOATS else "i32"

    @property
    def attributes(self) -> dict[tuple[int], list[list[Any]]]:
        """Which arguments are multiples of 16."""
        return {
            (index,): [["tt.divisibility", 16]]
            for index, name in enumerate(self.kernel.arg_names)
            if name not in self.constants
            and (name.endswith("_ptr") or name in _ALIGNED or name.startswith("stride"))
        }


def variants() -> list[Variant]:
    """Return every variant that is compiled ahead of time."""
    return [
        *_select(),
        *_blend(),
        *_planes(),
        *_products(),
        *_words(),
        *_compose(),
        *_tiles(),
    ]


def _select() -> list[Variant]:
    return [
        Variant(
            f"select {dtype} taps={taps}",
            triton_select.select_kernel,
            {"TAPS": taps, "BLOCK": PIXELS},
            {"planes_ptr": f"*{dtype}", "out_ptr": f"*{dtype}"},
            registers=80,
            store=8 if dtype == "u8" else 16,
        )
        for dtype in ("fp16", "bf16", "fp32", "u8")
        for taps in (1, 2)
    ]


def _blend() -> list[Variant]:
    return [
        Variant(
            f"blend fp16 taps={taps}",
            triton_select.blend_kernel,
            {"TAPS": taps, "ROUND": False, "BLOCK": BLEND_PIXELS},
            {"planes_ptr": "*fp32", "masks_ptr": "*fp32", "out_ptr": "*fp16"},
            registers=176,
            store=8,
        )
        for taps in (1, 2)
    ]


def _planes() -> list[Variant]:
    effects = {"none": 0, "constant": 1, "tint": 2, "grey": 3, "blur": 4}
    return [
        Variant(
            f"planes {effect} taps={taps}" + (" soft" if soft else ""),
            triton_planes.planes_kernel,
            {
                "EFFECT": number,
                "OUTSIDE": True,
                "TAPS": taps,
                "SOFT": soft,
                "ROUND": False,
                "BLOCK": PLANE_PIXELS,
            },
            {"canvas_ptr": "*u8", "planes_ptr": "*fp32" if soft else "*fp16"},
            registers=128,
            store=8,
        )
        for effect, number in effects.items()
        for taps in (1, 2)
        for soft in ((False, True) if effect == "blur" else (False,))
    ]


def _products() -> list[Variant]:
    tile = {"BLOCK_M": BLOCK_M, "BLOCK_N": BLOCK_N, "BLOCK_K": BLOCK_K}
    columns, rows = triton_planes.multiply_columns_kernel, triton_planes.multiply_rows_kernel
    image = {"APART": True, "X_EXACT": True, "ROUND": True, **tile}
    canvas = {"APART": False, "X_EXACT": True, "ROUND": False, **tile}
    spread = {"APART": False, "X_EXACT": False, "ROUND": False, **tile}
    exact, float_ = ({"X_EXACT": flag, "ROUND": flag, **tile} for flag in (True, False))
    return [
        Variant("resize columns", columns, image, {"x_ptr": "*u8", "y_ptr": "*u8"}, 200),
        Variant("resize rows", rows, exact, {"x_ptr": "*u8", "y_ptr": "*u8"}, 200),
        Variant("blur columns", columns, canvas, {"x_ptr": "*u8", "y_ptr": "*fp32"}, 200),
        Variant("blur rows", rows, float_, {"x_ptr": "*fp32", "y_ptr": "*fp32"}, 200),
        Variant("spread columns", columns, spread, {"x_ptr": "*fp32", "y_ptr": "*fp32"}, 200),
    ]


def _words() -> list[Variant]:
    block = {"BLOCK": WORD_PIXELS}
    bytes_, logits = {"masks_ptr": "*u8"}, {"logits_ptr": "*fp16"}
    dense, shapes = triton_words.pack_dense_kernel, triton_regions.pack_shapes_kernel
    return [
        Variant("pack bytes", dense, {"PACKED": False, **block}, bytes_, 64, 8),
        Variant("pack bits", dense, {"PACKED": True, **block}, bytes_, 64, 8),
        Variant("pack floats", dense, {"PACKED": False, **block}, {"masks_ptr": "*fp32"}, 64, 8),
        Variant("pack runs", triton_words.pack_runs_kernel, block, {}, 64, 8),
        *(
            Variant(
                f"pack logits {at}",
                triton_words.pack_logits_kernel,
                {"VARIANTS": number, **block},
                logits,
                registers,
                8,
            )
            for at, number, registers in (("canvas", 1, 128), ("image", 2, 224))
        ),
        *(
            Variant(
                f"runs of {name}",
                triton_regions.shape_runs_kernel,
                {"SHAPE": number, "OUTLINE": True, "THIN": thin, "SIDES": MOST_SIDES, "BLOCK": 128},
                {},
                128,
            )
            for name, number, thin in (
                ("boxes", 0, False),
                ("ellipses", 1, False),
                ("thin ellipses", 1, True),
                ("rings", 2, False),
                ("thin rings", 2, True),
            )
        ),
        *(
            Variant(f"pack {name}", shapes, {"OUTLINE": outline, **block}, {}, 64, 8)
            for name, outline in (("shapes", False), ("lines", True))
        ),
        Variant("boundary", triton_contours.boundary_kernel, block, {}, 64, 8),
        Variant("widen", triton_contours.widen_kernel, block, {}, 64, 8),
    ]


def _compose() -> list[Variant]:
    """Candidates with a colour, a window or a canvas of their own."""
    blur, tint = triton_planes.BLUR.value, triton_planes.TINT.value
    kinds = {"bits": (BITS, False), "resized bits": (BITS, True), "soft": (SOFT, False)}
    return [
        Variant(
            f"compose {kind} {name} taps={taps}",
            triton_compose.compose_kernel,
            {
                "EFFECT": effect,
                "OUTSIDE": True,
                "MASK": mask,
                "RESIZED": resized,
                "TAPS": taps,
                "ROUND": False,
                "BLOCK": COMPOSE_SOFT_PIXELS if mask == SOFT else COMPOSE_PIXELS,
            },
            {
                "canvas_ptr": "*u8",
                "masks_ptr": "*fp32" if mask == SOFT else "*i32",
                "out_ptr": "*fp16",
            },
            registers=208,
            # Soft masks are read at four places for each of one or two taps: with eight pixels a
            # thread, which 16 bytes take, that spills.
            store=8 if mask == SOFT else 16,
        )
        for kind, (mask, resized) in kinds.items()
        for name, effect in (("blur", blur), ("tint", tint))
        for taps in (1, 2)
    ]


def _tiles() -> list[Variant]:
    """Pictures resampled after drawing, their planes, and the windows of crops."""
    tile = {
        "BLOCK": triton_windows.TILE,
        "CHUNK_Y": triton_windows.CHUNK_Y,
        "CHUNK_X": triton_windows.CHUNK_X,
    }
    plain, blur = triton_planes.NOTHING.value, triton_planes.BLUR.value
    tint = triton_planes.TINT.value
    rows = [
        ("bits blur", BITS, blur, True, "fp16"),
        ("bits tint", BITS, tint, True, "fp16"),
        ("bits blur u8", BITS, blur, True, "u8"),
        ("bits blur alone", BITS, blur, False, "fp16"),
        ("soft blur", SOFT, blur, True, "fp16"),
        ("plane blur", NOTHING, blur, False, "fp16"),
        ("crop", NOTHING, plain, False, "fp16"),
        ("cut", NOTHING, plain, False, "u8"),
    ]
    return [
        Variant(
            f"tile {name}",
            triton_tiles.tile_kernel,
            {
                "EFFECT": effect,
                "OUTSIDE": True,
                "MASK": mask,
                "CUT": name == "cut",
                "EXACT": effect == plain,
                "PLANES": planes,
                "OWN_COLOR": False,
                "ROUND": dtype == "u8",
                **tile,
            },
            {
                "canvas_ptr": "*u8",
                "masks_ptr": "*fp32" if mask == SOFT else "*i32",
                "planes_ptr": f"*{dtype}",
                "out_ptr": f"*{dtype}",
            },
            registers=168,
            store=8 if dtype == "u8" else 16,
        )
        for name, mask, effect, planes, dtype in rows
    ]
