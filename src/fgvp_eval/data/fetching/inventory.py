"""What a split needs, how much of it is on disk, and whether that is the published data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from fgvp_eval.data.data_sources import images_archives
from fgvp_eval.data.fetching.downloads import mismatch
from fgvp_eval.data.fetching.mirrors import (
    Piece,
    detections_piece,
    image_piece,
    paco_piece,
    reclip_piece,
    reference_pieces,
    weights_piece,
)
from fgvp_eval.data.image_files import find_images, image_name
from fgvp_eval.errors import DataError
from fgvp_eval.options.splits import Split

State = Literal["ok", "missing", "optional", "differs", "broken"]


@dataclass(frozen=True)
class Finding:
    """One line about a split.

    Attributes:
        state: ``optional`` is missing, but not needed by every kind of run; ``differs`` is good
            data, but not the published.
        what: A file, or what was counted.
        detail: Where the missing comes from, or what is wrong.
    """

    state: State
    what: str
    detail: str = ""


@dataclass(frozen=True)
class Contents:
    """What the annotations of a split say.

    Attributes:
        images: The image files that it needs, relative to the data root.
        missing: Those of them that are not there.
        found: Counts by name.
        published: Counts that the published split has; None if there is nothing to compare with.
    """

    images: tuple[str, ...]
    missing: tuple[str, ...]
    found: dict[str, int]
    published: dict[str, int] | None


def annotation_ways(split: Split) -> tuple[tuple[Piece, ...], ...]:
    """Return the sets of annotation files, any of which is enough to read a split, best first."""
    if split.is_demo:
        return ()
    if split.has_parts:
        return ((paco_piece(split.subset),),)
    return reference_pieces(split.dataset), (reclip_piece(split.dataset, split.subset),)


def optional_pieces(split: Split) -> tuple[Piece, ...]:
    """Return the files that only some kinds of run need."""
    return () if split.is_demo or split.has_parts else (detections_piece(split.dataset),)


def is_there(root: Path, piece: Piece) -> bool:
    """Return whether a file is on disk, also under the folder in which ReCLIP has it."""
    places = [piece.path]
    if piece.path.startswith("detections/"):
        places.append(piece.path.replace("detections/", "reclip_data/", 1))
    return any((root / place).is_file() for place in places)


def read_contents(root: Path, split: Split) -> Contents:
    """Read the annotations of a split, but not its images.

    Raises:
        DataError: They are missing or broken.
    """
    # Late, since the readers import torch, which a download need not wait for.
    if split.has_parts:
        from fgvp_eval.data.paco import PUBLISHED, read_paco_file

        file = read_paco_file(root, split)
        names = file.image_names
        missing = tuple(name for name in names if not (root / name).is_file())
        published = PUBLISHED.get(split.name)
        known = None if published is None else asdict(published)
        return Contents(names, missing, asdict(file.counts), known)
    from fgvp_eval.data.reclip_references import read_reclip
    from fgvp_eval.data.references import read_references, references_path

    by_refer = references_path(root, split).is_file()
    references = read_references(root, split) if by_refer else read_reclip(root, split)[0]
    found, absent = find_images(root, references.samples_of)
    names = tuple(found.get(image_id, image_name(image_id)) for image_id in references.samples_of)
    return Contents(
        names,
        tuple(image_name(image_id) for image_id in absent),
        asdict(references.counts),
        None if split.published is None else asdict(split.published),
    )


def inspect(root: Path, split: Split) -> tuple[Finding, ...]:
    """Return what there is to say about a split, files first, then images and counts."""
    if split.is_demo:
        return (Finding("ok", "nothing to have: the demo is made on first use"),)
    ways = annotation_ways(split)
    complete = next((way for way in ways if all(is_there(root, piece) for piece in way)), None)
    findings = [_file(root, piece, "missing") for piece in complete or ways[0]]
    if complete is None:
        for way in ways[1:]:
            findings.append(Finding("optional", way[0].path, f"instead of these; {_source(way)}"))
    findings += [_file(root, piece, "optional") for piece in optional_pieces(split)]
    if complete is None:
        return (*findings, Finding("missing", "images", "which ones is not known without those"))
    try:
        contents = read_contents(root, split)
    except DataError as error:
        return (*findings, Finding("broken", "annotations", str(error)))
    return (*findings, _images(contents, split), _counts(contents))


def inspect_weights(root: Path, name: str) -> Finding:
    """Return what there is to say about a SAM checkpoint, its checksum included."""
    piece = weights_piece(name)
    finding = _file(root, piece, "missing")
    if finding.state != "ok":
        return finding
    wrong = mismatch(root / piece.path, piece.sources[0].checksum)
    return Finding("broken", piece.path, wrong) if wrong else finding


def _file(root: Path, piece: Piece, otherwise: State) -> Finding:
    if is_there(root, piece):
        return Finding("ok", piece.path)
    return Finding(otherwise, piece.path, _source([piece]))


def _source(pieces: Sequence[Piece]) -> str:
    source = pieces[0].sources[0]
    return f"from {source.url}"


def _images(contents: Contents, split: Split) -> Finding:
    total, absent = len(contents.images), len(contents.missing)
    what = f"images: {total - absent} of {total}"
    if not absent:
        return Finding("ok", what)
    first = image_piece(contents.missing[0])
    detail = (
        f"the first of {absent} is {first.path}, {_source([first])}; all images of the folder: "
        f"{' and '.join(images_archives(split.dataset))}"
    )
    return Finding("missing", what, detail)


def _counts(contents: Contents) -> Finding:
    found, published = contents.found, contents.published
    if published is None or found == published:
        suffix = "" if published is None else ", as published"
        return Finding("ok", f"counts: {_listed(found)}{suffix}")
    return Finding("differs", f"counts: {_listed(found)}", f"published: {_listed(published)}")


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
