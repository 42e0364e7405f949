from collections.abc import Iterator
from typing import Any

import pytest
import torch

from fgvp_eval.errors import UsageError
from fgvp_eval.machine.devices import choose_device, use_one_thread

CPU = torch.device("cpu")


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("variable", "threads"), [("", 1), ("2", 2)])
def test_one_thread_unless_the_user_says_how_many(
    monkeypatch: pytest.MonkeyPatch, variable: str, threads: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    use_one_thread(CPU)
    assert torch.get_num_threads() == threads


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("sam", "threads"), [("demo", 1), ("vit_b:none.pth", 2)])
def test_runs_of_small_models_take_one(
    run: Any, root: Any, monkeypatch: pytest.MonkeyPatch, sam: str, threads: int
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    root.save()
    run("--split", "refcoco+_testA", "--sam", sam, "--clip", "demo", "--data-root", root.path)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(("rank", "index"), [(0, 0), (5, 1)])
def test_each_process_gets_a_gpu_of_its_own(
    monkeypatch: pytest.MonkeyPatch, rank: int, index: int
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch, "ones", lambda *_, **__: torch.zeros(1))
    assert choose_device("auto", rank) == torch.device("cuda", index)
    assert choose_device("cuda:3", rank) == torch.device("cuda", 3)
    assert choose_device("cpu", rank) == CPU


@pytest.mark.parametrize(
    "name", ["tpu9", "", "meta", "hpu", "mkldnn", "privateuseone", "cpu:1", "cpu:99999", "cuda:-1"]
)
def test_device_that_does_not_compute(name: str, recwarn: pytest.WarningsRecorder) -> None:
    with pytest.raises(UsageError, match=f"--device {name} cannot be used: "):
        choose_device(name)
    assert not recwarn.list
