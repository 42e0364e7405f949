"""The picture with an outline for each text, and its legend."""

from __future__ import annotations

import numpy as np
import pytest

from fgvp_eval.commands.ground.annotated_picture import Mark, annotated_picture, color_of


@pytest.mark.parametrize(
    ("size", "shown"),
    [((100, 50), (800, 400)), ((900, 1000), (900, 1000)), ((4000, 400), (1280, 128))],
)
def test_pictures_are_shown_at_a_size_that_fits(size, shown):
    annotated = np.asarray(annotated_picture(np.zeros((*size, 3), np.uint8), []))
    assert (annotated[: shown[0], : shown[1]] == 0).all()
    assert annotated.shape[1] == max(shown[1], 480)
    assert annotated.shape[0] > shown[0]


def test_outlines_go_around_masks_and_leave_their_colours():
    pixels = np.full((200, 200, 3), 90, np.uint8)
    mask = np.zeros((200, 200), bool)
    mask[50:100, 60:120] = True
    mark = Mark("the thing", "1", color_of(1), (10.0, 20.0, 190.0, 180.0), mask)
    annotated = np.asarray(annotated_picture(pixels, [mark]))[:800]
    inside = annotated[200:400, 240:480]
    assert (inside == 90).all()
    for y, x in ((199, 300), (400, 300), (300, 239), (300, 480)):
        assert (annotated[y, x] == color_of(1)).all()
    columns = np.flatnonzero((annotated == color_of(1)).all(-1)[600])  # below the mask: the box
    assert {40, 760} <= set(columns)


def test_a_text_without_candidate_is_in_the_legend_alone():
    pixels = np.full((300, 800, 3), 90, np.uint8)
    long = "a text that is so long that it must be broken into two lines " * 2
    marks = [Mark(long, "1", color_of(0)), Mark("short", "2", color_of(1))]
    annotated = np.asarray(annotated_picture(pixels, marks))
    assert (annotated[:300] == 90).all()
    for index in range(2):
        assert (annotated[300:] == color_of(index)).all(-1).sum() > 300


def test_colours_come_again_after_the_last():
    assert len({color_of(index) for index in range(6)}) == 6
    assert color_of(6) == color_of(0)
