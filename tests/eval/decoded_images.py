"""The images that a run works on, as it decodes them: which ones, and an interrupt among them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest


def record_decoded(monkeypatch: pytest.MonkeyPatch, work: ModuleType) -> list[str]:
    """Return the list that gets the name of every image that ``work`` decodes from now on."""
    names: list[str] = []
    decode = work.decode_image

    def recording(record: Any) -> Any:
        names.append(record.name)
        return decode(record)

    monkeypatch.setattr(work, "decode_image", recording)
    return names


@contextmanager
def interrupted_after(images: int, decoded: list[str], work: ModuleType) -> Iterator[None]:
    """Interrupt ``work`` after so many images; ``decoded`` is of :func:`record_decoded`."""
    decode = work.decode_image

    def interrupting(record: Any) -> Any:
        if len(decoded) == images:
            raise KeyboardInterrupt
        return decode(record)

    decoded.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "decode_image", interrupting)
        yield
