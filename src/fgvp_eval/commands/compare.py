"""``python -m fgvp_eval.compare RUN_A RUN_B``: is one run better than the other, and where."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tabulate import tabulate

from fgvp_eval.errors import EXIT_DONE, UsageError
from fgvp_eval.options.tool_command import ToolParser, run_tool
from fgvp_eval.results.paired_runs import SUBSETS, Comparison, Flip, compare_runs
from fgvp_eval.results.stored_runs import read_run

_LOG = logging.getLogger("fgvp_eval")
_EPILOG = """examples:
  python -m fgvp_eval.compare runs/crop runs/blur
  python -m fgvp_eval.compare runs/demo runs/demo --modes-a crop --modes-b blur_reverse_mask

exit codes: 0 compared; 2 wrong usage, runs of different samples, or a broken run
"""
_HEADERS = (
    *("split", "A", "B", "n", "A %", "B %", "B - A", "95 % interval"),
    *("only A right", "only B right", "p (McNemar)"),
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = ToolParser(
        prog="python -m fgvp_eval.compare",
        description="Compare two runs of the same sentences: McNemar's exact test, the difference "
        "of accuracy with an interval from a paired bootstrap over images, and the sentences that "
        "flipped.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("run_a", type=Path, metavar="RUN_A", help="run folder")
    add("run_b", type=Path, metavar="RUN_B", help="run folder")
    add("--modes-a", metavar="MODES", help="row of A; several modes joined by +")
    add("--modes-b", metavar="MODES", help="row of B; default: rows of equal modes")
    add("--subset", choices=tuple(SUBSETS), help="only sentences with words of place")
    add("--flips", type=int, default=20, metavar="N", help="flips to list a direction; default: 20")
    add("--seed", type=int, default=0, help="of the bootstrap; default: 0")
    add("--json", type=Path, metavar="FILE", help="write everything, all flips included")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return run_tool(lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(argv: Sequence[str]) -> int:
    options = build_parser().parse_args(argv)
    if options.flips < 0 or options.seed < 0:
        raise UsageError("--flips and --seed must be at least 0")
    found = compare_runs(
        read_run(options.run_a),
        read_run(options.run_b),
        label_a=options.modes_a,
        label_b=options.modes_b,
        subset=options.subset,
        seed=options.seed,
    )
    if options.json is not None:
        _write(options.json, found)
    print(_report(found, options.flips))
    return EXIT_DONE


def _write(path: Path, found: Sequence[Comparison]) -> None:
    text = json.dumps([asdict(comparison) for comparison in found], indent=2, ensure_ascii=False)
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--json {path} cannot be written: {error.strerror}") from None
    _LOG.info("wrote %s", path)


def _report(found: Sequence[Comparison], flips: int) -> str:
    rows = [
        (
            *(item.split, item.label_a, item.label_b, str(item.n)),
            *(f"{100 * item.accuracy_a:.1f}", f"{100 * item.accuracy_b:.1f}"),
            f"{100 * item.difference:+.1f}",
            f"{100 * item.interval_95[0]:+.1f} to {100 * item.interval_95[1]:+.1f}",
            *(str(len(item.only_a)), str(len(item.only_b)), f"{item.p_value:.2g}"),
        )
        for item in found
    ]
    alignment = ("left",) * 3 + ("right",) * 8
    table = tabulate(rows, _HEADERS, tablefmt="github", disable_numparse=True, colalign=alignment)
    lists = [
        text
        for item in found
        for name, of_one in (("A", item.only_a), ("B", item.only_b))
        for text in _flip_list(item, name, of_one, flips)
    ]
    same = [] if lists else ["", "No sentence flipped."]
    return "\n".join([table, *lists, *same])


def _flip_list(item: Comparison, name: str, flips: Sequence[Flip], most: int) -> list[str]:
    if not flips:
        return []
    shown = [
        f"- {flip.sample_id}: {flip.text!r} (A chose {flip.pred_a}, B chose {flip.pred_b})"
        for flip in flips[:most]
    ]
    left = len(flips) - len(shown)
    if left:
        shown.append(f"- and {left} more (--flips {len(flips)}, or --json FILE)")
    where = (
        item.split
        if item.label_a == item.label_b
        else f"{item.split}, {item.label_a} against {item.label_b}"
    )
    return ["", f"Only {name} right ({where}): {len(flips)}", *shown]


if __name__ == "__main__":
    sys.exit(main())
