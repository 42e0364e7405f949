"""What the package promises as a whole: a small surface, a light import, bounded memory."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

import fgvp_kernels


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_public_names():
    assert sorted(fgvp_kernels.__all__) == [
        "MaskLogits",
        "Mode",
        "PackedMasks",
        "RenderOptions",
        "__version__",
        "algorithm_version",
        "available_backends",
        "render_batch",
    ]


def test_import_prints_nothing_and_needs_neither_triton_nor_a_gpu():
    output = run(
        """
        import sys
        sys.modules["triton"] = None  # any import of triton would raise
        import torch
        torch.cuda.init = torch.cuda._lazy_init = None
        import fgvp_kernels
        for heavy in ("fgvp_eval", "open_clip", "kornia", "segment_anything", "scipy"):
            assert heavy not in sys.modules, heavy
        image = torch.zeros(3, 8, 8, dtype=torch.uint8)
        fgvp_kernels.render_batch(image, torch.ones(1, 8, 8, dtype=torch.bool), size=4)
        assert "torch" in fgvp_kernels.available_backends()
        """
    )
    assert output == ""


def test_a_backend_that_cannot_run_says_why():
    output = run(
        """
        import os
        os.environ.pop("TRITON_INTERPRET", None)
        import torch, fgvp_kernels
        image, masks = torch.zeros(3, 8, 8, dtype=torch.uint8), torch.ones(1, 8, 8)
        assert fgvp_kernels.render_batch(image, masks, size=4).shape == (1, 3, 4, 4)
        try:
            fgvp_kernels.render_batch(image, masks, size=4, backend="triton")
        except RuntimeError as error:
            print(error)
        """
    )
    assert "backend 'triton' is not available: the images are on the CPU" in output


@pytest.mark.parametrize("form", ["dense", "rle"])
def test_a_thousand_masks_of_a_large_image_stay_within_two_gigabytes(form):
    peak, floor = map(
        int,
        run(
            f"""
            import resource, torch, fgvp_kernels
            image = torch.randint(0, 256, (3, 3000, 4000), dtype=torch.uint8)
            if {form == "dense"}:
                # One mask seen a thousand times: a thousand of them would not fit in memory.
                masks = torch.zeros(1, 3000, 4000, dtype=torch.bool)
                masks[:, 1000:1400, 2000:2600] = True
                masks = masks.expand(1000, -1, -1)
            else:
                counts = [2000 * 3000 + 1000, 400, 12_000_000 - 2000 * 3000 - 1400]
                masks = [{{"size": [3000, 4000], "counts": counts}}] * 1000
            small = torch.ones(1, 64, 64, dtype=torch.bool)
            fgvp_kernels.render_batch(image[:, :64, :64], small, size=8)
            out = torch.zeros(1000, 3, 64, 64, dtype=torch.uint8)
            floor = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            fgvp_kernels.render_batch(image, masks, size=64, out=out)
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, floor)
            """
        ).split(),
    )
    assert (peak - floor) * 1024 < 2e9
