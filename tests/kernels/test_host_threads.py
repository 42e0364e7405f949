"""Drawing on a CPU by a few threads: the same pictures, and no setting of the caller's changed."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from fgvp_kernels import RenderOptions, render_batch
from fgvp_kernels.torch_backend.host_threads import aten_threads, shared_out


@pytest.fixture
def on_threads():
    """Sets how many threads torch uses, until the test ends."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def scene(soft=False):
    """A picture and masks whose pictures at 112 are enough for several threads."""
    generator = torch.Generator().manual_seed(5)
    image = torch.randint(0, 256, (3, 150, 190), dtype=torch.uint8, generator=generator)
    masks = torch.rand(70, 150, 190, generator=generator) ** 2
    return image, masks if soft else masks > 0.5


def draw(order="resize_first", soft=False):
    return render_batch(*scene(soft), size=112, order=order, normalize="clip", dtype=torch.float16)


CASES = [("resize_first", False), ("render_first", False), ("resize_first", True)]


@pytest.mark.parametrize(("order", "soft"), CASES)
def test_threads_draw_the_same_pictures(order, soft, on_threads):
    on_threads(1)
    alone = draw(order, soft)
    on_threads(4)
    assert torch.equal(draw(order, soft), alone)
    with ThreadPoolExecutor(3) as callers:  # several callers at once
        for pictures in [callers.submit(draw, order, soft) for _ in range(6)]:
            assert torch.equal(pictures.result(), alone)
    with torch.inference_mode():
        assert torch.equal(draw(order, soft), alone)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(draw(order, soft), alone)
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize("fit", ["squash", "center_crop", "object_crop", "pad"])
def test_threads_leave_nothing_of_out_and_mix_no_modes(fit, on_threads):
    image, masks = scene()
    modes = ["none", "blur_reverse_mask", "mask", "blur_box_mask"]
    settings = {"size": 112, "dtype": torch.float16, "options": RenderOptions(fit=fit)}
    on_threads(1)
    alone = torch.stack([render_batch(image, masks, mode, **settings) for mode in modes])
    on_threads(4)
    out = torch.full_like(alone, float("nan"))
    assert torch.equal(render_batch(image, masks, modes, out=out, **settings), alone)


def test_one_thread_stays_one(on_threads, monkeypatch):
    on_threads(1)
    monkeypatch.setattr(threading.Thread, "start", lambda thread: pytest.fail("a thread started"))
    for case in CASES:
        draw(*case)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts threads in /proc")
@pytest.mark.parametrize("order", ["resize_first", "render_first"])
def test_no_openmp_threads_are_started_to_wait_for(order):
    """A region of OpenMP's would leave its threads behind."""
    script = (
        "import os, threading, time, numpy as np, torch; from fgvp_kernels import render_batch\n"
        "masks = np.zeros((40, 200, 300), bool); masks[:, 20:170, 30:250] = True\n"
        "image = np.zeros((200, 300, 3), np.uint8)\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        f"render_batch(image, masks, size=224, order='{order}', normalize='clip')\n"
        "[t.join() for t in threading.enumerate() if t is not threading.main_thread()]\n"
        "time.sleep(0.2)  # until the system has seen them end\n"
        "print(torch.get_num_threads() > 1, len(os.listdir('/proc/self/task')) - before)"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "4"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "0"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_draws(on_threads):
    """As a worker of a DataLoader does; OpenMP's threads do not survive a fork, and are missed."""
    on_threads(4)
    image, masks = scene()
    expected = render_batch(image, masks, size=112).numpy()

    def draw_again():
        sys.exit(0 if np.array_equal(render_batch(image, masks, size=112), expected) else 3)

    child = multiprocessing.get_context("fork").Process(target=draw_again)
    child.start()
    child.join(20)
    child.kill()
    assert child.exitcode == 0


def test_aten_threads_bound_this_thread_alone(on_threads):
    on_threads(4)

    def in_a_new_thread():
        with ThreadPoolExecutor(1) as other:
            return other.submit(torch.get_num_threads).result()

    def fail_on_two():
        with aten_threads(2):
            assert torch.get_num_threads() == 2
            assert in_a_new_thread() == 4
            with aten_threads(3):  # at most
                assert torch.get_num_threads() == 2
            raise KeyError

    with pytest.raises(KeyError):
        fail_on_two()
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize("threads", [1, 3])
def test_pieces_are_done_once_and_errors_raised(threads):
    done, caller = [], threading.get_ident()
    with shared_out(lambda piece: done.append((piece, threading.get_ident())), range(50), threads):
        pass
    assert sorted(piece for piece, _ in done) == list(range(50))
    assert len({thread for _, thread in done} - {caller}) < threads

    def fail(piece):
        raise LookupError(piece)

    with pytest.raises(LookupError), shared_out(fail, range(50), threads):
        pass
    with pytest.raises(KeyError), shared_out(done.append, range(50), 1):
        raise KeyError
    assert len(done) == 50  # what the block's error left undone stays so
