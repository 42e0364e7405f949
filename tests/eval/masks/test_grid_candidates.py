"""Candidate masks from SAM's grid: small regions removed, embeddings of whole images kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from fgvp_eval.machine.stage_times import StageTimes
from fgvp_eval.masks import by_grid
from fgvp_eval.masks.embedding_cache import EmbeddingCache
from fgvp_eval.masks.sam_models import load_sam
from fgvp_eval.tasks.parts.grid_candidates import GridCandidates

CPU = torch.device("cpu")
PICTURE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def candidates(tmp_path: Path, clean_area: float, cache: EmbeddingCache | None) -> GridCandidates:
    sam = load_sam("demo", CPU, tmp_path)
    settings = by_grid.DEMO_GRID
    return GridCandidates(sam, settings, StageTimes(CPU), clean_area=clean_area, cache=cache)


@pytest.mark.usefixtures("random_models", "coarse_grid")
def test_small_regions_are_removed(tmp_path: Path) -> None:
    pixels = 20  # at long side 64; 16² as many at SAM's 1024
    smallest = {}
    for area in (0, pixels * 16**2):
        masks = candidates(tmp_path, area, None).find(PICTURE, is_whole=False)
        assert len(masks)
        regions = [
            ndimage.label(region, np.ones((3, 3)))[0] for mask in masks for region in (mask, ~mask)
        ]
        smallest[area] = min(np.bincount(labels.ravel())[1:].min(initial=999) for labels in regions)
    assert smallest[0] < pixels <= smallest[pixels * 16**2]


@pytest.mark.usefixtures("random_models", "coarse_grid")
def test_embeddings_of_whole_images_only_are_kept(tmp_path: Path) -> None:
    source = candidates(tmp_path, 0, EmbeddingCache(tmp_path / "cache"))
    masks = source.find(PICTURE, is_whole=False)
    assert not (tmp_path / "cache").exists()
    for _ in range(2):
        np.testing.assert_array_equal(source.find(PICTURE, is_whole=True), masks)
        assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 1
