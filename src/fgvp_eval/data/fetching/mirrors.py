"""Where each file of a data root can be had: the one table of addresses and checksums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from posixpath import basename
from urllib.parse import quote, unquote, urlsplit

# The original host of these archives is gone; the stamps are those of the Internet Archive.
_REFER_URL = "https://bvisionweb1.cs.unc.edu/licheng/referit/data"
_REFER_STAMPS = {
    "refcoco": "20220413011718",
    "refcoco+": "20220413011656",
    "refcocog": "20220413012904",
}
_REFER_AUTHORS = {"refcoco": "unc", "refcoco+": "unc", "refcocog": "umd"}
_RECLIP_SUBSETS = {
    "refcoco": ("val", "testa", "testb"),
    "refcoco+": ("val", "testa", "testb"),
    "refcocog": ("val", "test"),
}
_RECLIP_URL = (
    "https://huggingface.co/datasets/CresCat01/RefCOCO-Triplets/resolve/main/reclip_data.tar.gz"
)
_PACO_URL = "https://dl.fbaipublicfiles.com/paco/annotations/paco_lvis_v1.zip"
_COCO_URL = "http://images.cocodataset.org"
_SAM_URL = "https://dl.fbaipublicfiles.com/segment_anything"

WEIGHTS = {
    "sam_vit_h": "sam_vit_h_4b8939.pth",
    "sam_vit_l": "sam_vit_l_0b3195.pth",
    "sam_vit_b": "sam_vit_b_01ec64.pth",
}


@dataclass(frozen=True)
class Checksum:
    """Digests of a file in hexadecimal; either may be unknown (empty) or cut to its first digits.

    Attributes:
        sha256: SHA-256.
        md5: MD5; only against damage in transit, not against forgery.
    """

    sha256: str = ""
    md5: str = ""


_CHECKSUMS = {
    _PACO_URL: Checksum(sha256="02ac4edb22c2"),
    f"{_SAM_URL}/sam_vit_h_4b8939.pth": Checksum(
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        "4b8939a88964f0f4ff5f5b2642c598a6",
    ),
    f"{_SAM_URL}/sam_vit_l_0b3195.pth": Checksum(
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        "0b3195507c641ddb6910d2bb5adee89c",
    ),
    f"{_SAM_URL}/sam_vit_b_01ec64.pth": Checksum(
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        "01ec64d29a2fca3f0661936605ae66f8",
    ),
}


@dataclass(frozen=True)
class Source:
    """One address of a file.

    Attributes:
        url: Address of the file itself, or of an archive that holds it.
        members: None for the file itself. Of an archive, the path under the data root of each
            wanted file, by its name in the archive; folders in the archive do not count.
        checksum: Of what the address gives.
    """

    url: str
    members: Mapping[str, str] | None = None
    checksum: Checksum = Checksum()

    @property
    def file_name(self) -> str:
        """Name of what the address gives, decoded."""
        return unquote(basename(urlsplit(self.url).path))


@dataclass(frozen=True)
class Piece:
    """One file of a data root.

    Attributes:
        path: Where it belongs under the data root, with ``/``.
        sources: Its addresses, best first.
    """

    path: str
    sources: tuple[Source, ...]


def _source(url: str, members: Mapping[str, str] | None = None) -> Source:
    return Source(url, members, _CHECKSUMS.get(url, Checksum()))


def reference_pieces(dataset: str) -> tuple[Piece, ...]:
    """Return the pickled references and ``instances.json`` of RefCOCO, RefCOCO+ or RefCOCOg."""
    names = (f"refs({_REFER_AUTHORS[dataset]}).p", "instances.json")
    members = {name: f"{dataset}/{name}" for name in names}
    # Archived addresses are text: which spelling of "+" was kept is the archive's affair.
    spellings = dict.fromkeys((quote(dataset), dataset))
    prefix = f"https://web.archive.org/web/{_REFER_STAMPS[dataset]}/{_REFER_URL}"
    sources = tuple(_source(f"{prefix}/{name}.zip", members) for name in spellings)
    return tuple(Piece(path, sources) for path in members.values())


def reclip_piece(dataset: str, subset: str) -> Piece:
    """Return ReCLIP's one file of references and annotations, which can stand for the others."""
    path = f"reclip_data/{dataset}_{subset.lower()}.jsonl"
    return Piece(path, (_source(_RECLIP_URL, _reclip_members()),))


def detections_piece(dataset: str) -> Piece:
    """Return the detector's boxes of RefCOCO, RefCOCO+ or RefCOCOg."""
    path = f"detections/{dataset}_dets_dict.json"
    return Piece(path, (_source(_RECLIP_URL, _reclip_members()),))


def _reclip_members() -> dict[str, str]:
    members = {}
    for dataset, subsets in _RECLIP_SUBSETS.items():
        members[f"{dataset}_dets_dict.json"] = f"detections/{dataset}_dets_dict.json"
        for subset in subsets:
            members[f"{dataset}_{subset}.jsonl"] = f"reclip_data/{dataset}_{subset}.jsonl"
    return members


def paco_piece(subset: str) -> Piece:
    """Return the annotations of one PACO-LVIS split; ``train`` is left in the archive."""
    names = [f"paco_lvis_v1_{name}.json" for name in ("val", "test")]
    source = _source(_PACO_URL, {name: f"paco/{name}" for name in names})
    return Piece(f"paco/paco_lvis_v1_{subset}.json", (source,))


def image_piece(name: str) -> Piece:
    """Return one COCO image; ``name`` is its path under the data root, ``images/FOLDER/FILE``."""
    return Piece(name, (_source(f"{_COCO_URL}/{quote(name.removeprefix('images/'))}"),))


def images_archive(folder: str) -> str:
    """Return the address of all images of a COCO folder, ``train2014`` for one."""
    return f"{_COCO_URL}/zips/{folder}.zip"


def weights_piece(name: str) -> Piece:
    """Return an official SAM checkpoint; ``name`` is a key of ``WEIGHTS``."""
    file_name = WEIGHTS[name]
    return Piece(f"weights/{file_name}", (_source(f"{_SAM_URL}/{file_name}"),))


def rebase(piece: Piece, base_url: str) -> Piece:
    """Return ``piece`` with the addresses it has on another server.

    Args:
        piece: A piece of the table.
        base_url: Address of a served data root (``BASE/refcoco%2B/instances.json``), or of a
            folder with copies of the public archives (``BASE/refcoco%2B.zip``) and of COCO's
            image folders (``BASE/train2014/…``). The first is asked first.
    """
    base = base_url.rstrip("/")
    # The file itself has no known checksum where the table knows only that of its archive.
    itself = [source.checksum for source in piece.sources if source.members is None]
    sources = [Source(f"{base}/{quote(piece.path)}", None, itself[0] if itself else Checksum())]
    if piece.path.startswith("images/"):
        sources.append(replace(sources[0], url=f"{base}/{quote(piece.path[len('images/') :])}"))
    archives = {source.file_name: source for source in piece.sources if source.members is not None}
    for name, source in archives.items():
        sources.append(replace(source, url=f"{base}/{quote(name)}"))
    return replace(piece, sources=tuple(sources))
