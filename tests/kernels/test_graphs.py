"""A repeated call sends nothing to the device and reads nothing back, so CUDA graphs capture it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fgvp_kernels import MaskLogits, PackedMasks, RenderOptions, device_tables, render_batch
from fgvp_kernels.device_tables import content_tables, offsets_of
from fgvp_kernels.triton_backend import crops as triton_crops
from fgvp_kernels.triton_backend import drawing as triton_drawing
from fgvp_kernels.triton_backend import geometry as triton_geometry
from fgvp_kernels.triton_backend import mask_bits as triton_masks
from fgvp_kernels.triton_backend import plan as triton_plan
from fgvp_kernels.triton_backend import products as triton_products
from fgvp_kernels.triton_backend import rendering as triton_backend
from fgvp_kernels.triton_backend import windows as triton_windows
from fgvp_kernels.value_checks import ValueChecks
from triton_cases import forms, loops_work, scene

pytestmark = pytest.mark.skipif(not loops_work(), reason="Triton's interpreter and NumPy disagree")

MODES = ["blur_reverse_mask", "mask", "contour", "circle", "box_mask", "keypoint", "none"]
FORMS = ["bool", "uint8", "soft", "packed", "rle", "logits", "two images"]
LOOKED_AT = ["uint8", "soft"]  # whose values are checked in every call
OPTIONS = RenderOptions(sigma=30.0)
SENDERS = [
    device_tables, triton_crops, triton_geometry, triton_plan, triton_products, triton_windows
]  # fmt: skip
LAUNCHERS = [triton_drawing, triton_masks, triton_products, triton_windows]
# What reads a value back, copies between devices, or makes a tensor from Python data.
WAITING = {"_local_scalar_dense", "item", "nonzero", "_to_copy", "lift_fresh", "is_nonzero"}


class Operators(TorchDispatchMode):
    """Names of the operators that run."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        name, kwargs = operator.__name__.split(".")[0], kwargs or {}
        if name != "_to_copy" or kwargs.get("device") is not None:  # else it changes the dtype only
            self.names.add(name)
        return operator(*args, **kwargs)


def arguments(form, device, seed=0):
    image, masks = scene(26, 37, 5, device, seed)
    if form == "two images":
        other, more = scene(32, 30, 34, device, seed + 1)
        return [image, other], [masks, more]
    if form == "logits":
        logits = torch.randn(5, 16, 16, device=device)
        return image, MaskLogits(logits, (45, 64), (26, 37))
    if form == "soft":
        return image, masks * torch.rand(masks.shape, device=device)
    return image, masks if form == "bool" else forms(masks)[form]


# What candidates do not share. Crops of other forms than RLE are left out: the host reads the boxes
# back, since the sizes of buffers and matrices depend on them; those of RLE it knows.
APART = {
    "render_first": ("bool", MODES, {"order": "render_first"}),
    "render_first soft": ("soft", MODES, {"order": "render_first"}),
    "object_crop": ("packed", MODES, {"options": RenderOptions(sigma=32.0, fit="object_crop")}),
    "colours": ("bool", ["mask"], {"options": RenderOptions(tint_color="random")}),
    "crops": ("rle", ["crop_mask", "crop_blur_reverse_mask"], {}),
    "crops render_first": ("rle", ["crop_mask"], {"order": "render_first"}),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_second_call_sends_nothing_and_waits_for_nothing(form, device, monkeypatch):
    options = RenderOptions(sigma=31.0, tint_color=(1, 2, len(form)))  # of no call before
    assert_a_second_call_sends_nothing(form, MODES, device, monkeypatch, options=options)


@pytest.mark.parametrize("case", APART)
def test_nor_does_one_whose_candidates_are_drawn_apart(case, device, monkeypatch):
    form, modes, keywords = APART[case]
    assert_a_second_call_sends_nothing(form, modes, device, monkeypatch, **keywords)


def assert_a_second_call_sends_nothing(form, modes, device, monkeypatch, **keywords):
    images, masks = arguments(form, device)
    sent, operators, plain_render = [], Operators(), triton_backend.render

    def send(arrays, device, plain_send=device_tables.send):
        sent.append(sum(array.size for array in arrays))
        return plain_send(arrays, device)

    def watched_render(batch, out):
        with operators:
            plain_render(batch, out)

    for module in SENDERS:
        monkeypatch.setattr(module, "send", send)
    for module in LAUNCHERS:
        monkeypatch.setattr(module, "launch", lambda *arguments, **constants: None)
    for again in (False, True):
        if again:
            assert sent
            sent.clear()
            monkeypatch.setattr(triton_backend, "render", watched_render)
        render_batch(images, masks, modes, size=20, backend="triton", **keywords)
    assert sent == []
    assert "empty" in operators.names
    # Run lengths are NumPy arrays on the host; on a CPU NumPy finds boxes of masks as well.
    host = {"lift_fresh"} if form == "rle" or device.type == "cpu" else set()
    assert operators.names & (WAITING - host) == set()


def test_crops_are_captured_only_where_the_host_knows_the_boxes(device, monkeypatch):
    monkeypatch.setattr(triton_crops, "is_capturing", lambda device: True)
    for form in ("bool", "rle"):
        image, masks = arguments(form, device)
        if form == "rle":
            render_batch(image, masks, "crop", size=8, backend="triton")
            continue
        with pytest.raises(RuntimeError, match="cannot capture modes that crop"):
            render_batch(image, masks, "crop", size=8, backend="triton")


@pytest.mark.parametrize("form", ["bool", "packed", "logits", "rle"])
def test_masks_that_need_no_look_are_not_looked_at(form, device):
    images, masks = arguments(form, device)
    render_batch(images, masks, "none", size=20, backend="triton")  # looks at matrices it makes
    with Operators() as operators:
        render_batch(images, masks, "none", size=20, backend="triton")
    assert not operators.names & {"_local_scalar_dense", "aminmax"}


def test_tables_arrive_as_they_were(device):
    arrays = [np.arange(7, dtype=np.int32).reshape(1, 7), np.array([[0.5], [2.0]], np.float32)]
    for array, table in zip(arrays, content_tables(arrays, device), strict=True):
        assert table.data_ptr() % 16 == 0
        assert np.array_equal(table.cpu().numpy(), array)
    assert content_tables(arrays, device)[0] is content_tables(arrays, device)[0]


def test_offsets_lead_to_the_tensors(device, monkeypatch):
    tensors = list(torch.zeros(3, 5, dtype=torch.int16, device=device))
    sent = offsets_of(tensors, device)
    assert sent.tolist() == [0, 5, 10]
    monkeypatch.setattr(device_tables, "is_capturing", lambda device: True)
    written = offsets_of([tensors[2], tensors[0]], device)
    assert (written.dtype, written.tolist()) == (torch.int64, [0, -10])


def capture(draw):
    """A graph of ``draw`` and the tensor that it writes."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        draw()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        pictures = draw()
    return graph, pictures


def fill(static, new):
    """Copy what ``new`` holds into the tensors that a graph reads."""
    for target, source in zip(static, new, strict=True):
        target.copy_(source)


def tensors_of(images, masks):
    """The tensors on the device that images and masks are made of."""
    if isinstance(images, list):
        return [*images, *masks]
    if isinstance(masks, MaskLogits):
        return [images, masks.logits]
    return [images, masks.bits if isinstance(masks, PackedMasks) else masks]


@pytest.mark.gpu
@pytest.mark.parametrize("form", [form for form in FORMS if form != "rle"])
@pytest.mark.parametrize("mode", [*MODES, ["blur_reverse_mask", "circle"]], ids=str)
def test_a_replay_draws_what_its_inputs_hold(mode, form, device):
    images, masks = arguments(form, device)
    images = [image.clone() for image in images] if isinstance(images, list) else images.clone()

    def draw():
        return render_batch(
            images, masks, mode, size=24, options=OPTIONS, normalize="clip", backend="triton"
        )

    graph, pictures = capture(draw)
    for seed in (3, 4):
        fill(tensors_of(images, masks), tensors_of(*arguments(form, device, seed)))
        graph.replay()
        assert torch.equal(pictures, draw())


@pytest.mark.gpu
@pytest.mark.parametrize("case", [case for case in APART if APART[case][0] != "rle"])
def test_a_replay_draws_candidates_apart(case, device):
    form, modes, keywords = APART[case]
    images, masks = arguments(form, device)
    graph, pictures = capture(
        lambda: render_batch(images, masks, modes, size=24, backend="triton", **keywords)
    )
    fill(tensors_of(images, masks), tensors_of(*arguments(form, device, 3)))
    graph.replay()
    again = render_batch(images, masks, modes, size=24, backend="triton", **keywords)
    assert torch.equal(pictures, again)


@pytest.mark.gpu
def test_a_replay_outlives_the_tables_of_other_calls(device, monkeypatch):
    image, masks = arguments("bool", device)
    graph, pictures = capture(lambda: render_batch(image, masks, size=24, backend="triton"))
    expected = pictures.clone()
    monkeypatch.setattr(device_tables._cache_of(image.device), "limit", 0)
    for size in range(25, 25 + 40):  # of which nothing is kept
        render_batch(image, masks, size=size, backend="triton")
    graph.replay()
    assert torch.equal(pictures, expected)


@pytest.mark.gpu
def test_strided_images_are_captured_too(device):
    images = torch.randint(0, 256, (2, 26, 37, 3), dtype=torch.uint8, device=device)
    masks = torch.rand(2, 4, 26, 37, device=device) < 0.2
    graph, pictures = capture(
        lambda: render_batch(list(images.permute(0, 3, 1, 2)), masks, size=24, backend="triton")
    )
    images.copy_(images.flip(0))
    graph.replay()
    again = render_batch(list(images.permute(0, 3, 1, 2)), masks, size=24, backend="triton")
    assert torch.equal(pictures, again)


NOT_LOOKED_AT = [(form, MODES, {"options": OPTIONS}) for form in FORMS if form not in LOOKED_AT]
NOT_LOOKED_AT += [case for case in APART.values() if case[0] not in LOOKED_AT]


@pytest.mark.gpu
@pytest.mark.parametrize(("form", "modes", "keywords"), NOT_LOOKED_AT, ids=str)
def test_no_call_waits_for_the_device(form, modes, keywords, device):
    images, masks = arguments(form, device)
    render_batch(images, masks, modes, size=24, backend="triton", **keywords)
    torch.cuda.set_sync_debug_mode("error")
    try:
        render_batch(images, masks, modes, size=24, backend="triton", **keywords)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
def test_all_values_of_a_call_are_read_back_at_once(device):
    checks, found = ValueChecks(), []
    for start in (0.0, 3.0):
        checks.add(
            torch.tensor([start, start + 1], device=device),
            lambda low, high: found.append((low, high)),
        )
    assert found == []
    checks.run()
    assert found == [(0.0, 1.0), (3.0, 4.0)]
