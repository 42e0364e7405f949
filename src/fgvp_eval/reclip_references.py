"""Reader of ReCLIP's one-file form of a split: a JSON line per reference, with all annotations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fgvp_eval.data_files import read_integer, require
from fgvp_eval.data_sources import reclip_source
from fgvp_eval.errors import DataError
from fgvp_eval.references import References, parse_references
from fgvp_eval.splits import Split


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
    annotations: dict[tuple[int, Any], dict[str, Any]] = {}
    for number, record in enumerate(_lines(path), start=1):
        what = f"line {number}"
        require(record, ("image_id", "ann_id", "anns", "sentences"), what, path)
        image_id = read_integer(record["image_id"], f"image_id of {what}", path)
        if not isinstance(record["anns"], list):
            raise DataError(f"{path}: anns of {what} must be a list")
        for annotation in record["anns"]:
            require(annotation, ("id", "bbox"), f"annotation of {what}", path)
            key = (image_id, str(annotation["id"]))
            annotations.setdefault(key, {**annotation, "image_id": image_id})
        # The file holds one split only, and the ids of references are not sure to be kept.
        given = {"ref_id": f"line{number}"} | record
        refs.append(given | {"split": split.subset})
    references = parse_references(refs, split, path)
    return references, {"images": [], "annotations": list(annotations.values())}


def _lines(path: Path) -> list[Any]:
    source = reclip_source()
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError(f"{path} is missing; source: {source}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    records = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                records.append(json.loads(line))
            except ValueError as error:
                raise DataError(
                    f"{path}: line {number} is truncated or no JSON ({error}); source: {source}"
                ) from None
    return records
