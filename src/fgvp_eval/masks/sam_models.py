"""Loading of SAM: the official checkpoints from disk, or the demo model of this package."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from segment_anything import sam_model_registry
from segment_anything.modeling import Sam

from fgvp_eval.data.data_files import file_sha256
from fgvp_eval.data.data_sources import sam_source
from fgvp_eval.errors import DataError

_LOG = logging.getLogger(__name__)

OFFICIAL_FILES = {
    "vit_h": "sam_vit_h_4b8939.pth",
    "vit_l": "sam_vit_l_0b3195.pth",
    "vit_b": "sam_vit_b_01ec64.pth",
}


@dataclass(frozen=True)
class SamModel:
    """A SAM in evaluation mode.

    Attributes:
        name: The option that named it.
        sam: The model, fp32, on its device.
        sha256: Of the checkpoint file, or of the state of the demo model.
    """

    name: str
    sam: Sam
    sha256: str

    def identity(self) -> dict[str, object]:
        """What tells this model from others, for the record of a run."""
        return {"kind": "sam", "name": self.name, "sha256": self.sha256}


def load_sam(name: str, device: torch.device, data_root: Path) -> SamModel:
    """Load a SAM.

    Args:
        name: ``demo`` or ``KIND[:CHECKPOINT]``, KIND one of ``vit_h``, ``vit_l``, ``vit_b``.
            Without CHECKPOINT the official file is looked for in ``weights`` under the data root,
            then in torch's own checkpoint folder.
        device: Where to put it.
        data_root: The data root.

    Raises:
        DataError: The checkpoint is missing, or is not one of that kind.
    """
    path = find_checkpoint(name, data_root)
    if path is None:
        return _load_demo(device)
    kind = name.partition(":")[0]
    _LOG.info("loading SAM %s from %s", kind, path)
    sam = sam_model_registry[kind]()
    try:
        # The registry's own loading leaves the device to the file.
        sam.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch raises many kinds for a damaged or foreign file
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{path} is no SAM {kind} checkpoint ({first_line}); source: "
            f"{sam_source(OFFICIAL_FILES[kind])}"
        ) from None
    return SamModel(name, sam.to(device).eval(), file_sha256(path))


def state_sha256(model: torch.nn.Module) -> str:
    """Return the SHA-256 of the names and values of a model's state."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _load_demo(device: torch.device) -> SamModel:
    from fgvp_eval.demo.models import load_demo_sam

    try:
        sam = load_demo_sam(device)
    except (FileNotFoundError, ValueError) as error:
        raise DataError(str(error)) from None
    return SamModel("demo", sam, state_sha256(sam))


def find_checkpoint(name: str, data_root: Path) -> Path | None:
    """Return the checkpoint file that :func:`load_sam` would read; None for the demo's.

    Raises:
        DataError: It is missing; the message says where it was looked for and its source.
    """
    if name == "demo":
        return None
    kind, _, given = name.partition(":")
    file_name = OFFICIAL_FILES[kind]
    if given:
        places = [Path(given)]
    else:
        hub = Path(torch.hub.get_dir()) / "checkpoints"
        places = [data_root / "weights" / file_name, hub / file_name]
    for place in places:
        if place.is_file():
            return place
    looked = " and ".join(str(place) for place in places)
    raise DataError(
        f"the SAM checkpoint {file_name} is missing, looked for at {looked}; source: "
        f"{sam_source(file_name)}"
    )
