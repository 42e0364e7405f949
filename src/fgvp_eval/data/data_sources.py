"""Where each piece of data that this project does not ship comes from, for error messages."""

from __future__ import annotations

from fgvp_eval.data.fetching.mirrors import (
    WEIGHTS,
    Piece,
    detections_piece,
    images_archive,
    paco_piece,
    reclip_piece,
    reference_pieces,
    weights_piece,
)

_REFER = ("refcoco", "refcoco+", "refcocog")
_GET = "python -m fgvp_eval.data get"


def annotation_source(dataset: str) -> str:
    """Return where the annotations of ``dataset`` come from."""
    if dataset in _REFER:
        return f"unpack {_address(reference_pieces(dataset)[0])}, {_or_get(dataset)}"
    if dataset == "paco":
        return f"unpack {_address(paco_piece('val'))}, {_or_get(dataset)}"
    return _demo(dataset)


def images_source(dataset: str) -> str:
    """Return where the images of ``dataset`` come from."""
    archives = images_archives(dataset)
    return f"{' and '.join(archives)}, {_or_get(dataset)}" if archives else _demo(dataset)


def images_archives(dataset: str) -> tuple[str, ...]:
    """Return the addresses of the archives that hold all images of ``dataset``."""
    if dataset in _REFER:
        return (images_archive("train2014"),)
    if dataset == "paco":
        return images_archive("train2017"), images_archive("val2017")
    return ()


def detections_source(dataset: str) -> str:
    """Return where the detector's boxes of ``dataset`` come from."""
    if dataset not in _REFER:
        return f"none, as no detector was run on {dataset}"
    source = detections_piece(dataset).sources[0]
    name = f"{dataset}_dets_dict.json"
    return f"{name} of {source.file_name} at {source.url}, {_or_get(dataset)}"


def reclip_source() -> str:
    """Return where ReCLIP's files come from."""
    return f"unpack {_address(reclip_piece('refcoco', 'val'))}"


def sam_source(file_name: str) -> str:
    """Return the address of an official SAM checkpoint."""
    name = next(name for name, known in WEIGHTS.items() if known == file_name)
    return f"{_address(weights_piece(name))}, or {_GET} {name}"


def _demo(dataset: str) -> str:
    return f"python -m fgvp_eval --split {dataset} without --data-root writes it"


def _address(piece: Piece) -> str:
    return piece.sources[0].url


def _or_get(dataset: str) -> str:
    return f"or {_GET} {dataset}_all"
