"""What must hold for any picture and any mask."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fgvp_kernels import Mode, RenderOptions, render_batch

SIDES = st.integers(1, 40)
SEEDS = st.integers(0, 10_000)
ORDERS = st.sampled_from(["resize_first", "render_first"])
FITS = st.sampled_from(["squash", "center_crop", "pad", "object_crop"])
MODES = st.sampled_from([mode.value for mode in Mode])


def scene(height, width, count, seed):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)
    density = torch.rand(count, 1, 1, generator=generator) ** 3
    return image, torch.rand(count, height, width, generator=generator) < density


@settings(max_examples=60, deadline=None)
@given(height=SIDES, width=SIDES, size=SIDES, seed=SEEDS, order=ORDERS, fit=FITS, mode=MODES)
def test_order_of_candidates_is_order_of_pictures(height, width, size, seed, order, fit, mode):
    image, masks = scene(height, width, 5, seed)
    keywords = {"size": size, "order": order, "options": RenderOptions(fit=fit, sigma=5.0)}
    forward = render_batch(image, masks, mode, **keywords)
    backward = render_batch(image, masks.flip(0), mode, **keywords)
    assert torch.equal(forward.flip(0), backward)


@settings(max_examples=60, deadline=None)
@given(height=SIDES, width=SIDES, seed=SEEDS, effect=st.sampled_from(["blur", "grayscale"]))
def test_complement_of_the_mask_swaps_inside_and_outside(height, width, seed, effect):
    image, masks = scene(height, width, 3, seed)
    options = RenderOptions(sigma=3.0)
    outside = render_batch(image, masks, f"{effect}_reverse_mask", options=options)
    inside = render_batch(image, ~masks, f"{effect}_mask", options=options)
    assert torch.equal(outside, inside)


@settings(max_examples=60, deadline=None)
@given(height=SIDES, width=SIDES, size=SIDES, seed=SEEDS, order=ORDERS, mode=MODES)
def test_pictures_stay_within_the_levels_there_are(height, width, size, seed, order, mode):
    image, masks = scene(height, width, 2, seed)
    options = RenderOptions(tint_color="grey", line_color="grey", sigma=4.0)
    pictures = render_batch(
        image, masks, mode, size=size, order=order, options=options, dtype=torch.float32
    )
    assert pictures.min() >= -1e-5
    assert pictures.max() <= 1 + 1e-5


@settings(max_examples=40, deadline=None)
@given(height=SIDES, width=SIDES, size=SIDES, seed=SEEDS, order=ORDERS)
def test_a_constant_picture_stays_constant_under_blur(height, width, size, seed, order):
    _, masks = scene(height, width, 2, seed)
    image = torch.full((3, height, width), 77, dtype=torch.uint8)
    pictures = render_batch(image, masks, "blur_reverse_mask", size=size, order=order)
    assert (pictures == 77).all()


@settings(max_examples=40, deadline=None)
@given(height=SIDES, width=SIDES, seed=SEEDS)
def test_mirrored_inputs_give_mirrored_pictures(height, width, seed):
    image, masks = scene(height, width, 3, seed)
    options = RenderOptions(sigma=6.0)
    straight = render_batch(image, masks, "blur_reverse_mask", options=options).int()
    mirrored = render_batch(image.flip(2), masks.flip(2), "blur_reverse_mask", options=options)
    assert (straight.flip(3) - mirrored.int()).abs().max() <= 1  # a half may round either way
