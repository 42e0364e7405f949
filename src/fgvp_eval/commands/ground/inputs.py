"""What a grounding works on: the picture, its texts, and where its candidates come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from fgvp_eval.commands.ground.box_files import BoxFormat, GivenBoxes, read_boxes
from fgvp_eval.data.annotated_masks import annotated_masks
from fgvp_eval.data.candidates import Candidates
from fgvp_eval.data.data_files import file_sha256
from fgvp_eval.data.photos import Photo, demo_picture, read_demo, read_photo
from fgvp_eval.data.records import Annotation, Box, Dataset, ImageRecord, Sample
from fgvp_eval.errors import DataError, UsageError
from fgvp_eval.masks.sam_models import SamModel
from fgvp_eval.masks.sources import GivenMasks, MaskedBoxes, MaskSource
from fgvp_eval.options.config import EvalConfig
from fgvp_eval.options.splits import Counts, Split
from fgvp_eval.options.values import is_demo_picture
from fgvp_eval.tasks.split_plan import SplitPlan


@dataclass(frozen=True)
class BoxesFile:
    """A file of candidate boxes.

    Attributes:
        path: The file.
        form: How its numbers are to be read; None for the way of its form.
        image_id: Which picture of a file of several.
        masks: Its masks are used, instead of SAM's.
    """

    path: Path
    form: BoxFormat | None = None
    image_id: int | None = None
    masks: bool = False


@dataclass(frozen=True, eq=False)
class GroundInputs:
    """A picture and everything that is asked about it.

    Attributes:
        plan: A split of this picture alone, whose samples are the texts.
        photo: The picture.
        texts: The texts as typed.
        boxes: The candidates of a file; None if they are to be found.
        given: Candidates that came with masks; None if masks are to be found.
    """

    plan: SplitPlan
    photo: Photo
    texts: tuple[str, ...]
    boxes: GivenBoxes | None = None
    given: GivenMasks | None = None

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Names of the candidates, from their file; None if there are none."""
        return None if self.boxes is None else self.boxes.labels

    @property
    def masks(self) -> str:
        """Where masks come from: ``given``, or as :attr:`SplitPlan.masks`."""
        return self.plan.masks if self.given is None else "given"

    @property
    def needs_sam(self) -> bool:
        """Candidates or masks come from SAM."""
        return self.given is None and self.plan.needs_sam

    def mask_source(self, sam: SamModel | None) -> MaskSource:
        """Return what finds the candidates."""
        return self.given or self.plan.mask_source(sam)


def read_inputs(
    image: str,
    config: EvalConfig,
    *,
    texts: Sequence[str] | None,
    boxes: BoxesFile | None,
    negatives: Path | None,
) -> GroundInputs:
    """Read and check everything but the models.

    Args:
        image: A picture's path, or ``demo`` or ``demo:K``.
        config: Options of a run on one split, which only gives it a name and defaults.
        texts: What is to be found; None for the expressions of a demo picture.
        boxes: Candidate boxes; None for those of the config's proposals.
        negatives: A file of the sentences that score subtraction needs.

    Raises:
        UsageError: An option is missing or does not fit another.
        DataError: A file is missing or broken.
    """
    (split,) = config.splits
    settings = config.settings(split)
    photo, whole, record = _picture(image, split)
    asked = tuple(texts) if texts is not None else _one_text_each(record)
    if not asked:
        raise UsageError("--text is needed: what is to be found in the picture?")
    samples = tuple(
        Sample(f"{split.name}:{index}", _scored_text(text), ()) for index, text in enumerate(asked)
    )
    dataset = replace(
        whole,
        split=split,
        images=(replace(record, samples=samples),),
        captions=whole.captions if negatives is None else _lines(negatives),
    )
    if "S" in settings.post and not dataset.captions:
        raise UsageError(
            f"--post {settings.post} subtracts the mean score of other sentences; give them by "
            "--negatives FILE, one a line"
        )
    if boxes is None:
        return GroundInputs(SplitPlan(dataset, settings, Candidates(None, {})), photo, asked)
    given = read_boxes(boxes.path, photo.size, box_format=boxes.form, image_id=boxes.image_id)
    shown_xyxy = tuple(photo.box_to_pixels(box_xyxy) for box_xyxy in given.boxes_xyxy)
    candidates = Candidates(
        {record.image_id: tuple(_xywh(box_xyxy) for box_xyxy in shown_xyxy)},
        {str(boxes.path): file_sha256(boxes.path)},
    )
    masked = None
    if boxes.masks:
        masked = GivenMasks(MaskedBoxes(shown_xyxy, _given_masks(given, photo, boxes.path)))
    plan = SplitPlan(dataset, settings, candidates)
    return GroundInputs(plan, photo, asked, given, masked)


def _picture(image: str, split: Split) -> tuple[Photo, Dataset, ImageRecord]:
    """Return a picture, the data set that it is of, and its record there.

    A picture of the user's own is of a data set that has nothing else.
    """
    if is_demo_picture(image):
        whole, record = demo_picture(image)
        return read_demo(record), whole, record
    path = Path(image)
    photo = read_photo(path)
    record = ImageRecord(0, path, image, photo.size, (), ())
    return photo, Dataset(split, path.parent, (), Counts(0, 0, 0), {}), record


def _one_text_each(record: ImageRecord) -> tuple[str, ...]:
    """Return the first sentence about each object, since each is given another candidate."""
    of_object: dict[tuple[int, ...], str] = {}
    for sample in record.samples:
        of_object.setdefault(sample.gold_ann_ids, sample.text)
    return tuple(of_object.values())


def _scored_text(text: str) -> str:
    """Return a text as an evaluation scores it."""
    if not text.strip():
        raise UsageError("--text must not be empty")
    return text.strip().lower()


def _lines(path: Path) -> tuple[str, ...]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # not at U+2028 and the like
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text: {error}") from None
    found = tuple(line.strip().lower() for line in lines if line.strip())
    if not found:
        raise DataError(f"{path}: holds no sentence")
    return found


def _given_masks(given: GivenBoxes, photo: Photo, path: Path) -> torch.Tensor:
    """Draw the masks of a boxes file at the size of the pixels, ``[N, h, w]`` bool."""
    if given.segmentations is None:
        raise DataError(f"{path}: --masks given needs a 'segmentation' of every box")
    masks = np.zeros((len(given.boxes_xyxy), *photo.pixels.shape[:2]), dtype=bool)  # [N, h, w]
    for index, segmentation in enumerate(given.segmentations):
        annotation = Annotation(index, (0.0, 0.0, 1.0, 1.0), segmentation)
        try:
            (mask,) = annotated_masks([annotation], photo.size).numpy()  # [H, W]
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        masks[index] = photo.mask_to_pixels(mask)
    return torch.from_numpy(masks)


def _xywh(box_xyxy: Box) -> Box:
    left, top, right, bottom = box_xyxy
    return left, top, right - left, bottom - top
