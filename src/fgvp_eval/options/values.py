"""What the values of single options may be."""

from __future__ import annotations

import errno
import os
import re
from argparse import ArgumentTypeError
from pathlib import Path

from fgvp_eval.errors import UsageError
from fgvp_eval.options.config import SAM_KINDS, TEXT_COLOR, Proposals

_DEMO_PICTURE = re.compile(r"demo(:\d+)?")
_MOST_DIGITS = 9  # of the number of a demo picture
_TOO_LARGE = 2**63
# What Linux takes, less the names of the files below a folder that is given.
_LONGEST_PATH = 4096 - 512
_PROPOSALS = "gt, detections, detections:FILE, sam-grid"


def parse_integer(text: str) -> int:
    """Return a whole number that 64 bits can hold; of use as ``type`` of an argument.

    Raises:
        ValueError: It is no number.
        ArgumentTypeError: It is too large.
    """
    # Longer texts are not converted: int() refuses those of thousands of digits as no numbers.
    if text.strip().lstrip("+-").isdecimal() and (
        len(text) > 40 or not -_TOO_LARGE <= int(text) < _TOO_LARGE
    ):
        raise ArgumentTypeError(f"must be a number of 64 bits, got {text:.40}")
    return int(text)


def parse_path(text: str) -> Path:
    """Return the path that ``text`` is; of use as ``type`` of an argument.

    Raises:
        ArgumentTypeError: Nothing can be at such a path, on any machine.
    """
    if not text:
        raise ArgumentTypeError("a path must not be empty")
    if "\0" in text:
        raise ArgumentTypeError("a path must not hold a null character")
    reason: str | None = None
    try:
        os.lstat(text)
    except OSError as error:
        reason = error.strerror if error.errno == errno.ENAMETOOLONG else None
    except ValueError as error:  # characters that no file name of this system can hold
        reason = str(error)
    if reason is None and len(text.encode("utf-8", "surrogatepass")) > _LONGEST_PATH:
        reason = os.strerror(errno.ENAMETOOLONG)
    if reason is not None:
        raise ArgumentTypeError(f"no path can be {text[:40]!r}... ({reason})")
    return Path(text)


def parse_image(text: str) -> str:
    """Return the path of a picture, ``demo`` or ``demo:K``; of use as ``type`` of an argument.

    Raises:
        ArgumentTypeError: It can be neither.
    """
    if is_demo_picture(text):
        if len(text.partition(":")[2]) > _MOST_DIGITS:
            raise ArgumentTypeError(f"there is no demo picture of that number: {text:.40}...")
        return text
    parse_path(text)
    return text


def parse_clip(text: str) -> str:
    """Return ``text`` if it can name CLIP models, whatever models there are.

    Raises:
        UsageError: It is empty, or names a weights file that cannot be.
    """
    if not text:
        raise UsageError("--clip must be MODEL:PRETRAINED or demo, got nothing")
    for name in split_ensemble(text):
        _check_path(name.partition(":")[2], "--clip")
    return text


def split_ensemble(names: str) -> list[str]:
    """Split at each ``+`` that starts another model; a file name may hold one too."""
    words: list[str] = []
    for part in names.split("+"):
        if words and part != "demo" and ":" not in part:
            words[-1] += f"+{part}"
        else:
            words.append(part)
    return words


def parse_proposals(text: str) -> Proposals:
    """Return the candidate source that ``text`` names.

    Raises:
        UsageError: It names none; the message lists the choices.
    """
    kind, colon, path = text.partition(":")
    if kind == "detections" and (not colon or path):
        _check_path(path, "--proposals")
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
        _check_path(checkpoint, "--sam")
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
        return parse_integer(text)
    except (ValueError, ArgumentTypeError):
        raise UsageError(f"--negatives must be all or a number, got {text[:40]!r}") from None


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
    from_environment = os.environ.get("FGVP_DATA_ROOT", "")
    if option is not None or not from_environment:
        return option
    _check_path(from_environment, "the variable FGVP_DATA_ROOT")
    return Path(from_environment)


def _check_path(text: str, name: str) -> None:
    """Check a path that is part of a value, unless it is left out."""
    try:
        parse_path(text or ".")
    except ArgumentTypeError as error:
        raise UsageError(f"{name}: {error}") from None
