"""What is kept between calls: how much, for how long, and safely for other streams."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from fgvp_kernels import RenderOptions, device_tables, render_batch
from fgvp_kernels.device_tables import HOST, TableCache
from triton_cases import loops_work, scene

GPU = torch.device("cuda", 0)
KB = 1024


def table(kilobytes=1):
    return torch.zeros(kilobytes * KB, dtype=torch.uint8)


@pytest.fixture
def caches(monkeypatch):
    """No tables of other tests, and at most 1 MB for each device."""
    monkeypatch.setattr(device_tables, "_CACHES", {})
    monkeypatch.setenv("FGVP_TABLE_CACHE_MB", "1")
    return device_tables._CACHES


def test_the_least_recently_used_goes_first():
    cache = TableCache(HOST, 10 * KB)
    for key in "abc":
        cache.get(key, lambda: table(3))
    cache.get("a", lambda: None)
    cache.get("d", lambda: table(3))
    assert [cache.has(key) for key in "abcd"] == [True, False, True, True]
    cache.get("e", lambda: table(11))  # more than there is room for
    assert cache.bytes == 0


def test_every_byte_counts_once_and_as_long_as_it_is_held():
    cache, shared = TableCache(HOST, 100 * KB), table(40)
    cache.get("whole", lambda: shared)
    assert 40 * KB <= cache.bytes < 42 * KB
    cache.get("part", lambda: {"view": [shared[KB:]], "array": np.zeros((3, KB), np.uint8)})
    assert 43 * KB <= cache.bytes < 46 * KB
    cache.get(("key", bytes(30 * KB)), lambda: None)
    assert 73 * KB <= cache.bytes < 77 * KB
    cache.get("more", lambda: table(55))  # drops all but the newest: "part" holds the shared one
    assert [cache.has(key) for key in ("whole", "part", "more")] == [False, False, True]
    assert 55 * KB <= cache.bytes < 56 * KB + 30 * KB + KB


def test_small_tables_do_not_count_as_nothing():
    cache = TableCache(HOST, 20 * KB)
    for number in range(1000):
        cache.get(("offsets", number), lambda: torch.zeros(1))
    assert len(cache._entries) < 200


def test_a_capture_reads_what_is_there_and_keeps_it(monkeypatch):
    cache = TableCache(HOST, 4 * KB)
    monkeypatch.setattr(cache, "on_gpu", True)
    monkeypatch.setattr(cache, "_use", lambda entry: None)
    monkeypatch.setattr(torch.cuda, "Event", lambda: FakeEvent())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    monkeypatch.setattr(device_tables, "_stream_address", lambda device: 0)
    cache.get("a", lambda: 1)
    with monkeypatch.context() as capturing:
        capturing.setattr(device_tables, "is_capturing", lambda device: True)
        assert cache.get("a", lambda: 2) == 1
        with pytest.raises(RuntimeError, match="render_batch once in the same way, then capture"):
            cache.get("b", lambda: 2)
    for key in "bcd":
        cache.get(key, lambda: table(3))
    assert cache.get("a", lambda: 2) == 1
    assert not cache.has("b")


class FakeEvent:
    arrived = False

    def record(self, stream):
        pass

    def query(self):
        return self.arrived


class FakeStream:
    def __init__(self):
        self.waits = []

    def wait_event(self, event):
        self.waits.append(event)


@pytest.fixture
def streams(monkeypatch):
    """Streams, of which the last of ``current`` is in use, and the tables recorded on them."""
    current, recorded = [FakeStream()], []
    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: current[-1])
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.setattr(device_tables, "_stream_address", lambda device: id(current[-1]))
    return current, recorded


def test_another_stream_waits_until_a_table_has_arrived(streams, monkeypatch):
    (stream,), _ = streams
    cache = TableCache(GPU, KB)
    for _ in range(3):
        assert cache.get("a", lambda: 1) == 1
    assert len(stream.waits) == 2
    monkeypatch.setattr(FakeEvent, "arrived", True)
    for _ in range(2):
        cache.get("a", lambda: 1)
    assert len(stream.waits) == 2


def test_every_stream_that_uses_tables_is_recorded_once(streams, monkeypatch):
    current, recorded = streams

    class Table:
        device = GPU

        def record_stream(self, stream):
            recorded.append((self, stream))

    tables = [Table(), Table()]
    monkeypatch.setattr(device_tables, "_footprint", lambda value: (1, {}, tables))
    cache = TableCache(GPU, KB)
    cache.get("a", lambda: 1)
    cache.get("a", lambda: 1)
    assert recorded == []  # on the stream that made them nothing is to be recorded
    current.append(FakeStream())
    for _ in range(2):
        cache.get("a", lambda: 1)
    assert recorded == [(table, current[-1]) for table in tables]


@pytest.mark.gpu
def test_memory_of_a_dropped_table_waits_for_the_stream_that_reads_it():
    device, stream = torch.device("cuda", torch.cuda.current_device()), torch.cuda.Stream()
    cache = TableCache(device, 1 << 20)
    cache.get("a", lambda: torch.zeros(KB, device=device))
    with torch.cuda.stream(stream):
        address = cache.get("a", lambda: None).data_ptr()
        torch.cuda._sleep(100_000_000)
    cache.limit = 0
    cache.get("b", lambda: 1)
    assert not cache.has("a")
    assert torch.empty(KB, device=device).data_ptr() != address


@pytest.mark.parametrize("text", ["many", "-1", "nan", "inf"])
def test_a_limit_that_is_no_number_is_refused(text, caches, monkeypatch):
    monkeypatch.setenv("FGVP_TABLE_CACHE_MB", text)
    image, masks = scene(8, 9, 1, HOST)
    with pytest.raises(ValueError, match=f"FGVP_TABLE_CACHE_MB must be .*got '{text}'"):
        render_batch(image, masks, size=4, normalize="clip")


@pytest.mark.skipif(not loops_work(), reason="Triton's interpreter and NumPy disagree")
def test_batches_of_mixed_sizes_stay_within_the_limit(caches, device, monkeypatch):
    for module in ("drawing", "mask_bits", "products", "windows"):
        path = f"fgvp_kernels.triton_backend.{module}.launch"
        monkeypatch.setattr(path, lambda *arguments, **constants: None)
    generator = np.random.default_rng(0)
    for number in range(40):
        sizes = generator.integers(20, 200, (4, 2)).tolist()
        images = [torch.zeros(3, *size, dtype=torch.uint8, device=device) for size in sizes]
        masks = [torch.zeros(2, *size, dtype=torch.bool, device=device) for size in sizes]
        options = RenderOptions(sigma=float(number % 3))
        for order in ("resize_first", "render_first"):
            modes = ["blur_mask"] if number % 2 else ["blur_mask", "crop"]
            keywords = {"size": 64, "order": order, "options": options, "backend": "triton"}
            boxes = [[[1, 2, 15, 16], [3, 4, 20, 19]]] * 4
            render_batch(images, masks, modes, boxes=boxes, **keywords)
        for cache in caches.values():
            held = {}
            for entry in cache._entries.values():
                held |= entry.memory
            objects = sum(entry.objects for entry in cache._entries.values())
            assert cache.bytes == sum(held.values()) + objects
            assert cache.bytes <= 1 << 20


def test_boxes_from_the_host_of_many_images_are_kept(caches):
    boxes = [np.array([[0, 0, number, 1]], np.float32) for number in range(100)]
    first = [device_tables.content_tables([array], HOST) for array in boxes]
    again = [device_tables.content_tables([array], HOST) for array in boxes]
    assert all(one is other for one, other in zip(first, again, strict=True))


BLUR_OF_A_LARGE_PICTURE = """
import time, torch
from fgvp_kernels.triton_backend.products import make_blur
from fgvp_kernels.triton_backend.geometry import make_geometry
from fgvp_kernels.device_tables import _footprint
from fgvp_kernels.frames import Order, make_frame
start = time.process_time()
blur = make_blur(((3000, 4000),), "pil", 100.0, torch.device("cpu"))
seconds = time.process_time() - start
frame = make_frame((3000, 4000), (224, 224), Order.RENDER_FIRST, "squash")
geometry = make_geometry((frame,), torch.device("cpu"))
held = sum(_footprint((blur, geometry))[1].values())
assert geometry.resize is None
assert held < 8 << 20, held
assert seconds < 3, seconds
"""


def test_the_tables_of_a_large_picture_are_small_and_soon_made():
    pytest.importorskip("triton")
    subprocess.run([sys.executable, "-c", BLUR_OF_A_LARGE_PICTURE], check=True)
