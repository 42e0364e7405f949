"""Loading of CLIP models from open_clip, with a preprocessing that is read from the model."""

from __future__ import annotations

import difflib
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import open_clip
import torch
from open_clip.pretrained import download_pretrained, get_pretrained_cfg

from fgvp_eval.data.data_files import file_sha256
from fgvp_eval.errors import DataError, UsageError
from fgvp_eval.masks.sam_models import state_sha256
from fgvp_eval.options.config import Precision
from fgvp_eval.options.values import split_ensemble

_LOG = logging.getLogger(__name__)

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_QUICK = "-quickgelu"


@dataclass(frozen=True)
class PictureSpec:
    """How a picture must be prepared for a CLIP image tower.

    Attributes:
        size: Height and width.
        mean, std: Per channel, for values in 0 to 1.
    """

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]


class ClipTowers(Protocol):
    """What is asked of a CLIP-like model; open_clip's models have it."""

    def encode_image(self, image: torch.Tensor) -> torch.Tensor:
        """Return features ``[N, D]`` of pictures ``[N, 3, h, w]``."""

    def encode_text(self, text: torch.Tensor) -> torch.Tensor:
        """Return features ``[T, D]`` of token ids ``[T, L]``."""


@dataclass(frozen=True)
class ClipModel:
    """A CLIP in evaluation mode.

    Attributes:
        name: The option that named it.
        model: The model, on its device.
        tokenizer: Texts to token ids ``[T, L]``.
        pictures: What its image tower takes.
        dtype: Of its image tower's input.
        logit_scale: What cosines are multiplied by to give logits.
        sha256: Of the weights file, or of the state of the demo model.
        interpolation: How the model's own preprocessing resizes; for the record, since pictures
            are drawn at their final size and never resized again.
    """

    name: str
    model: ClipTowers
    tokenizer: Callable[[list[str]], torch.Tensor]
    pictures: PictureSpec
    dtype: torch.dtype
    logit_scale: float
    sha256: str
    interpolation: str

    def identity(self) -> dict[str, object]:
        """What tells this model from others, for the record of a run."""
        return {
            "kind": "clip",
            "name": self.name,
            "sha256": self.sha256,
            "size": self.pictures.size,
            "mean": self.pictures.mean,
            "std": self.pictures.std,
            "interpolation": self.interpolation,
            "logit_scale": self.logit_scale,
        }


def load_clips(names: str, device: torch.device, precision: Precision) -> tuple[ClipModel, ...]:
    """Load the CLIP models of an ensemble.

    Args:
        names: ``demo`` or ``MODEL:PRETRAINED``, several joined by ``+``; PRETRAINED is a tag of
            open_clip or a weights file.
        device: Where to put them.
        precision: ``auto`` is fp16 on a GPU and fp32 on a CPU.

    Raises:
        UsageError: A name does not exist, or its activation does not fit the weights.
        DataError: Weights are missing, broken, or cannot be had without a network.
    """
    words = split_ensemble(names)
    for word in words:
        check_clip_name(word)
    if precision == "auto":
        precision = "fp32" if device.type == "cpu" else "fp16"
    return tuple(_load(word, device, precision) for word in words)


def check_clip_name(name: str) -> None:
    """Check that ``name`` can be loaded, weights aside; cheap.

    Raises:
        UsageError: The model or the weights' tag does not exist, or the model's activation is not
            the one that the weights were trained with.
        DataError: The weights file does not exist.
    """
    if name == "demo":
        return
    model, colon, pretrained = name.partition(":")
    if not (model and colon and pretrained):
        raise UsageError(f"--clip must be MODEL:PRETRAINED or demo, got {name!r}")
    config = open_clip.get_model_config(model)
    if config is None:
        close = difflib.get_close_matches(model, open_clip.list_models(), n=3)
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        raise UsageError(f"--clip: open_clip has no model {model!r}{hint}")
    if Path(pretrained).is_file():
        return
    # The quickgelu twin of a model has the same weights, so tags are looked up on either name.
    base = model.removesuffix(_QUICK)
    tags = {
        tag: get_pretrained_cfg(twin, tag)
        for twin in (base, base + _QUICK)
        for tag in open_clip.list_pretrained_tags_by_model(twin)
    }
    chosen = tags.get(pretrained) or tags.get(pretrained.lower().replace("-", "_"))
    if chosen is None:
        if "/" in pretrained or "." in pretrained:
            raise DataError(f"the CLIP weights of {model} are missing, expected at {pretrained}")
        known = ", ".join(sorted(tags)) or "none"
        raise UsageError(
            f"--clip: {model} has no weights {pretrained!r}; it has: {known}, or a file"
        )
    wants_quick = bool(chosen.get("quick_gelu", False))
    if wants_quick != bool(config.get("quick_gelu", False)):
        right = base + _QUICK if wants_quick else base
        activation = "QuickGELU" if wants_quick else "plain GELU"
        raise UsageError(
            f"--clip {name}: QuickGELU mismatch: the weights {pretrained} were trained with "
            f"{activation}, which {model} does not compute; use {right}:{pretrained}"
        )


def _load(name: str, device: torch.device, precision: str) -> ClipModel:
    dtype = _DTYPES[precision]
    if name == "demo":
        model, tokenizer, sha256 = _load_demo(device)
    else:
        model, tokenizer, sha256 = _load_open_clip(name, device, precision)
    scale = model.logit_scale.float().exp().item()  # before the demo model is rounded
    return ClipModel(
        name=name,
        model=model.to(dtype) if name == "demo" else model,
        tokenizer=tokenizer,
        pictures=_picture_spec(model),
        dtype=dtype,
        logit_scale=scale,
        sha256=sha256,
        interpolation=str(model.visual.preprocess_cfg["interpolation"]),
    )


def _picture_spec(model: Any) -> PictureSpec:
    given = model.visual.preprocess_cfg
    size = given["size"]
    height, width = (size, size) if isinstance(size, int) else size
    return PictureSpec((int(height), int(width)), tuple(given["mean"]), tuple(given["std"]))


def _load_demo(device: torch.device) -> tuple[Any, Any, str]:
    from fgvp_eval.demo.models import load_demo_clip

    try:
        model, tokenizer = load_demo_clip(device)
    except (FileNotFoundError, ValueError) as error:
        raise DataError(str(error)) from None
    return model.eval(), tokenizer, state_sha256(model)


def _load_open_clip(name: str, device: torch.device, precision: str) -> tuple[Any, Any, str]:
    model_name, _, pretrained = name.partition(":")
    with _quiet():
        path = Path(pretrained)
        if path.is_file():
            quick = bool((open_clip.get_model_config(model_name) or {}).get("quick_gelu", False))
            activation = "QuickGELU" if quick else "plain GELU"
            _LOG.info("%s computes %s; a file does not say what it needs", model_name, activation)
        else:
            path = _download(model_name, pretrained)
        _LOG.info("loading CLIP %s from %s", name, path)
        try:
            model = open_clip.create_model(
                model_name, pretrained=pretrained, precision=precision, device=device
            )
        except Exception as error:  # open_clip raises many kinds for a damaged or foreign file
            first_line = re.sub(r"\s+", " ", str(error))[:200]
            raise DataError(
                f"the CLIP weights {path} do not load as {model_name}: {first_line}"
            ) from None
        tokenizer = open_clip.get_tokenizer(model_name)
    return model.eval(), tokenizer, file_sha256(path)


def _download(model_name: str, tag: str) -> Path:
    """Return the weights file of a tag, from the local caches or the network."""
    config = get_pretrained_cfg(model_name, tag)
    repository = str(config.get("hf_hub", "")).rstrip("/")
    origin = f"https://huggingface.co/{repository}" if repository else str(config.get("url"))
    try:
        if repository and not _is_cached(str(config["hf_hub"])):
            # Asked once and briefly: the download itself retries for most of a minute when there
            # is no network.
            from huggingface_hub import HfApi

            HfApi().model_info("/".join(repository.split("/")[:2]), timeout=10)
        return Path(download_pretrained(config))
    except Exception as error:  # whatever the HTTP library of the day raises
        first_line = re.sub(r"\s+", " ", str(error))[:120]
        raise DataError(
            f"the CLIP weights {model_name}:{tag} are neither in the local cache nor to be "
            f"downloaded ({first_line}); source: {origin}, or give a file as {model_name}:FILE"
        ) from None


def has_local_weights(name: str) -> bool:
    """Return whether the weights of ``name``, which exists, can be loaded without a network."""
    model_name, _, pretrained = name.partition(":")
    if name == "demo" or Path(pretrained).is_file():
        return True
    hf_hub = str(get_pretrained_cfg(model_name, pretrained).get("hf_hub", ""))
    return bool(hf_hub) and _is_cached(hf_hub)


def _is_cached(hf_hub: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    repository, _, file_name = hf_hub.rpartition("/")
    stem = (file_name or "open_clip_pytorch_model.bin").rpartition(".")[0]
    names = {file_name or "open_clip_pytorch_model.bin", f"{stem}.safetensors"}
    if stem == "open_clip_pytorch_model":
        names.add("open_clip_model.safetensors")
    return any(isinstance(try_to_load_from_cache(repository, name), str) for name in names)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep open_clip's root-logger messages off stderr, where an error must be one line."""
    root = logging.getLogger()
    level, handler = root.level, logging.NullHandler()
    root.addHandler(handler)
    root.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
