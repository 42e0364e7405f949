"""The files in a run folder that hold prompts of missed sentences as CLIP saw them.

They are ``misses.jsonl``, or ``misses.RANK-of-WORLD.jsonl`` with several processes. A line holds
the prompts of some sentences of one image; :mod:`miss_pictures` writes it.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgvp_eval.data.records import Prediction
from fgvp_eval.machine.processes import Processes
from fgvp_kernels import Mode

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class SeenPictures:
    """The prompts of one sentence.

    Attributes:
        clip: The CLIP that saw them, the first of an ensemble.
        size: Height and width at which it did.
        jpegs: Base64 text of a JPEG by mode and number of the candidate.
    """

    clip: str
    size: tuple[int, int]
    jpegs: dict[tuple[str, int], str]


def misses_path(folder: Path, processes: Processes) -> Path:
    """Return the file of one process."""
    rank, world = processes.rank, processes.world
    return folder / ("misses.jsonl" if world == 1 else f"misses.{rank}-of-{world}.jsonl")


def misses_files(folder: Path) -> list[Path]:
    """Return the files of every start of a run, in a fixed order."""
    return sorted(path for path in folder.glob("misses*.jsonl") if path.is_file())


def shown_candidates(prediction: Prediction, nearest: int, mode: str) -> list[int]:
    """Return whose prompts are shown: the choice, and the candidate nearest to the annotation.

    Unmarked pictures are the same for all candidates.
    """
    if mode == Mode.NONE.value:
        return [prediction.pred]
    return list(dict.fromkeys([prediction.pred, nearest]))


def read_pictures(folder: Path, sample_ids: Collection[str]) -> dict[str, SeenPictures]:
    """Return the prompts that a run folder holds of these sentences.

    Lines that are torn or of another form count as not there; so does a file that cannot be read.
    """
    found: dict[str, SeenPictures] = {}
    for path in misses_files(folder):
        try:
            lines = path.read_bytes().splitlines()
        except OSError as error:
            _LOG.warning("%s cannot be read: %s", path, error.strerror)
            continue
        for line in lines:
            try:
                record = json.loads(line)
                kept = [name for name in record["samples"] if name in sample_ids]
                if kept:
                    found.update(dict.fromkeys(kept, _seen(record)))
            except (ValueError, TypeError, KeyError, AttributeError):
                continue
    return found


def _seen(record: Mapping[str, Any]) -> SeenPictures:
    height, width = record["size"]
    jpegs = {
        (str(mode), int(candidate)): _checked(text)
        for mode, of_mode in record["pictures"].items()
        for candidate, text in of_mode.items()
    }
    return SeenPictures(str(record["clip"]), (int(height), int(width)), jpegs)


def _checked(text: str) -> str:
    """Return base64 text that is only that."""
    base64.b64decode(text, validate=True)
    return text
