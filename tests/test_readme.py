"""What the README shows is run."""

from __future__ import annotations

import re
from pathlib import Path

from fgvp_kernels import Mode

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_python_examples_run():
    examples = blocks("python")
    assert examples
    for example in examples:
        names: dict[str, object] = {}
        exec(compile(example, "README.md", "exec"), names)
        assert names["pictures"].shape == (64, 3, 224, 224)
        assert names["ensemble"].shape == (3, 64, 3, 224, 224)


def test_every_mode_is_named_with_its_code():
    for mode in Mode:
        code = mode.spec.code
        assert f"`{mode.value}`" + (f" {code}" if code else "") in README, mode


def test_one_liners_stand_on_the_first_screen():
    first_screen = "\n".join(README.splitlines()[:24])
    assert 'pip install -e ".[eval]" && python -m fgvp_eval --split demo' in first_screen
    assert 'pip install -e ".[test]" && pytest' in first_screen
