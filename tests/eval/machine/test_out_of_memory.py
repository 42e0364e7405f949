import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fgvp_eval.demo import models as demo_models
from fgvp_eval.encoding import prompt_pictures
from fgvp_eval.machine.out_of_memory import ShrinkingBatch, is_out_of_memory
from fgvp_kernels import render_batch


def doubling(most: int, calls: list[int], error: type[Exception] = torch.OutOfMemoryError) -> Any:
    """Doubles ten numbers, at most so many at a time."""

    def work(part: slice) -> torch.Tensor:
        numbers = torch.arange(10)[part]
        calls.append(len(numbers))
        if len(numbers) > most:
            raise error("DefaultCPUAllocator: can't allocate memory")
        return 2 * numbers

    return work


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError, MemoryError])
def test_batches_are_halved_until_they_fit(
    error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []
    batch = ShrinkingBatch(8, "numbers")
    with caplog.at_level(logging.WARNING):
        results = batch.run(doubling(3, calls, error), 10)
    assert torch.cat(results).tolist() == list(range(0, 20, 2))
    assert calls == [8, 4, 2, 2, 2, 2, 2]
    assert caplog.messages == [
        "out of memory with 8 numbers at once; going on with 4",
        "out of memory with 4 numbers at once; going on with 2",
    ]
    calls.clear()
    batch.run(doubling(3, calls), 4)
    assert calls == [2, 2]


def test_what_was_done_before_is_kept() -> None:
    calls: list[int] = []
    work = doubling(10, calls)

    def later(part: slice) -> torch.Tensor:
        result: torch.Tensor = work(part)
        if part.start == 4 and part.stop - part.start == 4:
            raise torch.OutOfMemoryError("full")
        return result

    results = ShrinkingBatch(4, "numbers").run(later, 10)
    assert torch.cat(results).tolist() == list(range(0, 20, 2))
    assert calls == [4, 4, 2, 2, 2]


def test_one_item_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        ShrinkingBatch(4, "numbers").run(doubling(0, []), 10)


def test_other_errors_are_not_caught() -> None:
    def work(_: slice) -> torch.Tensor:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        ShrinkingBatch(4, "numbers").run(work, 10)
    assert not is_out_of_memory(ValueError("DefaultCPUAllocation"))


def test_nothing_to_do() -> None:
    assert ShrinkingBatch(4, "numbers").run(doubling(4, []), 0) == []


def encoding_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """CLIP has memory for two pictures."""
    load = demo_models.load_demo_clip

    def load_greedy(device: torch.device) -> Any:
        model, tokenizer = load(device)
        encode = model.encode_image

        def greedy(pictures: torch.Tensor) -> torch.Tensor:
            if len(pictures) > 2:
                raise torch.OutOfMemoryError("out of memory")
            features: torch.Tensor = encode(pictures)
            return features

        model.encode_image = greedy
        return model, tokenizer

    monkeypatch.setattr(demo_models, "load_demo_clip", load_greedy)


def drawing_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The renderer has memory for two candidates."""

    def greedy(images: Any, masks: Any, *args: Any, **options: Any) -> torch.Tensor:
        if sum(map(len, masks)) > 2:
            raise MemoryError("Unable to allocate 1.00 TiB")
        return render_batch(images, masks, *args, **options)

    monkeypatch.setattr(prompt_pictures, "render_batch", greedy)


@pytest.mark.parametrize("short_of_memory", [encoding_few, drawing_few])
@pytest.mark.usefixtures("random_models")
def test_run_goes_on_with_smaller_batches(
    run: Any, root: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short_of_memory: Any
) -> None:
    root.save(root.detections())
    words = ("--split", "refcoco+_testA", "--sam", "demo", "--clip", "demo")
    words = (*words, "--data-root", root.path, "--modes", "crop,D4,none")
    assert run(*words, "--batch-size", "2", "--out", "small")[0] == 0
    short_of_memory(monkeypatch)
    code, _, err = run(*words, "--batch-size", "9", "--out", "large")
    assert code == 0, err
    assert "out of memory with 9 pictures at once; going on with 5" in err
    assert "out of memory with 5 pictures at once; going on with 3" in err
    assert "out of memory with 3 pictures at once; going on with 2" in err
    files = [(tmp_path / name / "samples.jsonl").read_text() for name in ("small", "large")]
    scores = [
        np.array([json.loads(line)["scores"] for line in text.splitlines()]) for text in files
    ]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-5)
