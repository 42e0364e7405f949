"""Compile every kernel that ships, without a GPU, and report what the machine code needs.

    python benchmarks/kernel_report.py [--targets sm_80 sm_90 sm_100 gfx942] [--json FILE]

Gates: nothing spills (but for two kernels of older compilers), no more registers than allowed,
stores as wide as they can be. Exits 1 if one fails.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

# Compiled, not interpreted, and with the contraction of a*b+c that the launches use.
os.environ.pop("TRITON_INTERPRET", None)
os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from kernel_variants import Variant, variants

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
# Bytes that compilers before Triton 3.8 spill, seen with 3.6; nothing is spilled since.
SPILLS_BEFORE_3_8 = {("tile soft blur", "sm_80"): 48, ("tile plane blur", "sm_100"): 24}
_OLDER = tuple(int(part) for part in triton.__version__.split(".")[:2]) < (3, 8)
_TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"


@dataclass(frozen=True)
class Row:
    """What one kernel needs on one target; sizes in bytes, ``failures`` of the gates."""

    kernel: str
    target: str
    registers: int
    spills: int
    shared: int
    widest_load: int
    widest_store: int
    failures: tuple[str, ...]


def report(variant: Variant, target: str) -> Row:
    """Compile ``variant`` for ``target`` and read its machine code."""
    source = ASTSource(
        variant.kernel, variant.signature, constexprs=variant.constants, attrs=variant.attributes
    )
    kernel = triton.compile(source, target=TARGETS[target])
    if target.startswith("gfx"):
        registers, spills, loads, stores = _amd_needs(kernel.asm["amdgcn"])
    else:
        registers, spills, loads, stores = _nvidia_needs(kernel.asm["cubin"])
    failures = []
    if spills > (SPILLS_BEFORE_3_8.get((variant.name, target), 0) if _OLDER else 0):
        failures.append(f"{spills} bytes spilled")
    limit = variant.registers if not target.startswith("gfx") else 256
    if registers > limit:
        failures.append(f"{registers} registers, at most {limit} allowed")
    # A wave of 64 threads has half as many pixels of a program each, so half as wide a store.
    wanted = (variant.store or 0) // (2 if target.startswith("gfx") else 1)
    if max(stores, default=0) < wanted:
        failures.append(f"widest store {max(stores, default=0)} bytes, {wanted} wanted")
    return Row(
        variant.name, target, registers, spills, kernel.metadata.shared, max(loads, default=0),
        max(stores, default=0), tuple(failures),
    )  # fmt: skip


def _nvidia_needs(cubin: bytes) -> tuple[int, int, list[int], list[int]]:
    """Registers, bytes of stack or local memory, widths of global loads and of stores."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        usage = _run("cuobjdump", "--dump-resource-usage", file.name)
        sass = _run("nvdisasm", "-c", file.name)
    needs = {name: int(number) for name, number in re.findall(r"(\w+):(\d+)", usage)}
    loads = [_width(form) for form in re.findall(r"\bLDG(?:STS)?\.([\w.]+)", sass)]
    stores = [_width(form) for form in re.findall(r"\bSTG\.([\w.]+)", sass)]
    return needs["REG"], needs["STACK"] + needs["LOCAL"], loads, stores


def _width(form: str) -> int:
    widths = {"128": 16, "64": 8, "U16": 2, "S16": 2, "U8": 1, "S8": 1}
    return next((widths[part] for part in form.split(".") if part in widths), 4)


def _run(tool: str, *arguments: str) -> str:
    done = subprocess.run([_TOOLS / tool, *arguments], capture_output=True, text=True, check=True)
    return done.stdout


def _amd_needs(code: str) -> tuple[int, int, list[int], list[int]]:
    registers = int(re.search(r"\.vgpr_count:\s*(\d+)", code)[1])
    spills = int(re.search(r"\.vgpr_spill_count:\s*(\d+)", code)[1])
    forms = {"dwordx4": 16, "dwordx3": 12, "dwordx2": 8, "dword": 4, "short": 2, "byte": 1}
    pattern = r"(?:global|buffer|flat)_{}_(?:u|s)?(dwordx4|dwordx3|dwordx2|dword|short|byte)"
    loads = [forms[form] for form in re.findall(pattern.format("load"), code)]
    stores = [forms[form] for form in re.findall(pattern.format("store"), code)]
    return registers, spills, loads, stores


def _job(index: int, target: str) -> Row:
    return report(variants()[index], target)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        jobs = [
            pool.submit(_job, index, target)
            for target in args.targets
            for index in range(len(variants()))
        ]
        rows = [job.result() for job in jobs]
    print(f"triton {triton.__version__}; spills, shared memory and widths in bytes")
    names = ("regs", "spill", "shared", "load", "store")
    print(f"{'kernel':26} {'target':8}" + "".join(f"{name:>7}" for name in names))
    for row in rows:
        print(
            f"{row.kernel:26} {row.target:8}{row.registers:7}{row.spills:7}{row.shared:7}"
            f"{row.widest_load:7}{row.widest_store:7}  {'; '.join(row.failures)}"
        )
    if args.json:
        record = {"triton": triton.__version__, "rows": [asdict(row) for row in rows]}
        args.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    failed = sum(bool(row.failures) for row in rows)
    print(f"{len(rows) - failed} of {len(rows)} pass")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
