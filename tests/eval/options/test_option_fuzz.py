"""Random command lines, which end with an exit code and one line, whatever is in them."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fgvp_eval import __main__ as program
from fgvp_eval.commands import compare, data, gallery, report, rescore
from fgvp_eval.commands.doctor import __main__ as doctor
from fgvp_eval.commands.doctor import checks
from fgvp_eval.commands.ground import __main__ as ground
from fgvp_eval.commands.ground import run as ground_run
from fgvp_eval.demo import dataset, parts_dataset
from fgvp_eval.errors import UsageError
from fgvp_eval.options import command_line as command_options
from fgvp_eval.tasks import split_plan
from fgvp_eval.tasks.parts import plan as parts_plan

LINES = 150  # of each command
LONG, DIGITS = "a" * 5000, "9" * 5000
# What may stand anywhere.
WORDS = (
    *("", " ", "0", "-1", "1", "2.5", "1e400", "nan", "9" * 30, DIGITS, "٣", "é", "\0", "\udcff"),
    *("\ud800", LONG, "b" * 300, "/", ".", "{}", "{", ",", ":", "+", "-", "--", "@x", "none"),
)
NUMBERS = ("0", "1", "3", "64", "-1", "9" * 18, str(2**63 - 1), str(2**63), DIGITS, " 7")
PATHS = (
    "/dev/null",
    "no/such",
    ".",
    "junk",
    "picture.png",
    "mask.png",
    "out.png",
    "é/x",
    "b" * 250,
)
PATHS = (*PATHS, "/", "x" * 300, LONG, "x/" * 1900, "\udcff.png", "out.xyz", "out.gif")
# What the option of a name is about.
TEXTS = {
    "split": ("demo", "demo_parts", "refcoco_val", "paco_val", "demo,demo_parts", "DEMO,demo"),
    "image": ("picture.png", "demo", "demo:1", "demo:0", f"demo:{DIGITS}", "picture.png"),
    "modes": ("D4,crop", "D4,D4", "official:blur_mask", "none", "D4, B1", "D4,,", "blurr", LONG),
    "proposals": (
        *("gt", "sam-grid", "detections", "detections:", "detections:/dev/null"),
        *(f"detections:{LONG}", "detections:\0", "gt:"),
    ),
    "sam": ("demo", "vit_b", "vit_b:", "vit_b:/dev/null", f"vit_b:{LONG}", "vit_b:\0", "vit_x"),
    "clip": (
        *("demo", "demo+demo", "ViT-B-32:openai", "RN50:/dev/null", f"RN50:{LONG}", "RN50:\0"),
        *(f"RN50:{'b' * 300}", "RN50:x+y", "demo+", "RN50", "RN50:", "../x:openai", LONG),
    ),
    "device": ("auto", "cpu", "cpu:1", "cpu:99999", "meta", "hpu", "cuda:7", "cuda:-1", LONG, "0"),
    "negatives": ("all", "1", "0", DIGITS, "junk/samples.jsonl", "picture.png"),
    "color": ("red", "random", "text", "#ff0000", "RED"),
    "template": ("{}", "a {}", "{} {}", "{x}", "{0}", LONG),
    "point": ("1,2", "1,nan", "29,19", "30,20", "-0,1e400", "1", "1,2,3"),
    "preset": ("fgvp-rs", "cpt-r", "FGVP-S"),
    "names": ("demo", "refcoco_val", "sam_vit_b", "demo,,demo", ",", "refcoco_all"),
    "base_url": ("http://127.0.0.1:9", "ftp://x", "http://"),
    "text": ("a star", LONG, " ", "\udcff"),
}

Command = tuple[Callable[[Sequence[str]], int], Callable[[], argparse.ArgumentParser]]
COMMANDS: dict[str, Command] = {
    "evaluate": (program.main, command_options.build_parser),
    "ground": (ground.main, ground.build_parser),
    "gallery": (gallery.main, gallery.build_parser),
    "rescore": (rescore.main, rescore.build_parser),
    "compare": (compare.main, compare.build_parser),
    "report": (report.main, report.build_parser),
    "data": (data.main, data.build_parser),
    "doctor": (doctor.main, doctor.build_parser),
}


def stop(*_: object, **__: object) -> Any:
    raise UsageError("stopped before any model, file of a run or server is asked")


@pytest.fixture
def no_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Stop each command once its options are found good; a demo of few pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FGVP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("FGVP_DATA_ROOT", raising=False)
    monkeypatch.setattr(dataset, "DEMO_IMAGES", 6)
    monkeypatch.setattr(parts_dataset, "PARTS_IMAGES", 2)
    for module, name in (
        (split_plan, "read_refcoco"),
        (parts_plan, "read_paco"),
        (ground_run, "load_models"),
        (gallery, "load_sam"),
        (data, "Acquirer"),
        (checks, "examine"),
    ):
        monkeypatch.setattr(module, name, stop)
    Image.fromarray(np.full((20, 30, 3), 99, np.uint8)).save("picture.png")
    Image.fromarray(np.full((20, 30), 255, np.uint8)).save("mask.png")
    Path("junk").mkdir()
    Path("junk/results.json").write_text('{"metrics": 3}')
    Path("junk/samples.jsonl").write_text('{"sample_id": 1}\n')


def random_words(parser: argparse.ArgumentParser, rng: random.Random) -> list[str]:
    """A command line in which most values are such as the option is for."""
    words: list[str] = []
    needed = [action for action in parser._actions if action.required]
    needed += [
        rng.choice(group._group_actions)
        for group in parser._mutually_exclusive_groups
        if group.required
    ]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            name = rng.choice([*action.choices])
            return [*words, name, *random_words(action.choices[name], rng)]
        if action.option_strings:
            share = 0.01 if action.dest == "help" else 1.0 if action in needed else 0.12
            if rng.random() > share:
                continue
            words.append(rng.choice(action.option_strings))
        if action.nargs != 0:
            known: Sequence[object] = (
                action.choices
                or TEXTS.get(action.dest)
                or {
                    int: NUMBERS,
                    float: ("0", "0.05", "1", "-1", "nan", "inf"),
                    Path: PATHS,
                }.get(action.type, WORDS)
            )
            pool = WORDS if rng.random() < 0.06 else [str(word) for word in known]
            words += [rng.choice(pool) for _ in range(1 + (rng.random() < 0.04))]
    return words


def complaints(name: str, seed: int) -> list[str]:
    """What is wrong with the ends of random command lines of a command."""
    main, build_parser = COMMANDS[name]
    rng = random.Random(f"{name} {seed}")
    found = []
    for _ in range(LINES):
        words = random_words(build_parser(), rng)
        streams = io.StringIO(), io.StringIO()
        try:
            with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
                code = main(words)
        except BaseException as error:
            found.append(f"{words}: {type(error).__name__}: {error}"[:600])
            continue
        err = streams[1].getvalue()
        errors = [line for line in err.splitlines() if line.startswith("fgvp_eval: error: ")]
        if code not in (0, 2, 3) or "Traceback" in err or len(errors) != (code == 2):
            found.append(f"{words}: {code}: {err}"[:600])
    return found


@pytest.mark.usefixtures("no_models")
def test_random_command_lines_end_with_one_line(tmp_path: Path) -> None:
    def body() -> None:
        found = [line for name in COMMANDS for line in complaints(name, seed=0)]
        (tmp_path / "found.json").write_text(json.dumps(found))

    process = multiprocessing.get_context("fork").Process(target=body)
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert json.loads((tmp_path / "found.json").read_text()) == []
