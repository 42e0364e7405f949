"""What the checks found, as a block for an issue or as JSON; without names of users."""

from __future__ import annotations

import getpass
import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

State = Literal["ok", "warning", "failed", "not checked"]
Sections = Mapping[str, Sequence["Line"]]

_LOG = logging.getLogger(__name__)
_SCHEMA_VERSION = 1
_WIDEST_VALUE = 60


@dataclass(frozen=True)
class Line:
    """One thing that was looked at.

    Attributes:
        what: Its name.
        value: What was found.
        state: Whether that is as it should be; ``failed`` makes the exit code 1.
        reason: Why the state is what it is, or what to do.
    """

    what: str
    value: str
    state: State = "ok"
    reason: str = ""


def run_checks(checks: Mapping[str, Callable[[], list[Line]]]) -> dict[str, list[Line]]:
    """Return the lines of every section; one that breaks becomes a failed line of its own."""
    sections: dict[str, list[Line]] = {}
    for name, check in checks.items():
        try:
            sections[name] = check()
        except ImportError as error:
            reason = f"a package is missing or broken: {one_line(error)}"
            sections[name] = [Line("this check", "cannot run", "failed", reason)]
        except OSError as error:  # a folder that may not be read
            sections[name] = [Line("this check", "cannot run", "failed", one_line(error))]
        except Exception as error:
            # Checks report the errors they expect. One that nobody expected is a finding as well,
            # and must not hide what the other checks have to say.
            _LOG.exception("the check of %s broke", name)
            reason = f"unexpected {type(error).__name__}: {one_line(error)}"
            sections[name] = [Line("this check", "broke", "failed", reason)]
    return sections


def as_block(sections: Sections) -> str:
    """Return sections as text within a code fence, to be pasted into an issue."""
    lines = ["```text"]
    for name, found in sections.items():
        lines += [name, *_aligned(found)]
    counts = _counts(sections)
    summary = ", ".join(f"{state} {count}" for state, count in counts.items())
    return private("\n".join([*lines, summary, "```"]))


def as_record(sections: Sections) -> dict[str, Any]:
    """Return sections as JSON can hold them."""
    return {
        "schema_version": _SCHEMA_VERSION,
        "sections": {
            name: [{key: private(text) for key, text in asdict(line).items()} for line in found]
            for name, found in sections.items()
        },
        "counts": _counts(sections),
    }


def private(text: str) -> str:
    """Return ``text`` with the home folder as ``~`` and the user's name in no path."""
    home = Path.home()
    for folder in (home, home.resolve()):
        if len(folder.parts) > 1:
            text = re.sub(rf"{re.escape(str(folder))}(?![\w.-])", "~", text)
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return text
    return re.sub(rf"(?<=[/\\]){re.escape(user)}(?![\w.-])", "USER", text)


def one_line(error: BaseException | str, most: int = 300) -> str:
    """Return a message on one line, cut to ``most`` characters."""
    text = " ".join(str(error).split())
    return text if len(text) <= most else f"{text[: most - 3]}..."


def size_text(count: float) -> str:
    """Return bytes as a person reads them, ``2.6 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _aligned(found: Sequence[Line]) -> list[str]:
    names = max((len(line.what) for line in found), default=0)
    values = min(_WIDEST_VALUE, max((len(private(line.value)) for line in found), default=0))
    return [
        f"  {line.what:<{names}}  {private(line.value):<{values}}  {line.state}"
        + (f": {line.reason}" if line.reason else "")
        for line in found
    ]


def _counts(sections: Sections) -> dict[str, int]:
    counts = Counter(line.state for found in sections.values() for line in found)
    return {state: counts[state] for state in get_args(State)}
