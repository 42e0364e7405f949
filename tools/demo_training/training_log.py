"""What both training scripts share: schedule, progress file and record of the run."""

import json
import math
import platform
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

LOG_NAME = "training_log.json"
# Evaluation scenes have seeds below this one, training scenes from here on.
FIRST_TRAINING_SEED = 10_000_000


@dataclass
class Schedule:
    """Warm-up and cosine decay over a step budget, shortened by a wall-clock budget.

    Attributes:
        steps: step budget.
        max_minutes: wall-clock budget, counted from the creation of the schedule; on a slow
            machine the decay follows the clock, so that it always reaches its end.
        peak: highest learning rate.
        warm_up: steps of linear warm-up.
    """

    steps: int
    max_minutes: float
    peak: float
    warm_up: int = 100
    _start: float = field(default_factory=time.monotonic)

    def progress(self, step: int) -> float:
        """Share of the training that is over, 0..1 and beyond."""
        return max(step / self.steps, self.minutes() / self.max_minutes)

    def minutes(self) -> float:
        """Wall clock since the start."""
        return (time.monotonic() - self._start) / 60.0

    def apply(self, optimizer: torch.optim.Optimizer, step: int) -> None:
        """Set the learning rate of every parameter group for this step."""
        decay = 0.5 * (1.0 + math.cos(math.pi * min(1.0, self.progress(step))))
        rate = self.peak * min(1.0, (step + 1) / self.warm_up) * max(decay, 0.01)
        for group in optimizer.param_groups:
            group["lr"] = rate


def parameter_groups(model: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Optimizer groups: decay for matrices only, none for gains, biases and embeddings."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    matrices = [p for name, p in named if p.ndim >= 2 and "embed" not in name]
    others = [p for name, p in named if p.ndim < 2 or "embed" in name]
    return [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def record_run(
    folder: Path, model_name: str, record: dict[str, Any], *, resumed: bool = False
) -> None:
    """Write one model's entry of the training log beside its weights.

    Args:
        folder: where the weights are.
        model_name: key of the entry.
        record: what to store; versions and threads are added.
        resumed: keep the entry that is there, as the record of the run that was continued.
    """
    path = folder / LOG_NAME
    entries = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    earlier = {"resumed_from": entries.get(model_name)} if resumed else {}
    entries[model_name] = {
        **record,
        **earlier,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "versions": {
            name: version(name)
            for name in ("torch", "numpy", "pillow", "open_clip_torch", "segment-anything")
        },
    }
    path.write_text(json.dumps(entries, indent=2, sort_keys=True) + "\n", encoding="utf-8")
