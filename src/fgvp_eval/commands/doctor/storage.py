"""Weights and data on this machine, caches and their sizes, and the room that is left."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from fgvp_eval.commands.doctor.report import Line, State, one_line, size_text
from fgvp_eval.data.fetching.inventory import annotation_ways, is_there, optional_pieces
from fgvp_eval.errors import DataError
from fgvp_eval.machine.cache_folder import cache_folder
from fgvp_eval.options.splits import SPLITS, Split

_SECONDS_OF_A_FOLDER = 1.5  # after which its size is "more than"
_MOUNTS = Path("/proc/mounts")
_LEAST_FREE = 10e9  # bytes; SAM's embeddings of a split of 1,500 images take 6.3 GB
_NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "lustre", "gpfs", "afs", "fuse.sshfs", "9p")


def weights_lines(sam: str, data_root: Path) -> list[Line]:
    """Return whether the checkpoint of a SAM is where an evaluation looks for it."""
    from fgvp_eval.masks.sam_models import (
        find_checkpoint,  # late: it needs torch, the rest does not
    )

    name = f"SAM {sam.partition(':')[0]}"
    try:
        path = find_checkpoint(sam, data_root)
    except DataError as error:
        return [Line(name, "missing", "warning", one_line(error))]
    if path is None:
        return [Line(name, "part of this package")]
    return [Line(name, f"{path}, {size_text(path.stat().st_size)}")]


def data_lines(data_root: Path) -> list[Line]:
    """Return what annotations and images are there; whether they are complete, ``verify`` says."""
    if not data_root.is_dir():
        reason = "no such folder; real data sets are looked for there, the demo needs none"
        return [Line("data root", str(data_root), "warning", reason)]
    lines = [Line("data root", str(data_root.resolve()))]
    datasets = dict.fromkeys(split.dataset for split in SPLITS.values() if not split.is_demo)
    lines += [_annotations(data_root, dataset) for dataset in datasets]
    lines += [
        _images(folder) for folder in sorted((data_root / "images").glob("*")) if folder.is_dir()
    ]
    return lines


def cache_lines() -> list[Line]:
    """Return the folders in which this package and its libraries keep files, with their sizes."""
    # Late: they need torch, the rest does not.
    import huggingface_hub.constants
    import torch

    own = cache_folder()
    lines = [_folder("cache of this package", own)]
    if own.is_dir():
        for folder in sorted(own.iterdir()):
            if folder.is_dir() and not folder.name.startswith("."):
                lines.append(_folder(f"- {folder.name}", folder))
    lines += [
        _folder("Hugging Face", Path(huggingface_hub.constants.HF_HUB_CACHE)),
        _folder("torch hub", Path(torch.hub.get_dir())),
        _triton_cache(),
    ]
    return lines


def room_lines(data_root: Path) -> list[Line]:
    """Return how much room the disks have on which runs, caches and data are kept."""
    places = {"working folder": Path.cwd(), "cache": cache_folder(), "data root": data_root}
    return [_room(what, _existing(folder)) for what, folder in places.items()]


def folder_size(folder: Path) -> tuple[int, bool]:
    """Return the bytes of all files below a folder, and whether there was time to see them all."""
    end = time.monotonic() + _SECONDS_OF_A_FOLDER
    total = 0
    for size in _sizes(folder):
        total += size
        if time.monotonic() > end:
            return total, False
    return total, True


def file_system(folder: Path) -> str | None:
    """Return the kind of file system that a folder is on, or None if the system does not say."""
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    place = _existing(folder).resolve()
    kinds = {}
    for line in mounts:
        _, point, kind, *_ = line.split(" ")
        mounted = Path(point.replace("\\040", " "))
        if mounted == place or mounted in place.parents:
            kinds[len(mounted.parts)] = kind  # what was mounted later covers what was before
    return kinds[max(kinds)] if kinds else None


def _annotations(root: Path, dataset: str) -> Line:
    splits = [split for split in SPLITS.values() if split.dataset == dataset]
    there = [split for split in splits if _has_annotations(root, split)]
    names = ", ".join(split.subset for split in there)
    if len(there) < len(splits):
        get = f"python -m fgvp_eval.data get {dataset}_all"
        value = f"only {names}" if there else "missing"
        return Line(dataset, value, "warning", f"{get}, if it is wanted")
    boxes = optional_pieces(splits[0])
    detected = "" if all(is_there(root, piece) for piece in boxes) else "; no detections"
    return Line(dataset, f"annotations of {names}{detected}")


def _has_annotations(root: Path, split: Split) -> bool:
    return any(all(is_there(root, piece) for piece in way) for way in annotation_ways(split))


def _images(folder: Path) -> Line:
    with os.scandir(folder) as entries:
        count = sum(1 for _ in entries)
    reason = "python -m fgvp_eval.data verify says what is missing"
    return Line(f"images/{folder.name}", f"{count} files", "ok", reason)


def _folder(what: str, folder: Path) -> Line:
    if not folder.is_dir():
        return Line(what, f"{folder}, not there yet")
    size, complete = folder_size(folder)
    value = f"{folder}, {'' if complete else 'more than '}{size_text(size)}"
    if not os.access(folder, os.W_OK):
        return Line(what, value, "warning", "cannot be written")
    return Line(what, value)


def _triton_cache() -> Line:
    """Return where compiled kernels are kept, for which a network's disk is slow and unsafe."""
    what = "Triton"
    try:
        from triton import knobs
    except ImportError as error:
        return Line(what, "", "not checked", one_line(error))
    folder = Path(knobs.cache.dir)
    line, kind = _folder(what, folder), file_system(folder)
    if kind is not None and kind.startswith(_NETWORK_FILE_SYSTEMS):
        reason = f"on a network file system ({kind}): set TRITON_CACHE_DIR to a local folder"
        return Line(what, line.value, "warning", reason)
    return line


def _room(what: str, folder: Path) -> Line:
    free = shutil.disk_usage(folder).free
    state: State = "ok" if free >= _LEAST_FREE else "warning"
    reason = "" if state == "ok" else "SAM's embeddings of a RefCOCO split take up to 6.3 GB"
    return Line(what, f"{size_text(free)} free at {folder}", state, reason)


def _existing(folder: Path) -> Path:
    """Return the folder, or what it would be made in."""
    place = folder.absolute()
    while not os.path.exists(place):  # False, too, where one may not look
        place = place.parent
    return place


def _sizes(folder: Path) -> Iterator[int]:
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                facts = os.lstat(os.path.join(parent, name))
            except OSError:  # removed meanwhile
                continue
            yield facts.st_size
