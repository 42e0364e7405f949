"""Reader of ReCLIP's one-file form of a split: a JSON line per reference, with all annotations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fgvp_eval.data.data_files import read_json_lines
from fgvp_eval.data.data_sources import reclip_source
from fgvp_eval.data.file_values import FileValue
from fgvp_eval.data.references import References, parse_references
from fgvp_eval.options.splits import Split


def reclip_path(root: Path, split: Split) -> Path:
    """Return the file of a split; ReCLIP writes the names of splits in lower case."""
    return root / "reclip_data" / f"{split.dataset}_{split.subset.lower()}.jsonl"


def read_reclip(root: Path, split: Split) -> tuple[References, dict[str, Any]]:
    """Read a split.

    Returns:
        Its sentences, and what it holds of ``instances.json``: ``images`` (none, as sizes are not
        in the file) and the ``annotations`` of the images, each once.

    Raises:
        DataError: The file is missing or broken, or a line lacks a field.
    """
    path = reclip_path(root, split)
    refs: list[dict[str, Any]] = []
    annotations: dict[tuple[int, str], dict[str, Any]] = {}
    for line in read_json_lines(path, reclip_source()):
        line.field("ann_id"), line.field("sentences")
        image_id = line.field("image_id").integer()
        for annotation in line.field("anns").each("annotation", line.what):
            key = (image_id, annotation.field("id").name())
            annotations.setdefault(key, {**annotation.value, "image_id": image_id})
        # The file holds one split only, and the ids of references are not sure to be kept.
        ref_id = line.what.replace(" ", "")
        refs.append({"ref_id": ref_id} | line.value | {"split": split.subset})
    references = parse_references(FileValue(path, "the file", refs), split)
    return references, {"images": [], "annotations": list(annotations.values())}
