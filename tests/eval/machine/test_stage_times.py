import time

import pytest
import torch

from fgvp_eval.machine.stage_times import StageTimes, split_line


def _fail_slowly() -> None:
    time.sleep(0.01)
    raise ValueError("broken")


def test_seconds_add_up_even_when_a_stage_fails() -> None:
    times = StageTimes(torch.device("cpu"))
    with times.measure("sam"):
        time.sleep(0.01)
    with pytest.raises(ValueError, match="broken"), times.measure("sam"):
        _fail_slowly()
    with times.measure("clip"):
        pass
    assert list(times.seconds) == ["sam", "clip"]
    assert times.seconds["sam"] >= 0.02


def test_seconds_since_a_moment() -> None:
    times = StageTimes(torch.device("cpu"))
    times.seconds = {"sam": 2.0, "clip": 1.0}
    before = dict(times.seconds)
    times.seconds |= {"sam": 5.0, "post": 0.5}
    assert times.since(before) == {"sam": 3.0, "post": 0.5}


def test_one_line_says_where_the_time_went() -> None:
    seconds = {"load": 4.0, "post": 1.0, "sam": 6.0, "render": 0.5, "decode": 0.5, "clip": 2.0}
    assert split_line(seconds) == (
        "time: decode 0.5 s (5 %), SAM 6.0 s (60 %), render 0.5 s (5 %), CLIP 2.0 s (20 %), "
        "post 1.0 s (10 %); loading 4.0 s"
    )
    assert split_line({}) == "time: ; loading 0.0 s"
