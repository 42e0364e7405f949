"""Where each piece of data that this project does not ship comes from, for error messages."""

from __future__ import annotations

# The original host of these archives is gone; the stamps are those of the Internet Archive.
_REFER_STAMPS = {
    "refcoco": "20220413011718",
    "refcoco+": "20220413011656",
    "refcocog": "20220413012904",
}
_REFER_URL = "https://bvisionweb1.cs.unc.edu/licheng/referit/data"
_RECLIP_URL = "https://huggingface.co/datasets/CresCat01/RefCOCO-Triplets"
_SAM_URL = "https://dl.fbaipublicfiles.com/segment_anything"

_IMAGES_URL = "http://images.cocodataset.org/zips/train2014.zip"
_DEMO = "python -m fgvp_eval --split demo without --data-root writes it"


def annotation_source(dataset: str) -> str:
    """Return where ``instances.json`` and the pickled references of ``dataset`` come from."""
    stamp = _REFER_STAMPS.get(dataset)
    if stamp is None:
        return _DEMO
    archive = f"{_REFER_URL}/{dataset.replace('+', '%2B')}.zip"
    return f"unpack https://web.archive.org/web/{stamp}/{archive}"


def images_source(dataset: str) -> str:
    """Return where the images of ``dataset`` come from."""
    return _IMAGES_URL if dataset in _REFER_STAMPS else _DEMO


def detections_source(dataset: str) -> str:
    """Return where the detector's boxes of ``dataset`` come from."""
    if dataset not in _REFER_STAMPS:
        return f"none, as no detector was run on {dataset}"
    return f"{dataset}_dets_dict.json of reclip_data.tar.gz at {_RECLIP_URL}"


def sam_source(file_name: str) -> str:
    """Return the address of an official SAM checkpoint."""
    return f"{_SAM_URL}/{file_name}"
