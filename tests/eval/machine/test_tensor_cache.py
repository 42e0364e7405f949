import logging
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from fgvp_eval.machine.tensor_cache import TensorCache

CPU = torch.device("cpu")
KEY = "ab" * 32
VALUES = torch.arange(12, dtype=torch.float32).reshape(3, 4) / 7


def stored(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_what_was_stored_comes_back_bit_by_bit(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"no text \xff")
    cache = TensorCache(folder, "tensors")
    assert cache.load(KEY, CPU) is None
    for values in (VALUES, VALUES.half(), VALUES.bfloat16().T):
        cache.store(KEY, values)
        loaded = cache.load(KEY, CPU)
        assert loaded is not None
        assert torch.equal(loaded, values)
        assert loaded.dtype == values.dtype
    assert [path.name for path in stored(folder)] == [f"{KEY}.safetensors"]


@pytest.mark.parametrize("damage", ["cut", "a bit", "empty", "foreign", "no checksum"])
def test_a_damaged_file_counts_as_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    cache = TensorCache(tmp_path, "tensors")
    cache.store(KEY, VALUES)
    (path,) = stored(tmp_path)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    damaged = {
        "cut": content[:-8],
        "a bit": content,
        "empty": b"",
        "foreign": b"\0" * 100,
        "no checksum": save({"tensor": VALUES}),
    }
    path.write_bytes(damaged[damage])
    assert cache.load(KEY, CPU) is None
    (message,) = caplog.messages
    assert message.startswith(f"{path} is damaged and made anew: ")
    cache.store(KEY, VALUES)
    assert cache.load(KEY, CPU) is not None


def test_a_sound_file_under_the_name_of_another_counts_as_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = TensorCache(tmp_path, "tensors")
    cache.store(key(1), VALUES)
    cache.store(key(2), VALUES + 1)
    one, two = stored(tmp_path)
    two.write_bytes(one.read_bytes())
    assert cache.load(key(2), CPU) is None
    (message,) = caplog.messages
    assert message == f"{two} is damaged and made anew: its checksum differs"
    loaded = cache.load(key(1), CPU)
    assert loaded is not None
    assert torch.equal(loaded, VALUES)


def key(number: int) -> str:
    return f"{number:02x}" * 32


def age(folder: Path, seconds: float) -> None:
    for number, path in enumerate(stored(folder)):
        used = path.stat().st_mtime - seconds + number
        os.utime(path, (used, used))


def test_what_was_used_least_lately_makes_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    values = torch.zeros(1000)  # 4000 bytes, and the header
    early = TensorCache(tmp_path, "tensors", 20_000)
    for number in range(4):
        early.store(key(number), values)
    age(tmp_path, 1000.0)
    cache = TensorCache(tmp_path, "tensors", 20_000)
    assert cache.load(key(0), CPU) is not None
    cache.store(key(4), values)
    cache.store(key(5), values)
    assert [number for number in range(6) if cache.load(key(number), CPU) is not None] == [
        0,
        3,
        4,
        5,
    ]
    assert not caplog.messages
    # All of these are in use, so that nothing goes and nothing comes.
    cache.store(key(6), values)
    cache.store(key(7), values)
    (message,) = caplog.messages
    assert "are no longer kept" in message
    assert "limit of 20000 bytes" in message
    assert cache.load(key(7), CPU) is None
    assert sum(path.stat().st_size for path in stored(tmp_path)) <= 20_000


def test_what_a_killed_process_left_makes_room_as_well(tmp_path: Path) -> None:
    (tmp_path / "00").mkdir()
    (tmp_path / "00" / f".{key(0)}.safetensors.f00").write_bytes(b"\0" * 9000)
    age(tmp_path, 1000.0)
    cache = TensorCache(tmp_path, "tensors", 10_000)
    cache.store(key(1), torch.zeros(1000))
    assert [path.name for path in stored(tmp_path)] == [f"{key(1)}.safetensors"]


def test_folder_that_cannot_be_written_ends_the_storing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    cache = TensorCache(tmp_path / "file" / "cache", "tensors", 10_000)
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            cache.store(key(number), VALUES)
    assert len(caplog.messages) == 1
