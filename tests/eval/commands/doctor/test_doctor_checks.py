"""Each check of the doctor on an installation that is sound, and on one that is not."""

from __future__ import annotations

from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import ndimage

from fgvp_eval.commands.doctor import backends, clip_checks, environment, machine, storage, versions
from fgvp_eval.encoding.clip_models import PictureSpec, load_clips

CPU = torch.device("cpu")
GIB = 1 << 30


# Backends


@pytest.mark.parametrize("sigma", [3.0, 100.0])
def test_the_gaussian_of_the_smoke_test_is_one(sigma):
    levels = np.random.default_rng(0).uniform(0, 255, (9, 14, 3))
    weights = np.exp(-0.5 * (np.arange(-900, 901) / sigma) ** 2)
    expected = levels
    for axis in (0, 1):
        expected = ndimage.convolve1d(expected, weights / weights.sum(), axis, mode="nearest")
    assert np.abs(backends.dense_gaussian(levels, sigma) - expected).max() < 1e-9


def test_every_backend_that_can_run_draws_right(device):
    for line in backends.backend_lines(device):
        assert line.state == "ok", line
        assert "9 prompts" in line.reason


def test_a_backend_that_cannot_run_says_why(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    line = backends.backend_lines(CPU)[1]
    assert (line.what, line.state) == ("triton", "not checked")
    assert "TRITON_INTERPRET=1" in line.reason


@pytest.mark.parametrize("value", [float("nan"), 0.9])
def test_wrong_pictures_fail(monkeypatch, value):
    def wrong(image, masks, mode, **options):
        drawn = right(image, masks, mode, **options)
        drawn[0, 0, 0, 0] += value / 255  # of one value only
        return drawn

    right = backends.render_batch
    monkeypatch.setattr(backends, "render_batch", wrong)
    line = backends.backend_lines(CPU)[0]
    assert line.state == "failed"
    assert "tint inside" in line.reason


def test_a_backend_that_raises_fails(monkeypatch):
    def raising(*arguments, **options):
        raise RuntimeError("CUDA error:\n no kernel image")

    monkeypatch.setattr(backends, "render_batch", raising)
    line = backends.backend_lines(CPU)[0]
    assert (line.state, line.reason) == ("failed", "RuntimeError: CUDA error: no kernel image")


# CLIP


@pytest.mark.parametrize(
    ("name", "state", "reason"),
    [
        ("demo", "ok", ""),
        ("ViT-B-32-quickgelu:openai", "ok", ""),
        ("ViT-B-32:openai", "failed", "use ViT-B-32-quickgelu:openai"),
        ("ViT-B-33:openai", "failed", "did you mean"),
        ("ViT-B-32:/none/weights.pt", "warning", "expected at /none/weights.pt"),
        (f"ViT-B-32:{__file__}", "not checked", "does not say whether it needs QuickGELU"),
    ],
)
def test_names_of_clips(name, state, reason):
    (line,) = clip_checks.name_lines(name)
    assert line.state == state
    assert reason in line.reason


def test_the_demo_clip_sees_what_it_should():
    lines = clip_checks.model_lines("demo", CPU)
    assert [line.state for line in lines] == ["ok"] * 5
    assert "of 51 choices differ" in lines[-1].value


def test_another_mean_is_found_out():
    (clip,) = load_clips("demo", CPU, "fp32")
    size = clip.pictures.size
    other = replace(clip, pictures=PictureSpec(size, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))
    lines = clip_checks.preprocessing_lines(other, CPU)
    assert [line.state for line in lines] == ["failed"] * 4


def test_a_model_that_resizes_in_another_way_is_no_failure(monkeypatch):
    right = clip_checks.image_transform_v2
    monkeypatch.setattr(
        clip_checks,
        "image_transform_v2",
        lambda config, is_train: right(replace(config, interpolation="bilinear"), is_train),
    )
    (clip,) = load_clips("demo", CPU, "fp32")
    lines = clip_checks.preprocessing_lines(replace(clip, interpolation="bilinear"), CPU)
    assert [line.state for line in lines] == ["ok"] * 4


def test_swapped_channels_are_found_out(monkeypatch):
    right = clip_checks.render_batch
    monkeypatch.setattr(clip_checks, "render_batch", lambda *a, **k: right(*a, **k).flip(1))
    (clip,) = load_clips("demo", CPU, "fp32")
    lines = clip_checks.preprocessing_lines(clip, CPU)
    assert [line.state for line in lines] == ["failed"] * 4


def test_many_flips_are_a_warning(monkeypatch):
    answers = iter([[0, 1, 2, 0], [0, 1, 2, 1]])
    monkeypatch.setattr(clip_checks, "_choices", lambda clip, device: next(answers))
    line = clip_checks.model_lines("demo", CPU)[-1]
    assert (line.state, line.value) == ("warning", "1 of 4 choices differ (25.0 %)")


def test_a_cpu_without_half_precision_is_not_checked(monkeypatch):
    def choices(clip, device):
        raise RuntimeError("\"conv\" not implemented for 'Half'")

    monkeypatch.setattr(clip_checks, "_choices", choices)
    line = clip_checks.model_lines("demo", CPU)[-1]
    assert line.state == "not checked"
    assert line.reason.startswith("needs a GPU; this CPU: ")


@pytest.mark.parametrize(
    ("content", "state", "reason"),
    [(None, "not checked", "see above"), (b"no weights", "failed", "do not load as ViT-B-32")],
)
def test_weights_files_that_do_not_load(tmp_path, content, state, reason):
    path = tmp_path / "weights.pt"
    if content is not None:
        path.write_bytes(content)
    (line,) = clip_checks.model_lines(f"ViT-B-32:{path}", CPU)
    assert line.state == state
    assert reason in line.reason


def test_weights_that_were_never_downloaded_are_a_warning(monkeypatch):
    monkeypatch.setattr(clip_checks, "has_local_weights", lambda name: False)
    (line,) = clip_checks.model_lines("ViT-B-32-quickgelu:openai", CPU)
    assert (line.value, line.state) == ("weights missing", "warning")


# Weights, data, caches, disks


def test_sam_checkpoints(tmp_path):
    (line,) = storage.weights_lines("vit_b", tmp_path)
    assert line.state == "warning"
    assert str(tmp_path / "weights" / "sam_vit_b_01ec64.pth") in line.reason
    path = tmp_path / "weights" / "sam_vit_b_01ec64.pth"
    path.parent.mkdir()
    path.write_bytes(bytes(1500))
    (line,) = storage.weights_lines("vit_b", tmp_path)
    assert (line.state, line.value) == ("ok", f"{path}, 1.5 kB")
    assert storage.weights_lines("demo", tmp_path)[0].state == "ok"


def test_data_that_are_there_and_data_that_are_not(root):
    root.save(detections=root.detections())
    lines = {line.what: line for line in storage.data_lines(root.path)}
    assert lines["refcoco+"].value == "annotations of val, testA, testB"
    assert lines["refcoco+"].state == "ok"
    assert lines["refcoco"].state == "warning"
    assert lines["refcoco"].reason == "python -m fgvp_eval.data get refcoco_all, if it is wanted"
    assert lines["images/train2014"].value == "3 files"
    (line,) = storage.data_lines(root.path / "nowhere")
    assert (line.what, line.state) == ("data root", "warning")


def test_caches_have_a_size(tmp_path, monkeypatch):
    monkeypatch.setenv("FGVP_CACHE_DIR", str(tmp_path))
    (tmp_path / "sam-embeddings" / "ab").mkdir(parents=True)
    (tmp_path / "sam-embeddings" / "ab" / "cd").write_bytes(bytes(2000))
    lines = storage.cache_lines()
    assert [line.value for line in lines[:2]] == [
        f"{tmp_path}, 2.0 kB",
        f"{tmp_path / 'sam-embeddings'}, 2.0 kB",
    ]
    monkeypatch.setattr(storage, "_SECONDS_OF_A_FOLDER", -1.0)
    assert "more than 2.0 kB" in storage.cache_lines()[0].value


@pytest.mark.parametrize(("kind", "state"), [("ext4", "ok"), ("nfs4", "warning")])
def test_a_triton_cache_on_a_network_file_system_is_a_warning(tmp_path, monkeypatch, kind, state):
    pytest.importorskip("triton")
    mounts = tmp_path / "mounts"
    (tmp_path / "a b").mkdir()
    inner = str(tmp_path / "a b").replace(" ", "\\040")
    mounts.write_text(f"/dev/x / ext4 rw 0 0\nserver:/x {inner} {kind} rw 0 0\n")
    monkeypatch.setattr(storage, "_MOUNTS", mounts)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "a b" / "cache"))
    (line,) = (line for line in storage.cache_lines() if line.what == "Triton")
    assert line.state == state
    assert storage.file_system(Path("/")) == "ext4"
    monkeypatch.setattr(storage, "_MOUNTS", tmp_path / "none")
    assert storage.file_system(tmp_path) is None


@pytest.mark.parametrize(("free", "state"), [(20e9, "ok"), (2e9, "warning")])
def test_a_full_disk_is_a_warning(tmp_path, monkeypatch, free, state):
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda place: SimpleNamespace(free=free))
    assert {line.state for line in storage.room_lines(tmp_path / "new" / "folder")} == {state}


# Versions and devices


def test_versions_are_held_against_what_is_needed(monkeypatch):
    real = metadata.version
    monkeypatch.setattr(
        versions.metadata, "requires", lambda name: ["torch>=99", "nothing>=1; extra == 'x'"]
    )
    lines = {line.what: line for line in versions.version_lines()}
    assert (lines["torch"].state, lines["torch"].reason) == ("failed", "needed: >=99")
    assert lines["numpy"].state == "not checked"
    assert lines["numpy"].value == real("numpy")


def test_packages_that_are_missing(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    def no_parser():
        raise versions.UsageError("relations need spaCy, which is not installed")

    monkeypatch.setattr(versions, "load_parser", no_parser)
    monkeypatch.setattr(versions.metadata, "requires", lambda name: ["torch>=2.11"])
    monkeypatch.setattr(versions.metadata, "version", missing)
    lines = {line.what: line for line in versions.version_lines()}
    assert (lines["torch"].state, lines["torch"].reason) == (
        "failed",
        "needed: pip install 'torch>=2.11'",
    )
    assert lines["triton"].state == "ok"
    assert lines["fgvp-kernels"].state == "warning"
    assert lines["spaCy"].state == "warning"


@pytest.mark.parametrize(
    ("built", "reason"), [(None, "built without CUDA"), ("13.0", "too old for CUDA 13.0")]
)
def test_a_gpu_that_torch_does_not_see_is_a_warning(monkeypatch, built, reason):
    monkeypatch.setattr(machine, "driver_version", lambda: "550.54")
    monkeypatch.setattr(machine.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(machine.torch.version, "cuda", built)
    line = machine.device_lines("cpu")[0]
    assert (line.what, line.state) == ("GPU", "warning")
    assert reason in line.reason


@pytest.mark.parametrize(
    ("capability", "state"), [((9, 0), "ok"), ((7, 0), "warning"), (None, "failed")]
)
def test_gpus(monkeypatch, capability, state):
    def facts(index):
        if capability is None:
            raise RuntimeError("device is lost")
        return SimpleNamespace(name="H100", major=capability[0], minor=capability[1])

    monkeypatch.setattr(machine.torch.version, "hip", None)
    monkeypatch.setattr(machine.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(machine.torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(machine.torch.cuda, "get_device_properties", facts)
    monkeypatch.setattr(machine.torch.cuda, "mem_get_info", lambda index: (70 * GIB, 80 * GIB))
    line = machine.device_lines("cpu")[0]
    assert (line.what, line.state) == ("GPU 0", state)
    if state == "ok":
        assert line.value == "H100, 70.0 of 80.0 GiB free, sm_90"


def test_only_variables_of_the_list_are_shown(monkeypatch):
    for name in list(environment.os.environ):
        monkeypatch.delenv(name)
    assert environment.variable_lines()[0].value == "none is set"
    for name in ("FGVP_DATA_ROOT", "HF_HOME", "HF_TOKEN", "OMP_NUM_THREADS", "PATH"):
        monkeypatch.setenv(name, "x")
    shown = [line.what for line in environment.variable_lines()]
    assert shown == ["FGVP_DATA_ROOT", "HF_HOME", "OMP_NUM_THREADS"]
