"""Every kernel compiles ahead of time for every target, spills nothing and stores wide."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPORT = Path(__file__).parents[2] / "benchmarks" / "kernel_report.py"
TARGETS = {"sm_80", "sm_90", "sm_100", "gfx942"}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.json"
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, REPORT, "--json", path],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode in (0, 1), done.stderr
    return json.loads(path.read_text())["rows"]


def test_gates(rows):
    failures = {(row["kernel"], row["target"]): row["failures"] for row in rows if row["failures"]}
    assert failures == {}
    assert {row["target"] for row in rows} == TARGETS


def test_pictures_are_written_sixteen_bytes_at_a_time(rows):
    stores = [
        row["widest_store"]
        for row in rows
        if row["kernel"].startswith("select") and row["target"].startswith("sm_")
        if " u8 " not in row["kernel"]
    ]
    assert len(stores) == 18
    assert set(stores) == {16}
