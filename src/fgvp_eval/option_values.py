"""What the values of single options may be."""

from __future__ import annotations

import os
import re
from pathlib import Path

from fgvp_eval.config import SAM_KINDS, TEXT_COLOR, Proposals
from fgvp_eval.errors import UsageError

_DEMO_PICTURE = re.compile(r"demo(:\d+)?")
_PROPOSALS = "gt, detections, detections:FILE, sam-grid"


def parse_proposals(text: str) -> Proposals:
    """Return the candidate source that ``text`` names.

    Raises:
        UsageError: It names none; the message lists the choices.
    """
    kind, colon, path = text.partition(":")
    if kind == "detections" and (not colon or path):
        return Proposals("detections", Path(path) if path else None)
    if text == "gt":
        return Proposals("gt")
    if text == "sam-grid":
        return Proposals("sam-grid")
    raise UsageError(f"--proposals must be one of {_PROPOSALS}; got {text!r}")


def parse_modes(text: str) -> tuple[str, ...]:
    """Return the canonical names of comma-separated modes.

    Raises:
        UsageError: A mode is unknown (the message lists the choices) or given twice.
    """
    # Late, since it imports torch, which --help need not wait for.
    from fgvp_kernels import Mode

    names: list[str] = []
    for word in text.split(","):
        try:
            name = Mode.parse(word.strip()).value
        except ValueError as error:
            raise UsageError(f"--modes: {error}") from None
        if name in names:
            raise UsageError(f"--modes names {name} twice; an ensemble counts each mode once")
        names.append(name)
    return tuple(names)


def parse_sam(text: str) -> str:
    """Return ``text`` if it names a SAM.

    Raises:
        UsageError: It names none; the message lists the choices.
    """
    kind, colon, checkpoint = text.partition(":")
    if text == "demo" or (kind in SAM_KINDS and bool(colon) == bool(checkpoint)):
        return text
    choices = ", ".join(f"{kind}[:CHECKPOINT]" for kind in SAM_KINDS)
    raise UsageError(f"--sam must be one of {choices}, demo; got {text!r}")


def parse_negatives(text: str) -> int | None:
    """Return how many sentences are drawn for score subtraction; None for ``all``.

    Raises:
        UsageError: ``text`` is neither ``all`` nor a number.
    """
    if text == "all":
        return None
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"--negatives must be all or a number, got {text!r}") from None


def parse_template(text: str) -> str:
    """Return ``text`` if it has one place for the sentence.

    Raises:
        UsageError: It does not hold ``{}`` exactly once, or holds another brace.
    """
    if text.count("{}") != 1 or set(text.replace("{}", "")) & set("{}"):
        raise UsageError(f"--template must hold {{}} once, for the sentence; got {text!r}")
    return text


def parse_color(text: str) -> str:
    """Return ``text`` if it names a colour, or how to choose one.

    Raises:
        UsageError: It does not; the message lists the choices.
    """
    # Late, since it imports torch, which --help need not wait for.
    from fgvp_kernels.colors import PALETTE, RANDOM

    if text not in (*PALETTE, RANDOM, TEXT_COLOR):
        choices = ", ".join((*PALETTE, RANDOM, TEXT_COLOR))
        raise UsageError(f"--color must be one of {choices}; got {text!r}")
    return text


def is_demo_picture(text: str) -> bool:
    """Tell whether ``text`` means a picture of the demo split: ``demo`` or ``demo:K``."""
    return _DEMO_PICTURE.fullmatch(text) is not None


def data_root_given(option: Path | None) -> Path | None:
    """Return the data root that the option or else ``$FGVP_DATA_ROOT`` gives; None without."""
    from_environment = os.environ.get("FGVP_DATA_ROOT")
    return option or (Path(from_environment) if from_environment else None)
