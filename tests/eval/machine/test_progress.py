"""Bars on terminals, plain lines with rate and time left elsewhere, and silence where it is due."""

from __future__ import annotations

import io
import logging
import os
import sys

import pytest

from fgvp_eval.data.data_files import file_digest
from fgvp_eval.machine import progress as progress_module
from fgvp_eval.machine.progress import Progress, duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that Progress sees."""
    now = [0.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    return now


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make stderr a terminal, on which bars appear at once.

    Called by the test itself, since pytest exchanges the streams after the fixtures.
    """
    stream = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress_module, "_SECONDS_UNTIL_BAR", 0.0)
    return stream


def test_logs_get_lines_with_rate_and_time_left(clock, caplog) -> None:
    with caplog.at_level(logging.INFO, "fgvp_eval"), Progress("refcoco_val", 600) as progress:
        for clock[0], count in ((4.0, 100), (11.0, 120), (15.0, 80), (22.0, 200), (30.0, 100)):
            progress.add(count)
    assert caplog.messages == [
        "refcoco_val: 220 of 600 sentences, 20.0/s, 19 s left",
        "refcoco_val: 500 of 600 sentences, 22.7/s, 4 s left",
        "refcoco_val: 600 sentences in 30 s, 20.0/s",
    ]


def test_bytes_are_told_in_megabytes_and_what_was_there_has_no_rate(clock, caplog) -> None:
    with caplog.at_level(logging.INFO, "fgvp_eval"), Progress("sam.pth", None, "byte") as progress:
        clock[0] = 10.0
        progress.add(20_000_000)
        progress.expect(400_000_000, 200_000_000)  # resumed
        clock[0] = 20.0
        progress.add(20_000_000)
    assert caplog.messages == [
        "sam.pth: 20.0 MB, 2.0 MB/s",
        "sam.pth: 220.0 of 400.0 MB, 2.0 MB/s, 2 min left",
        "sam.pth: 220.0 of 400.0 MB in 20 s, 2.0 MB/s",
    ]


def test_images_are_counted_and_their_bytes_have_a_rate(clock, caplog) -> None:
    with caplog.at_level(logging.INFO, "fgvp_eval"), Progress("testA", 90, "image") as progress:
        clock[0] = 5.0
        progress.add_bytes(30_000_000)
        clock[0] = 12.0
        progress.add(6)
    assert caplog.messages == [
        "testA: 6 of 90 images, 30.0/min, 2.5 MB/s, 3 min left",
        "testA: 6 of 90 images in 12 s, 30.0/min, 2.5 MB/s",
    ]


def test_a_short_step_says_nothing(clock, caplog, tmp_path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    with caplog.at_level(logging.INFO, "fgvp_eval"):
        assert file_digest(path, "md5") == "900150983cd24fb0d6963f7d28e17f72"
    assert caplog.messages == []


def test_terminals_get_a_bar_and_log_lines_above_it(monkeypatch, caplog) -> None:
    terminal, logger = on_terminal(monkeypatch), logging.getLogger("fgvp_eval")
    handler = logging.StreamHandler(terminal)
    logger.addHandler(handler)
    try:
        with caplog.at_level(logging.INFO, "fgvp_eval"), Progress("demo", 4) as progress:
            progress.add(2)
            logger.warning("not scored")
            progress.add(2)
    finally:
        logger.removeHandler(handler)
    written = terminal.getvalue()
    assert "demo: 100%" in written
    assert "4/4" in written
    assert "\rnot scored\n" in written  # at the beginning of a line that was cleared


@pytest.mark.parametrize(
    ("level", "kind"), [(logging.WARNING, "xterm"), (logging.INFO, "dumb")], ids=["rank 1", "dumb"]
)
def test_no_bar(monkeypatch, caplog, level, kind) -> None:
    terminal = on_terminal(monkeypatch)
    monkeypatch.setenv("TERM", kind)
    with caplog.at_level(level, "fgvp_eval"), Progress("demo", 4) as progress:
        progress.add(4)
    assert terminal.getvalue() == ""


def test_a_terminal_without_a_width_gets_lines(monkeypatch, caplog) -> None:
    terminal = on_terminal(monkeypatch)
    monkeypatch.setattr(terminal, "fileno", lambda: 2)
    monkeypatch.setattr("os.get_terminal_size", lambda descriptor: os.terminal_size((0, 0)))
    monkeypatch.setattr(progress_module, "_SECONDS_BETWEEN_LINES", 0.0)
    with caplog.at_level(logging.INFO, "fgvp_eval"), Progress("demo", 4) as progress:
        progress.add(2)
    assert terminal.getvalue() == ""
    assert caplog.messages[0].startswith("demo: 2 of 4 sentences")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (61, "1 min"), (3590, "1 h 0 min"), (7500, "2 h 5 min")],
)
def test_durations_are_those_a_person_says(seconds, text) -> None:
    assert duration(seconds) == text
