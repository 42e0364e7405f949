"""Random damage to every data file: no crash, no traceback, no file touched but the run's own.

All cases run in one process of their own, so that a crash of the interpreter is seen, and each from
its number alone, so that one that fails can be repeated.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import json
import math
import multiprocessing
import os
import pickle
import random
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from parts_root import PartsRoot

from fgvp_eval.commands import compare, rescore
from fgvp_eval.commands.evaluate import run_command
from fgvp_eval.commands.ground.__main__ import main as ground
from fgvp_eval.commands.report import main as report
from fgvp_eval.demo import models as demo_models

CASES = 390
PATIENCE = 240.0  # seconds for all of them; a quarter is usual
MODELS = ("--sam", "demo", "--clip", "demo")
RUN = (*MODELS, "--no-feature-cache", "--no-report", "--no-resume", "--out", "run")
NUMBERS = [0, -1, 0.5, 7, 255, 10**5, 2**31, 2**63, -(2**70), 10**400, 1e300, 1e308]
WORDS = ["", "x", "7", "é\x85\u2028", "a\x00b", "a\ud800", "a" * 5000, "../../x", "\x1b[2J"]
ODD = [None, True, math.nan, math.inf, -math.inf, [], {}, [[]], [{}], *NUMBERS, *WORDS]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The keys that lead to every value within one."""
    if isinstance(value, dict):
        within = list(value.items())
    elif isinstance(value, list):
        within = list(enumerate(value))
    else:
        within = []
    return [path, *(place for key, item in within for place in places(item, (*path, key)))]


def damaged_value(value: Any, rng: random.Random) -> Any:
    """A copy of a value with one to three places replaced, removed, doubled, wrapped or swapped."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        every = [place for place in places(value) if place]
        if not every:
            return rng.choice(ODD)
        *path, key = rng.choice(every)
        holder = value
        for step in path:
            holder = holder[step]
        action = rng.choice(["replace"] * 5 + ["remove", "double", "wrap", "swap", "shift"])
        if action == "remove":
            del holder[key]
        elif action == "double" and isinstance(holder, list):
            holder += [holder[key]] * rng.choice([1, 3])
        elif action == "wrap":
            holder[key] = rng.choice([[holder[key]], {"a": holder[key]}, (holder[key],)])
        elif action == "swap":
            other = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
            holder[key], holder[other] = holder[other], holder[key]
        elif action == "shift" and isinstance(holder[key], str) and holder[key]:
            at = rng.randrange(len(holder[key]))
            holder[key] = holder[key][:at] + chr(rng.randrange(128)) + holder[key][at + 1 :]
        elif action == "shift" and type(holder[key]) in (int, float):
            holder[key] = rng.choice([-holder[key], holder[key] * 1e3, holder[key] + 0.25])
        else:
            holder[key] = rng.choice(ODD)
    return value


def damaged_bytes(content: bytes, rng: random.Random) -> bytes:
    """Bytes with some changed, cut out, put in, or cut off."""
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8])):
        at = rng.randrange(len(changed) + 1)
        action = rng.choice(["change", "change", "cut", "insert", "end"])
        if action == "change" and at < len(changed):
            changed[at] = rng.randrange(256)
        elif action == "cut":
            del changed[at : at + rng.randrange(1, 9)]
        elif action == "insert":
            changed[at:at] = rng.randbytes(rng.randrange(1, 9))
        elif rng.random() < 0.3:
            del changed[at:]
    return bytes(changed)


def as_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")


@dataclass(frozen=True)
class Target:
    """A data file, its content, how that is written, and a command that reads it."""

    path: Path
    content: Any
    write: Callable[[Any], bytes]
    command: Callable[[Sequence[str]], int]
    words: tuple[object, ...]

    def damage(self, rng: random.Random) -> None:
        if self.write is bytes or rng.random() < 0.3:
            self.path.write_bytes(damaged_bytes(self.write(self.content), rng))
        else:
            self.path.write_bytes(self.write(damaged_value(self.content, rng)))

    def mend(self) -> None:
        self.path.write_bytes(self.write(self.content))


@pytest.fixture
def targets(root: Any, tmp_path: Path) -> list[Target]:
    root.save(root.detections())
    split = ("--split", "refcoco+_testA", "--data-root", root.path)
    annotated = (*split, "--proposals", "gt", "--masks", "gt", "--modes", "D4", *RUN)
    instances = json.loads(root.instances_path.read_text())
    picture = root.image_path(42)

    parts = PartsRoot(tmp_path / "parts").save()
    paco = ("--split", "paco_val", "--data-root", parts.path, "--proposals", "gt", *RUN)

    reclip_root = tmp_path / "reclip"
    shutil.copytree(root.path / "images", reclip_root / "images")
    lines = [
        ref | {"anns": [a for a in root.annotations if a["image_id"] == ref["image_id"]]}
        for ref in root.refs
    ]
    reclip = reclip_root / "reclip_data" / "refcoco+_testa.jsonl"
    reclip.parent.mkdir()
    of_reclip = ("--split", "refcoco+_testA", "--data-root", reclip_root, *annotated[4:])

    own = tmp_path / "own"
    own.mkdir()
    shutil.copy(picture, own / "picture.jpg")
    boxes = [
        {"bbox": a["bbox"], "image_id": 42, "label": "box", "segmentation": a["segmentation"]}
        for a in root.annotations
        if a["image_id"] == 42
    ]
    grounded = (own / "picture.jpg", "--text", "box", *MODELS, "--out", "grounded")
    given = (*grounded, "--boxes", own / "boxes.json", "--masks", "given")

    finished = tmp_path / "finished"
    assert run_command([str(word) for word in (*split, *RUN[:-1], finished)]) == 0
    reported = tmp_path / "reported"  # which a report is written to
    shutil.copytree(finished, reported)
    rows = [json.loads(row) for row in (finished / "samples.jsonl").read_text().splitlines()]
    results = json.loads((finished / "results.json").read_text())

    def as_lines(values: Any) -> bytes:
        listed = values if isinstance(values, list) else [values]
        return b"\n".join(map(as_json, listed))

    return [
        Target(root.instances_path, instances, as_json, run_command, annotated),
        Target(root.refs_path, root.refs, pickle.dumps, run_command, annotated),
        Target(root.detections_path, root.detections(), as_json, run_command, (*split, *RUN)),
        Target(picture, picture.read_bytes(), bytes, run_command, annotated),
        Target(reclip, lines, as_lines, run_command, of_reclip),
        Target(
            parts.json_path, json.loads(parts.json_path.read_text()), as_json, run_command, paco
        ),
        Target(own / "boxes.json", boxes, as_json, ground, given),
        Target(own / "picture.jpg", picture.read_bytes(), bytes, ground, grounded),
        Target(finished / "samples.jsonl", rows, as_lines, rescore.main, (finished,)),
        Target(finished / "samples.jsonl", rows, as_lines, compare.main, (finished, finished)),
        Target(finished / "results.json", results, as_json, rescore.main, (finished,)),
        Target(reported / "samples.jsonl", rows, as_lines, report, (reported,)),
        Target(reported / "results.json", results, as_json, report, (reported,)),
    ]


def tree_digest(folders: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for folder in folders for path in folder.rglob("*")):
        digest.update(str(path).encode())
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


def run_case(number: int, targets: Sequence[Target], folders: Sequence[Path]) -> dict[str, Any]:
    rng = random.Random(number)
    target = targets[number % len(targets)]
    target.damage(rng)
    before = tree_digest(folders)
    out, err = io.StringIO(), io.StringIO()
    case: dict[str, Any] = {"number": number, "file": target.path.name}
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code: object = target.command([str(word) for word in target.words])
    except BaseException as error:
        code = f"{type(error).__name__}: {error}"
    case |= {"code": code, "err": err.getvalue(), "same": tree_digest(folders) == before}
    target.mend()
    return case


def run_cases(log: Path, targets: Sequence[Target], folders: Sequence[Path]) -> None:
    with log.open("w") as file:
        for number in range(CASES):
            file.write(json.dumps({"starts": number}) + "\n")
            file.flush()
            file.write(json.dumps(run_case(number, targets, folders)) + "\n")
    os._exit(0)


def is_sound(case: dict[str, Any]) -> bool:
    """A case ended as it may: done, refused in one line, or finished with what is unscored."""
    errors = [line for line in case["err"].splitlines() if "error: " in line]
    as_told = case["code"] in (0, 3) if not errors else (case["code"], len(errors)) == (2, 1)
    return as_told and case["same"] and "Traceback" not in case["err"]


@pytest.fixture
def kept_models(monkeypatch: pytest.MonkeyPatch, random_models: None) -> None:
    """Random models that are made once and not for every case."""
    cpu = torch.device("cpu")
    sam, clip = demo_models.load_demo_sam(cpu), demo_models.load_demo_clip(cpu)
    monkeypatch.setattr(demo_models, "load_demo_sam", lambda device: sam)
    monkeypatch.setattr(demo_models, "load_demo_clip", lambda device: clip)


@pytest.mark.usefixtures("kept_models", "coarse_grid", "run")
def test_random_damage_is_refused_or_told(targets: list[Target], tmp_path: Path) -> None:
    for target in targets:
        target.mend()
    folders = [tmp_path / name for name in ("data", "parts", "reclip", "own", "finished")]
    log = tmp_path / "cases.jsonl"
    context = multiprocessing.get_context("fork")
    process = context.Process(target=run_cases, args=(log, targets, folders))
    process.start()
    process.join(PATIENCE)
    if process.is_alive():
        process.kill()
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert process.exitcode == 0, records[-1]  # the case at which the process died
    cases = [record for record in records if "code" in record]
    assert len(cases) == CASES
    assert [case for case in cases if not is_sound(case)] == []
    codes = Counter((case["file"], case["code"]) for case in cases)
    for name in {case["file"] for case in cases}:  # each was read, and found out
        assert codes[name, 2] + codes[name, 3] > 0, codes


@pytest.mark.parametrize(
    ("segmentation", "expected"),
    [
        ([[1, 1, 20, 1, 1, None]], "polygon 0 must be numbers from -48 to 96, got None"),
        ([[1, 1, 20, 1, 1, math.nan]], "polygon 0 must be numbers from -48 to 96, got nan"),
        ([[1, 1, 1e308, 1, 1, 20]], "polygon 0 must be numbers from -64 to 128, got 1e+308"),
        ({"size": [48, 64], "counts": [3074, -2]}, "add up to H·W = 3072"),
        ({"size": [48, 64], "counts": ""}, "add up to H·W = 3072"),
        ({"size": [48, 64], "counts": "\x7f0"}, "is no COCO run-length code"),
    ],
)
def test_masks_of_a_boxes_file(
    root: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    segmentation: Any,
    expected: str,
) -> None:
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps([{"bbox": [1, 1, 20, 20], "segmentation": segmentation}]))
    words = [root.image_path(42), "--text", "box", *MODELS, "--boxes", boxes, "--masks", "given"]
    assert ground([str(word) for word in words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{boxes}: segmentation of annotation 0 is broken: " in line
    assert expected in line
