"""One split of a part-detection run: its data, its settings, and how its parts are asked for."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from fgvp_eval.data.count_check import require_counts
from fgvp_eval.data.paco import read_paco
from fgvp_eval.data.parts_records import PartCounts, PartsDataset
from fgvp_eval.encoding.drawing import DrawStyle, draw_styles
from fgvp_eval.encoding.image_groups import MOST_IMAGES
from fgvp_eval.errors import UsageError
from fgvp_eval.machine.stage_times import StageTimes
from fgvp_eval.masks.by_grid import GridSettings, grid_settings
from fgvp_eval.masks.embedding_cache import default_cache
from fgvp_eval.masks.sam_models import SamModel
from fgvp_eval.options.config import EvalConfig, SplitSettings
from fgvp_eval.options.demo_models import misplaced_demo_models
from fgvp_eval.options.splits import Split
from fgvp_eval.tasks.parts.grid_candidates import GridCandidates
from fgvp_eval.tasks.parts.scored_objects import Condition, PartProtocol, SeenInput
from fgvp_eval.tasks.task import Deciding, split_data_root

_LOG = logging.getLogger(__name__)

PROTOCOLS: dict[str, PartProtocol] = {"gt": "naming", "sam-grid": "detection"}


@dataclass(frozen=True)
class PartsPlan:
    """A split of parts whose data is read and found good.

    Attributes:
        dataset: The data.
        settings: What was asked for, defaults filled in.
        conditions: The protocols and inputs, in the order of the tables.
    """

    dataset: PartsDataset
    settings: SplitSettings
    conditions: tuple[Condition, ...]

    @property
    def name(self) -> str:
        """Name of the split."""
        return self.dataset.split.name

    @property
    def needs_sam(self) -> bool:
        """Candidates come from SAM."""
        return any(condition.protocol == "detection" for condition in self.conditions)

    @property
    def demo_models(self) -> list[str]:
        """Which models are the demo's although the split is not."""
        return misplaced_demo_models(self.dataset.split, self.settings, self.needs_sam)

    @property
    def grid(self) -> GridSettings:
        """Settings of the generator that detection runs."""
        return grid_settings(self.settings.sam)

    @property
    def bank(self) -> tuple[str, ...] | None:
        """The phrases whose mean score is subtracted; None without subtraction."""
        return self.dataset.phrases if self.settings.post == "S" else None

    @property
    def counts(self) -> PartCounts:
        """Size of the split on disk."""
        return self.dataset.counts

    @property
    def published(self) -> PartCounts | None:
        """Size that it should have; None where there is nothing to compare with."""
        return self.dataset.published

    @property
    def files_sha256(self) -> dict[str, str]:
        """SHA-256 of the annotation file."""
        return self.dataset.files_sha256

    @property
    def image_names(self) -> list[str]:
        """The name of each image, in the order of the split."""
        return [image.name for image in self.dataset.images]

    def size(self, index: int) -> int:
        """Return how many parts the objects of an image have."""
        return self.dataset.images[index].parts

    def deciding(self, at_once: int) -> Deciding:
        """Return what decides the results; ``at_once`` are the pictures of a batch."""
        return Deciding(self.facts(), packing={"candidates": at_once, "images": MOST_IMAGES})

    def groups(self, at_once: int) -> list[range]:
        """Return the numbers of the images, each a group of its own."""
        return [range(index, index + 1) for index in range(len(self.dataset.images))]

    def styles(self, seed: int) -> dict[str, DrawStyle]:
        """Return how each mode is drawn."""
        return draw_styles(self.settings.modes, None, seed, self.settings.color)

    def candidates(self, sam: SamModel | None, times: StageTimes) -> GridCandidates:
        """Return what finds the candidates of detection."""
        cache = default_cache() if self.settings.cache else None
        area = float(self.settings.clean_masks)
        return GridCandidates(sam, self.grid, times, clean_area=area, cache=cache)

    def facts(self) -> dict[str, Any]:
        """Return the options that decide the results, as they were resolved."""
        settings = self.settings
        return {
            "modes": list(settings.modes),
            "compare_modes": settings.compare_modes,
            "protocols": list(dict.fromkeys(condition.protocol for condition in self.conditions)),
            "inputs": list(dict.fromkeys(condition.input for condition in self.conditions)),
            "sam": settings.sam if self.needs_sam else None,
            "sam_grid": vars(self.grid) if self.needs_sam else None,
            "clean_masks": settings.clean_masks if self.needs_sam else None,
            "clip": settings.clip,
            "post": settings.post,
            "color": settings.color,
            "demo_models": self.demo_models,
        }


def read_parts_plan(config: EvalConfig, split: Split) -> PartsPlan:
    """Read and check the data of a split.

    Raises:
        UsageError: An option has no meaning for splits of parts.
        DataError: Data is missing or broken.
    """
    conditions = chosen_conditions(config, split)
    dataset = read_paco(split_data_root(config, split), split, config.limit)
    if config.strict_data:
        require_counts(split.name, dataset.counts, dataset.published)
    settings = config.settings(split)
    if settings.post == "S" and len(dataset.phrases) < 2:
        raise UsageError(
            f"--post S has no meaning for {split.name}: it subtracts the mean score of the other "
            f"phrases, and there are {len(dataset.phrases)} in all"
        )
    for reason, count in dataset.left_out.items():
        _LOG.info("%s: left out: %d %s", split.name, count, reason)
    return PartsPlan(dataset, settings, conditions)


def chosen_conditions(config: EvalConfig, split: Split) -> tuple[Condition, ...]:
    """Return the protocols and inputs that the options ask for; without them all.

    Raises:
        UsageError: An option has no meaning for part detection.
    """
    post = config.settings(split).post
    pointless = {
        "--preset": config.preset is not None,
        "--as-released": bool(config.as_released),
        "--negatives": config.negatives is not None,
        "--aggregate max": config.aggregate == "max",
        "--size-prior": bool(config.size_prior),
        "--color text": config.color == "text",
        "--template": config.template is not None,
        "--masks gt": config.masks == "gt",
    }
    for option, given in pointless.items():
        if given:
            raise UsageError(f"{option} has no meaning for splits of parts")
    if post not in ("none", "S"):
        raise UsageError(
            f"--post {post} is not for {split.name}: parts have no relations; choices: none, S"
        )
    protocols = tuple(PROTOCOLS.values())
    if config.proposals is not None:
        if config.proposals.kind not in PROTOCOLS:
            raise UsageError(
                f"--proposals {config.proposals.kind} is not for splits of parts; choices: gt "
                "(naming of annotated parts), sam-grid (detection)"
            )
        protocols = (PROTOCOLS[config.proposals.kind],)
    inputs: tuple[SeenInput, ...] = ("object", "image")
    if config.part_input in inputs:
        inputs = (config.part_input,)
    return tuple(Condition(protocol, seen) for protocol in protocols for seen in inputs)
