import contextlib
import datetime
import os
import pickle
import resource
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fgvp_eval.data.safe_pickle import load_plain_pickle
from fgvp_eval.errors import DataError

PLAIN = [
    {"a": (1, 2.5, None, True), "b": {"x", "y"}, "c": b"\xff\x00", "d": frozenset({1}), "é": []}
]


class RunsOnLoad:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.marker),))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_of_every_protocol(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "plain.p"
    path.write_bytes(pickle.dumps(PLAIN, protocol=protocol))
    assert load_plain_pickle(path, "nowhere") == PLAIN


def test_text_of_python_2_is_latin1(tmp_path: Path) -> None:
    path = tmp_path / "python2.p"
    path.write_bytes(b"(lp0\nS'caf\\xe9'\np1\na.")  # pickle.dumps(['caf\xe9']) of Python 2
    assert load_plain_pickle(path, "nowhere") == ["café"]


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_code_is_refused_and_not_run(tmp_path: Path, protocol: int) -> None:
    path, marker = tmp_path / "code.p", tmp_path / "was_run"
    path.write_bytes(pickle.dumps([1, RunsOnLoad(marker)], protocol=protocol))
    with pytest.raises(
        DataError, match=r"code\.p holds code \((posix|nt)\.mkdir\).*nothing was run"
    ):
        load_plain_pickle(path, "nowhere")
    assert not marker.exists()


@pytest.mark.parametrize(
    "stream",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"(S'1'\nibuiltins\neval\n.",
        b"c__builtin__\ngetattr\n.",
        b"Psome id\n.",
        b"c__builtin__\nset\n.",  # the class itself
        b"c_codecs\nencode\n(S'x'\nS'rot13'\ntR.",
    ],
)
def test_other_ways_to_code_are_refused(tmp_path: Path, stream: bytes) -> None:
    path = tmp_path / "code.p"
    path.write_bytes(stream)
    with pytest.raises(DataError, match="holds code"):
        load_plain_pickle(path, "nowhere")


def test_objects_are_not_plain_data(tmp_path: Path) -> None:
    path = tmp_path / "date.p"
    path.write_bytes(pickle.dumps(datetime.date(2020, 1, 1)))
    with pytest.raises(DataError, match=r"datetime\.date"):
        load_plain_pickle(path, "nowhere")


@pytest.mark.parametrize("damage", ["empty", "cut", "text"])
def test_damaged_files_are_told_from_code(tmp_path: Path, damage: str) -> None:
    whole = pickle.dumps(PLAIN)
    path = tmp_path / "damaged.p"
    path.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "text": b"<html>"}[damage])
    with pytest.raises(
        DataError, match=r"damaged\.p is truncated or no pickle .*source: the shelf"
    ):
        load_plain_pickle(path, "the shelf")


def doubled(value: object, join: Callable[[object], object], times: int = 60) -> object:
    """Join a value to itself again and again: 2**60 values in 60 objects."""
    for _ in range(times):
        value = join(value)
    return value


def holding_itself() -> list[object]:
    value: list[object] = []
    value.append(value)
    return value


SENTENCES = [{"raw": "a"}] * 1000
REPEATING = {
    "lists": pickle.dumps(doubled([], lambda value: [value, value])),
    "tuples": pickle.dumps(doubled((), lambda value: (value, value))),
    "dicts": pickle.dumps(doubled({}, lambda value: {"a": value, "b": [value]})),
    "itself": pickle.dumps(holding_itself()),
    "sentences": pickle.dumps([{"sentences": SENTENCES} for _ in range(1000)]),
    # {t: 1} with t = (u, u), u = (v, v), ..., which would be hashed before anyone could look
    "key": b"})%bK\x01s." % b"".join(b"p%d\n0g%d\ng%d\n\x86" % (n, n, n) for n in range(60)),
}


@pytest.mark.parametrize("name", REPEATING)
def test_time_and_memory_go_with_the_size_of_the_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / "bomb.p"
    path.write_bytes(REPEATING[name])
    started = time.monotonic()
    with pytest.raises(DataError, match=r"bomb\.p repeats or holds itself"):
        load_plain_pickle(path, "the shelf")
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "stream",
    [
        b"]r\xff\xff\xff\x0f.",  # a memo of 2**28 entries
        b"]p99999999\n.",
        b"\x96" + (2**31).to_bytes(8, "little") + b".",  # room for 2**31 bytes
    ],
)
def test_no_room_is_made_on_the_word_of_a_file(tmp_path: Path, stream: bytes) -> None:
    path = tmp_path / "bomb.p"
    path.write_bytes(stream)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB
    with contextlib.suppress(DataError):  # some of it is sound
        load_plain_pickle(path, "the shelf")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


def test_parts_may_be_shared(tmp_path: Path) -> None:
    path = tmp_path / "shared.p"
    sentences = [{"raw": "a", "box": ((1, 2), (3, 4))}]
    content = [{"split": name, "sentences": sentences} for name in "ab"]
    path.write_bytes(pickle.dumps(content, protocol=2))
    assert load_plain_pickle(path, "nowhere") == content


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.p is missing; source: the shelf"):
        load_plain_pickle(tmp_path / "absent.p", "the shelf")
