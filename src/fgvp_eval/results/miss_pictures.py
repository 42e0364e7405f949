"""Prompts of missed sentences as CLIP saw them, kept while a run still has the masks.

Lines are only ever appended, each before its image goes to the journal, so that a run that was
killed and resumed has the prompts of all its images.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from fgvp_eval.data.data_uris import prompt_text
from fgvp_eval.data.records import ImageRecord, Prediction, Sample
from fgvp_eval.encoding.clip_models import ClipModel
from fgvp_eval.encoding.drawing import DrawStyle
from fgvp_eval.encoding.prompt_pictures import draw_prompts
from fgvp_eval.encoding.prompt_strips import as_seen
from fgvp_eval.machine.stage_times import StageTimes
from fgvp_eval.masks.masked_image import MaskedImage
from fgvp_eval.results.miss_sample import MissSample, nearest_candidate
from fgvp_eval.results.seen_pictures import shown_candidates

_LOG = logging.getLogger(__name__)

Rows = Mapping[str, Sequence[Prediction]]


class MissPictures:
    """Draws the prompts of missed sentences of one split: the choice, and what was right.

    Args:
        path: The file; see :func:`misses_path`.
        clip: The CLIP whose input is drawn.
        styles: How each of the K modes is drawn.
        per_row: How many misses of each row are shown; more than these are drawn, since which
            they are is known only in the end.
        seed: Draws them.
        color_of: The colour of a sentence; None where the styles' own is used.
        device: Where to draw.
        times: Where the seconds of all this are added.
    """

    def __init__(
        self,
        path: Path,
        clip: ClipModel,
        styles: Mapping[str, DrawStyle],
        *,
        per_row: int,
        seed: int,
        color_of: Callable[[Sample], str | None],
        device: torch.device,
        times: StageTimes,
    ) -> None:
        self._path, self._clip, self._styles = path, clip, dict(styles)
        self._per_row, self._seed = per_row, seed
        self._color_of, self._device, self._times = color_of, device, times
        self._samples: dict[str, MissSample] = {}
        self._failed = False

    def count(self, rows: Rows) -> set[str]:
        """Take note of an image's predictions; returns the ids of misses that may be shown."""
        entered = set()
        for label, predictions in rows.items():
            if label not in self._samples:
                self._samples[label] = MissSample(self._per_row, self._seed)
            sample = self._samples[label]
            entered |= {
                prediction.sample_id
                for prediction in predictions
                if not prediction.correct and sample.add(prediction.sample_id)
            }
        return entered

    def keep(self, record: ImageRecord, image: MaskedImage, rows: Rows) -> None:
        """Draw and store the prompts of an image's misses, as far as they may be shown.

        Never raises an ``Exception``: the first one is a warning, and nothing more is drawn.

        Args:
            record: The image and its sentences.
            image: Its pixels and candidates.
            rows: The predictions of its sentences for each row, by label.
        """
        entered = self.count(rows)
        if self._failed or not entered:
            return
        try:
            with self._times.measure("report"):
                records = self._records(entered, record, image, rows)
                lines = [f"{json.dumps(record)}\n" for record in records]
                with self._path.open("a", encoding="ascii") as file:
                    # On a line of its own, since the one before may be torn.
                    file.write("\n" + "".join(lines))
        except Exception as error:  # results must not be lost for a picture
            self._failed = True
            _LOG.warning(
                "prompts of misses are no longer drawn for the report: %s: %s",
                type(error).__name__,
                " ".join(str(error).split()),
            )

    def _records(
        self,
        entered: Collection[str],
        record: ImageRecord,
        image: MaskedImage,
        rows: Rows,
    ) -> Iterator[dict[str, Any]]:
        """Yield what is stored, one record for each colour."""
        by_color: dict[str | None, list[str]] = {}
        for sample in record.samples:
            if sample.sample_id in entered:
                by_color.setdefault(self._color_of(sample), []).append(sample.sample_id)
        for color, sample_ids in by_color.items():
            wanted: dict[str, set[int]] = {mode: set() for mode in self._styles}
            for label, predictions in rows.items():
                for prediction in predictions:
                    if prediction.sample_id in sample_ids:
                        nearest, _ = nearest_candidate(prediction)
                        for mode in label.split("+"):
                            wanted[mode] |= set(shown_candidates(prediction, nearest, mode))
            yield {
                "samples": sample_ids,
                "clip": self._clip.name,
                "size": self._clip.pictures.size,
                "pictures": self._draw(wanted, color, image),
            }

    def _draw(
        self, wanted: Mapping[str, set[int]], color: str | None, image: MaskedImage
    ) -> dict[str, dict[str, str]]:
        """Return JPEGs by mode and number of the candidate."""
        drawn = sorted(set().union(*wanted.values()))
        pictures = draw_prompts(
            image,
            drawn,
            {
                mode: style if color is None else style.colored(color)
                for mode, style in self._styles.items()
            },
            spec=self._clip.pictures,
            dtype=self._clip.dtype,
            device=self._device,
        )  # [K, n, 3, h, w]
        seen = as_seen(pictures, self._clip.pictures)  # [K, n, h, w, 3]
        return {
            mode: {
                str(candidate): prompt_text(Image.fromarray(of_mode[drawn.index(candidate)]))
                for candidate in sorted(wanted[mode])
            }
            for mode, of_mode in zip(self._styles, seen, strict=True)
        }
