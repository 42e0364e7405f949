"""The operator behind ``torch.compile``: soundly registered, the same pictures and gradients."""

from __future__ import annotations

import pytest
import torch

from fgvp_kernels import RenderOptions, render_batch


@pytest.fixture(autouse=True)
def _forget_what_was_compiled():
    torch.compiler.reset()  # one function may be compiled only so often


def arguments(dtype=torch.uint8, mask_dtype=torch.bool):
    image = torch.rand(3, 9, 13, dtype=torch.float64) * 0.5 + 0.25
    image = (image * 255).to(torch.uint8) if dtype == torch.uint8 else image.to(dtype)
    masks = torch.rand(2, 9, 13) < 0.3
    return image, masks if mask_dtype == torch.bool else (masks * 0.6).to(mask_dtype)


def op_arguments(image, masks, boxes=()):
    return (
        [image], [masks], list(boxes), None, None, "blur_reverse_mask,mask", [6, 6],
        "resize_first", "gaussian|bt601|squash|red|1,2,3", 2.0, 0.5, [2, 0], [1 / 255.0] * 3,
        [0.0] * 3, torch.float64, "auto",
    )  # fmt: skip


@pytest.mark.parametrize("dtypes", [(torch.uint8, torch.bool), (torch.float64, torch.float64)])
def test_opcheck(dtypes):
    image, masks = arguments(*dtypes)
    if image.is_floating_point():
        image.requires_grad_()
        masks.requires_grad_()
    for boxes in ((), (torch.tensor([[1.0, 1, 5, 5]] * 2),)):
        torch.library.opcheck(torch.ops.fgvp.render.default, op_arguments(image, masks, boxes))


def test_gradients_of_the_operator_equal_those_of_the_plain_call():
    image, masks = arguments(torch.float64, torch.float64)
    options = RenderOptions(sigma=2.0, tint_color=(1, 2, 3))
    gradients = []
    for through_op in (False, True):
        leaves = (image.clone().requires_grad_(), masks.clone().requires_grad_())
        if through_op:
            pictures = torch.ops.fgvp.render(*op_arguments(*leaves))
        else:
            modes = ["blur_reverse_mask", "mask"]
            pictures = render_batch(*leaves, modes, size=6, options=options, dtype=torch.float64)
        (pictures**2).sum().backward()
        gradients.append([leaf.grad for leaf in leaves])
    for plain, through_op in zip(*gradients, strict=True):
        torch.testing.assert_close(through_op, plain)


@pytest.mark.parametrize(
    "keywords",
    [
        {"size": 8},
        {"mode": ["D4", "contour"], "size": (8, 6), "normalize": "clip"},
        {"mode": "box", "boxes": torch.tensor([[1.0, 2, 8, 8]] * 2), "order": "render_first"},
        {"mode": "mask", "options": RenderOptions(tint_color=(9, 8, 7), fit="pad"), "size": 8},
        {"mode": "mask", "options": RenderOptions(tint_color="random"), "size": 8},
        {"mode": "mask", "options": RenderOptions(tint_color="random", seed=2**64 - 1)},
        {"mode": "mask", "options": RenderOptions(tint_color="#ff8800"), "device": "cpu"},
    ],
    ids=lambda keywords: "-".join(keywords),
)
def test_compiled_call_equals_plain_call(keywords):
    image, masks = arguments()
    keywords = dict(keywords)
    mode = keywords.pop("mode", "blur_reverse_mask")

    def draw(image, masks):
        return render_batch(image, masks, mode, **keywords) + 0

    compiled = torch.compile(draw, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(image, masks), draw(image, masks))


@pytest.mark.parametrize("form", ["one", "list", "none", "one box"])
def test_compiled_call_takes_the_forms_of_the_plain_call(form):
    image, masks = arguments()
    boxes = torch.tensor([[1.0, 2, 8, 8], [3, 0, 9, 12]])

    def draw(image, masks, boxes):
        given = {"one": masks[0], "list": [*masks], "none": None, "one box": None}[form]
        box = {"one": boxes[:1], "one box": boxes[0]}.get(form, boxes)
        return render_batch(image, given, ["box", "crop"], boxes=box, size=6)

    compiled = torch.compile(draw, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(image, masks, boxes), draw(image, masks, boxes))


def test_boxes_are_enough_for_the_operator():
    image, _ = arguments(torch.float64)
    image.requires_grad_()
    boxes = torch.tensor([[1.0, 1, 5, 5]] * 2)
    _, _, _, *rest = op_arguments(image, None)
    rest[2] = "blur_reverse_box_mask,none"
    torch.library.opcheck(torch.ops.fgvp.render.default, ([image], [], [boxes], *rest))
    rest[2] = "blur_reverse_mask,none"
    with pytest.raises(ValueError, match="masks must be given for mode 'blur_reverse_mask'"):
        torch.ops.fgvp.render([image], [], [boxes], *rest)


@pytest.mark.parametrize("which", ["images", "masks"])
def test_the_operator_refuses_nan(which):
    image, masks = arguments(torch.float64, torch.float64)
    (image if which == "images" else masks)[-1, -1, -1] = torch.nan
    with pytest.raises(ValueError, match=rf"{which}\[0\] as floating point must lie in \[0, 1\]"):
        torch.ops.fgvp.render(*op_arguments(image, masks))


def test_compiled_call_writes_into_out():
    image, masks = arguments()
    draw = torch.compile(render_batch, fullgraph=True, backend="aot_eager")
    out = torch.zeros(2, 3, 9, 13, dtype=torch.uint8)
    assert draw(image, masks, out=out) is out
    assert torch.equal(out, render_batch(image, masks))
    draw = torch.compile(render_batch, backend="eager")
    with pytest.raises(ValueError, match=r"out must have shape \[2, 3, 9, 13\], got \[1, 3, 9"):
        draw(image, masks, out=torch.zeros(1, 3, 9, 13, dtype=torch.uint8))


def test_compiled_batch_with_gradients():
    def loss(images, masks):
        return render_batch(images, masks, "D4", size=6, normalize="clip").square().mean()

    images = torch.rand(2, 3, 9, 13, requires_grad=True)
    masks = torch.rand(2, 3, 9, 13) * 0.9
    torch.compile(loss, fullgraph=True, backend="aot_eager")(images, masks).backward()
    compiled, images.grad = images.grad, None
    loss(images, masks).backward()
    torch.testing.assert_close(compiled, images.grad)


def test_only_tensors_can_be_compiled():
    image, masks = arguments()
    draw = torch.compile(render_batch, fullgraph=True, backend="aot_eager")
    with pytest.raises(Exception, match=r"masks must be tensors within torch.compile"):
        draw([image], [[{"size": [9, 13], "counts": [117]}]])
    assert masks.shape == (2, 9, 13)
