"""Every wrong argument is an error that names it, what was expected and what came."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from PIL import Image

from fgvp_kernels import MaskLogits, PackedMasks, RenderOptions, render_batch

IMAGE = torch.zeros(3, 8, 10, dtype=torch.uint8)
MASKS = torch.zeros(2, 8, 10, dtype=torch.bool)


def transparent() -> Image.Image:
    image = Image.new("P", (10, 8))
    image.info["transparency"] = 0
    return image


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"images": "cat.jpg"}, TypeError, "images must be an image .* got str"),
        ({"images": []}, ValueError, "images must hold at least one image"),
        ({"images": IMAGE.int()}, TypeError, "images must be uint8 or floating .* torch.int32"),
        ({"images": IMAGE[:1]}, ValueError, r"images must be \[3, H, W\] .* got \[1, 8, 10\]"),
        ({"images": IMAGE[:, :0]}, ValueError, r"H, W >= 1, got \[3, 0, 10\]"),
        ({"images": IMAGE.float() + 7}, ValueError, r"images .* in \[0, 1\], got values from 7 to"),
        ({"images": IMAGE.float() * float("nan")}, ValueError, r"images .* \[0, 1\], got .* nan"),
        ({"images": np.full((8, 10, 3), 7.0)}, ValueError, r"images .* in \[0, 1\], got .* 7 to"),
        ({"images": np.zeros((8, 10, 3), object)}, TypeError, "images must hold .* of object"),
        ({"images": np.zeros((8, 10, 3), ">f4")}, TypeError, "images must hold numbers .* of >f4"),
        ({"images": IMAGE.to(torch.float8_e5m2)}, TypeError, "images must be uint8 .*float8_e5m2"),
        ({"images": np.zeros((3, 8, 10), np.uint8)}, ValueError, r"\[H, W, 3\], got \[3, 8, 10\]"),
        ({"images": Image.new("RGBA", (10, 8))}, ValueError, "RGB picture, got .* mode 'RGBA'"),
        (
            {"images": [IMAGE, None], "masks": [MASKS] * 2},
            TypeError,
            r"images\[1\] must be .* None",
        ),
        ({"images": [IMAGE] * 2, "masks": [MASKS]}, ValueError, "masks must .* expected 2, got 1"),
        (
            {"images": [IMAGE] * 2, "masks": PackedMasks.pack(MASKS)},
            TypeError,
            "one entry for each",
        ),
        ({"masks": MASKS[0, 0]}, ValueError, r"masks must be \[N, H, W\] or one .*, got \[10\]"),
        ({"masks": MASKS[0].T}, ValueError, r"\(H, W\) = \(8, 10\); got \(10, 8\)"),
        ({"masks": MASKS[None]}, ValueError, r"masks must be \[N, H, W\] .* got \[1, 2, 8, 10\]"),
        ({"masks": [MASKS]}, ValueError, r"masks\[0\] must be one mask \[H, W\], got \[2, 8"),
        (
            {"masks": [MASKS[0], MASKS[1].float()]},
            ValueError,
            r"masks as a list .* one size, dtype and device; masks\[0\] .* masks\[1\] .* torch.fl",
        ),
        (
            {"masks": [MASKS[0], MASKS[1, :5]]},
            ValueError,
            r"masks as a list must hold masks of one",
        ),
        ({"masks": [MASKS[0], {"counts": [80]}]}, TypeError, r"masks\[1\] must be a mask .* dict"),
        ({"masks": [{"bbox": [1, 2, 3, 4]}]}, TypeError, r"masks\[0\] must be a COCO .* 'bbox'"),
        ({"masks": [{"segmentation": [[1, 2, 3]]}]}, TypeError, r"masks\[0\] must be .* got list"),
        ({"masks": [{"size": None, "counts": [80]}]}, ValueError, r"masks\[0\]\['size'\] .* None"),
        ({"masks": np.full((2, 8, 10), None)}, TypeError, "masks must hold .* array of object"),
        ({"masks": MASKS.to(torch.float8_e4m3fn)}, TypeError, "masks must be bool, .*float8"),
        ({"images": [IMAGE] * 2}, ValueError, r"masks of a batch must be \[B, N, H, W\] or a seq"),
        (
            {"images": [IMAGE] * 2, "masks": None, "boxes": np.ones((2, 4))},
            ValueError,
            r"boxes of a batch must be \[B, N, 4\] or a sequence .* got \[2, 4\]",
        ),
        (
            {"images": [IMAGE] * 2, "masks": [MASKS, None]},
            ValueError,
            r"masks\[1\] must be given where boxes are not",
        ),
        ({"masks": MASKS[:, :, :9]}, ValueError, r"\(H, W\) = \(8, 10\); got \(8, 9\)"),
        ({"masks": MASKS.int()}, TypeError, "masks must be bool, uint8 or floating .* torch.int"),
        ({"masks": MASKS.to(torch.uint8) + 2}, ValueError, "only 0 and 1, or only 0 and 255"),
        ({"masks": MASKS.float() + 1.5}, ValueError, r"masks .* \[0, 1\], got values from 1.5 to"),
        ({"masks": MASKS.float() * float("nan")}, ValueError, r"masks .* \[0, 1\]"),
        ({"masks": 5}, TypeError, "masks must be a tensor or array .* got int"),
        ({"masks": [7]}, TypeError, r"masks\[0\] must be a COCO RLE dict"),
        ({"images": IMAGE[None][:0]}, ValueError, r"images must be \[3, H, W\] .* got \[0, 3"),
        ({"images": (IMAGE / 255).to_sparse()}, TypeError, "images must be a dense .* a sparse"),
        ({"masks": MASKS.to("meta")}, TypeError, "masks must be a dense .* a meta one"),
        ({"images": transparent()}, ValueError, "PIL image with transparent colours"),
        ({"device": "nonsense"}, ValueError, "device must be one that torch knows"),
        *[
            (
                {"device": place},
                ValueError,
                f"device must be one that can compute here, got .{place}",
            )
            for place in ("meta", "xla", "hpu", "cuda:77", "cpu:99999")
        ],
        ({"device": 10**400}, ValueError, "device must be one that torch knows, got 1000"),
        ({"boxes": np.ones((2, 4), np.complex64)}, TypeError, "boxes must be numbers"),
        ({"boxes": torch.ones(2, 4) * 1j}, TypeError, "boxes must be real numbers"),
        ({"boxes": [[0, 0, 1e300, 9]] * 2}, ValueError, "boxes must be finite"),
        ({"boxes": [[0, 0, 10**400, 9]] * 2}, TypeError, "boxes must be numbers"),
        (
            {"boxes": [[0.1, 0.1, 0.5, 0.5], [0, 0, 1, 1]]},
            ValueError,
            r"boxes must be in pixels .* = \(8, 10\), got values from 0 to 1: normalised\?",
        ),
        (
            {"images": [IMAGE], "masks": None, "boxes": [torch.full((1, 4), 0.5)], "mode": "box"},
            ValueError,
            r"boxes\[0\] must be in pixels .* normalised\?",
        ),
        ({"normalize": ((float("nan"), 0, 0), (1, 1, 1))}, ValueError, "must have finite means"),
        ({"out": IMAGE[None].expand(2, -1, -1, -1)}, ValueError, "out must be contiguous"),
        ({"masks": PackedMasks.pack(MASKS[:, :4])}, ValueError, r"\(8, 10\); got \(4, 10\)"),
        (
            {"masks": MaskLogits(torch.zeros(1, 4, 4), (8, 8), (9, 9))},
            ValueError,
            r"masks.image_size must .* \(8, 10\); got \(9, 9\)",
        ),
        ({"mode": "blurr"}, ValueError, "mode must be one of"),
        ({"mode": []}, ValueError, "mode must name at least one mode"),
        ({"mode": 3}, TypeError, "mode must be a string"),
        ({"boxes": torch.zeros(3, 4)}, ValueError, r"boxes must be \[N, 4\] .* 2 masks, got \[3"),
        ({"boxes": [0, 0, 5, 5]}, ValueError, r"boxes must be \[N, 4\] .* 2 masks, got \[1, 4\]"),
        ({"masks": None, "boxes": [[1, 2, 3]]}, ValueError, r"boxes must be \[N, 4\], got \[1, 3"),
        ({"boxes": "all"}, TypeError, "boxes must be numbers"),
        ({"boxes": [[5, 5, 2, 9]] * 2}, ValueError, "x0 <= x1 .* negative side"),
        ({"boxes": [[0, 0, float("nan"), 9]] * 2}, ValueError, "boxes must be finite"),
        ({"size": 0}, ValueError, "size must be between 1 and 65536, got 0"),
        ({"size": 10**9999}, ValueError, "size must be between 1 and 65536, got a very large"),
        ({"size": 2.5}, TypeError, "size must be None, an int or"),
        ({"size": (1, 2, 3)}, TypeError, "size must be None, an int or"),
        ({"size": True}, TypeError, "size must be None, an int or"),
        ({"order": "draw_first"}, ValueError, "order must be one of resize_first, render_first"),
        ({"options": {"sigma": 3}}, TypeError, "options must be RenderOptions, got dict"),
        ({"normalize": "image"}, ValueError, "normalize must be None, 'clip', .* mean imagenet"),
        (
            {"normalize": 3},
            TypeError,
            "normalize must be None, 'clip', 'imagenet', 'siglip' or a p",
        ),
        ({"normalize": ((10**400, 0, 0), (1, 1, 1))}, TypeError, "normalize must be None, 'clip'"),
        ({"normalize": ((1, 2), (1, 2))}, ValueError, "three means and three stds"),
        ({"normalize": ((0, 0, 0), (1, 0, 1))}, ValueError, "positive stds"),
        ({"normalize": ((0, 0, 0), (1, float("inf"), 1))}, ValueError, "positive stds"),
        ({"normalize": "clip", "dtype": torch.uint8}, ValueError, "dtype must be floating point"),
        ({"dtype": torch.int32}, ValueError, "dtype must be one of .* got torch.int32"),
        ({"dtype": "half"}, TypeError, "dtype must be a torch.dtype, got str"),
        ({"backend": "cuda"}, ValueError, "backend must be one of auto, torch, triton; got 'cuda'"),
        ({"out": torch.zeros(2, 3, 8, 9, dtype=torch.uint8)}, ValueError, r"out must have shape"),
        ({"out": torch.zeros(2, 3, 8, 10)}, ValueError, "out must be torch.uint8 on cpu, got"),
        ({"out": np.zeros(3)}, TypeError, "out must be a tensor"),
        (
            {"out": torch.zeros(2, 3, 10, 8, dtype=torch.uint8).mT},
            ValueError,
            "out must be contiguous",
        ),
        (
            {"options": RenderOptions(tint_color=torch.zeros(3, 3)), "mode": "mask"},
            ValueError,
            r"tint_color must have one row per candidate: expected \[2, 3\], got \[3, 3\]",
        ),
    ],
)
def test_call(change, error, message):
    arguments = {"images": IMAGE, "masks": MASKS} | change
    with pytest.raises(error, match=message):
        render_batch(arguments.pop("images"), arguments.pop("masks"), **arguments)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf"), 1.5, -0.5])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_single_values_out_of_range_are_seen(bad, dtype):
    """Wherever they are among the many that are right, within a compiled call as well."""
    image, soft = torch.rand(3, 8, 10).to(dtype), torch.rand(2, 8, 10).to(dtype)
    for place in (0, 79, 111):
        broken = image.clone(), soft.clone()
        for values in broken:
            values.view(-1)[place] = bad
        with pytest.raises(ValueError, match=r"images as floating point must lie in \[0, 1\]"):
            render_batch(broken[0], MASKS)
        with pytest.raises(ValueError, match=r"masks as floating point must lie in \[0, 1\]"):
            render_batch(IMAGE, broken[1])
        with pytest.raises(ValueError, match=r"masks\[1\] as floating point must lie in \[0, 1\]"):
            render_batch([IMAGE] * 2, [MASKS, list(broken[1])])
    draw = torch.compile(render_batch, backend="eager")
    with pytest.raises(ValueError, match=r"images\[0\] as floating point must lie in \[0, 1\]"):
        draw(broken[0], MASKS)


def overlapping_calls():
    """A buffer and what lies in it, for each argument that is read while pictures are written."""
    memory = torch.zeros(2 * 3 * 8 * 10)  # float32: out
    out = memory.view(2, 3, 8, 10)
    words = memory.view(torch.uint8)
    masks = torch.zeros(2, 8, 10, dtype=torch.bool)
    boxes = memory[40:48].view(2, 4)
    bits = words[:32].view(2, 8, 2)
    logits = MaskLogits(memory[:32].view(2, 4, 4), (8, 10), (8, 10))
    colors = RenderOptions(tint_color=memory[:6].view(2, 3))
    return {
        "images": (words[:240].view(3, 8, 10), masks, {}),
        "masks": (IMAGE, words[800:960].view(2, 8, 10), {}),
        "boxes": (IMAGE, masks, {"boxes": boxes}),
        "bits": (IMAGE, PackedMasks(bits, (2, 8, 10)), {}),
        "logits": (IMAGE, logits, {}),
        "tint_color": (IMAGE, masks, {"options": colors, "mode": "mask"}),
    }, out


@pytest.mark.parametrize("what", ["images", "masks", "boxes", "bits", "logits", "tint_color"])
def test_out_must_not_be_read_from(what):
    calls, out = overlapping_calls()
    images, masks, keywords = calls[what]
    name = "masks" if what in ("bits", "logits") else what
    with pytest.raises(ValueError, match=f"out must not share memory with {name}"):
        render_batch(images, masks, dtype=torch.float32, out=out, **keywords)
    render_batch(images, masks, dtype=torch.float32, out=out.clone(), **keywords)


JUNK = [
    None, -1, 2**70, 10**5000, 1.5, float("nan"), 1j, True, "x", b"x", [], [None], {"a": 1}, set(),
    np.zeros(3), np.array(None), np.array(["a"]), np.zeros((2, 8, 10), "M8[s]"), range(4), object(),
    torch.zeros(2, 4, device="meta"), torch.eye(4).to_sparse(), torch.zeros(2, 8, 10) * 1j,
    torch.zeros(2, 8, 10).to(torch.float8_e4m3fn),
]  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["images", "masks", "mode", "boxes", "size", "order", "options", "normalize", "dtype", "device",
     "backend", "out"],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_anything_is_taken_or_refused_by_name(name):
    for junk in JUNK:
        arguments = {"images": IMAGE, "masks": MASKS, name: junk}
        try:
            pictures = render_batch(arguments.pop("images"), arguments.pop("masks"), **arguments)
        except (TypeError, ValueError) as error:
            message = str(error)
        else:
            message = name
            assert pictures.shape[-3] == 3
        # A list of images makes a batch, for which the masks are then wrong.
        assert name in message or (name, message[:5]) == ("images", "masks"), message


@pytest.mark.parametrize("field", fields(RenderOptions), ids=lambda field: field.name)
def test_any_option_is_taken_or_refused_by_name(field):
    for junk in JUNK:
        try:
            options = RenderOptions(**{field.name: junk})
        except (TypeError, ValueError) as error:
            message = str(error)
        else:
            message = field.name
            assert isinstance(getattr(options, field.name), (int, float, str, tuple, torch.Tensor))
        assert field.name in message, message


def test_out_must_not_require_gradients():
    out = torch.zeros(2, 3, 8, 10, requires_grad=True)
    with pytest.raises(ValueError, match="out must not require gradients"):
        render_batch(IMAGE, MASKS, dtype=torch.float32, out=out)


def test_native_size_needs_equal_images():
    with pytest.raises(ValueError, match="size=None needs images of equal size"):
        render_batch([IMAGE, IMAGE[:, :5]], [MASKS, MASKS[:, :5]])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"sigma": -1}, ValueError, "sigma must be between 0 and 100000, got -1"),
        ({"sigma": float("inf")}, ValueError, "sigma must be between"),
        ({"sigma": float("nan")}, ValueError, "sigma must be between"),
        ({"sigma": 10**400}, ValueError, "sigma must be between"),
        ({"sigma": 10**9999}, ValueError, "sigma must be between .* got a very large int"),
        ({"sigma": "big"}, TypeError, "sigma must be a number, got str"),
        ({"sigma": np.ones(1)}, TypeError, "sigma must be a number, got ndarray"),
        ({"sigma": torch.ones((), device="meta")}, TypeError, "sigma must be a number, got Tensor"),
        ({"blur": "box"}, ValueError, "blur must be one of gaussian, pil, got 'box'"),
        ({"blur": np.array(["pil", "pil"])}, ValueError, "blur must be one of gaussian, pil"),
        ({"luma": "rec709"}, ValueError, "luma must be one of bt601, bgr"),
        ({"fit": "stretch"}, ValueError, "fit must be one of squash, center_crop, pad, object"),
        ({"alpha": 1.5}, ValueError, "alpha must be between 0 and 1, got 1.5"),
        ({"alpha": True}, TypeError, "alpha must be a number, got bool"),
        ({"alpha": np.True_}, TypeError, "alpha must be a number, got bool"),
        ({"line_width": 0}, ValueError, "line_width must be between 1 and 100000, got 0"),
        ({"line_width": 2**70}, ValueError, "line_width must be between 1 and 100000, got 118059"),
        ({"line_width": 1.5}, TypeError, "line_width must be an int, got float"),
        ({"seed": -1}, ValueError, "seed must be between 0"),
        ({"seed": 2**64}, ValueError, "seed must be between 0 and 18446744073709551615"),
        ({"tint_color": torch.full((1, 3), 256)}, ValueError, "levels between 0 and 255"),
        ({"tint_color": torch.full((1, 3), float("nan"))}, ValueError, "between 0 and 255"),
        ({"tint_color": torch.zeros(1, 3).to_sparse()}, TypeError, "tint_color .* dense .* sparse"),
        ({"line_color": "oragne"}, ValueError, "line_color must be a name .*did you mean orange"),
        ({"line_color": "#ff88"}, ValueError, "line_color must be a name .*#rrggbb.* got '#ff88'"),
        ({"line_color": "#12345678"}, ValueError, "line_color must be a name"),
        ({"line_color": "rgb(1, 2, 3)"}, ValueError, "line_color must be a name"),
        ({"tint_color": (1, 2)}, ValueError, "tint_color as a triple must be three ints"),
        ({"tint_color": (1, 2, True)}, ValueError, "tint_color as a triple must be three ints"),
        ({"tint_color": (1, 2, 256)}, ValueError, "levels between 0 and 255"),
        ({"tint_color": torch.zeros(3)}, ValueError, r"must be \[N, 3\], got \[3\]"),
        ({"tint_color": torch.zeros(1, 3).bool()}, TypeError, "must hold RGB levels"),
        ({"tint_color": 7}, TypeError, "tint_color must be a name, '#rrggbb', an RGB triple"),
    ],
)
def test_options(change, error, message):
    with pytest.raises(error, match=message):
        RenderOptions(**change)


@pytest.mark.parametrize("one", [1, np.int64(1), np.float32(1), np.array(1), torch.tensor(1.0)])
def test_numbers_become_those_of_python(one):
    options = RenderOptions(sigma=one, alpha=one)
    assert (options.sigma, options.alpha) == (1.0, 1.0)
    assert type(options.sigma) is type(options.alpha) is float
    whole = RenderOptions(line_width=np.int32(one), seed=torch.tensor(int(one)))
    assert (whole.line_width, whole.seed) == (1, 1)
    assert type(whole.line_width) is type(whole.seed) is int


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("#ff8800", (255, 136, 0)),
        ("#F80", (255, 136, 0)),
        ("orange", (255, 165, 0)),
        ("DarkOrange", (255, 140, 0)),
        ("RED", "red"),
        ("Random", "random"),
        ([np.uint8(1), np.int64(2), 3], (1, 2, 3)),
    ],
)
def test_forms_of_colors(given, kept):
    assert RenderOptions(tint_color=given).tint_color == kept


# CSS has other colours for green and grey.
@pytest.mark.parametrize(
    ("name", "levels"),
    {
        "red": (255, 0, 0), "cpt_red": (240, 0, 30), "green": (0, 255, 0), "blue": (0, 0, 255),
        "purple": (128, 0, 128), "yellow": (255, 255, 0), "cyan": (0, 255, 255), "black": (0, 0, 0),
        "white": (255, 255, 255), "grey": (124, 116, 104), "gray": (124, 116, 104),
    }.items(),
)  # fmt: skip
def test_colors_of_the_released_code_keep_their_values(name, levels):
    options = RenderOptions(tint_color=name, alpha=1.0)
    full = torch.ones(1, 8, 10, dtype=torch.bool)
    assert render_batch(IMAGE, full, "mask", options=options)[0, :, 0, 0].tolist() == list(levels)


def test_official_options():
    official = RenderOptions.official()
    assert (official.blur, official.luma, official.sigma) == ("pil", "bgr", 100.0)
    assert RenderOptions.official(sigma=3.0).sigma == 3.0
