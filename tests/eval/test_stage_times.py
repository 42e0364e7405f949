import io
import logging
import sys
import time

import pytest
import torch

from fgvp_eval import stage_times
from fgvp_eval.stage_times import Progress, StageTimes, split_line


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


def test_logs_get_a_plain_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    monkeypatch.setattr(stage_times.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with caplog.at_level(logging.INFO), Progress("demo", 30) as progress:
        for now[0] in (4.0, 9.0, 11.0, 15.0, 22.0):
            progress.add(6)
    assert caplog.messages == ["demo: 18 of 30 sentences", "demo: 30 of 30 sentences"]


def test_terminals_get_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress("demo", 4) as progress:
        progress.add(4)
    assert "demo: 100%" in terminal.getvalue()
    assert "4/4" in terminal.getvalue()
