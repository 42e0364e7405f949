"""``python -m fgvp_eval.report RUN``: write the report of a run again."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from fgvp_eval.errors import EXIT_DONE, UsageError
from fgvp_eval.options.config import DEFAULT_REPORT_MISSES
from fgvp_eval.options.tool_command import ToolParser, run_tool
from fgvp_eval.report.page import FILE_NAME, write_report

_LOG = logging.getLogger("fgvp_eval")
_PROGRAM = "python -m fgvp_eval.report"
_EPILOG = f"""examples:
  {_PROGRAM} runs/demo-20260101-120000
  {_PROGRAM} runs/refcoco_val --data-root /data --misses 300 --out report.html

Prompts as CLIP saw them are those that the run kept; without the images the report has no pictures,
and says so.

exit codes: 0 written; 2 wrong usage, or a broken run
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = ToolParser(
        prog=_PROGRAM,
        description="Write a run's report: one page that needs no network, with results, causes "
        "of misses, and a gallery of misses.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("run", type=Path, metavar="RUN", help="run folder")
    add(
        "--data-root",
        type=Path,
        metavar="DIR",
        help="where the images are; default: where the run had them",
    )
    add(
        "--misses",
        type=int,
        default=DEFAULT_REPORT_MISSES,
        metavar="N",
        help=f"misses of each row to show at most; default: {DEFAULT_REPORT_MISSES}",
    )
    add("--out", type=Path, metavar="FILE", help=f"default: {FILE_NAME} in the run folder")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return run_tool(lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(argv: Sequence[str]) -> int:
    options = build_parser().parse_args(argv)
    if options.misses < 0:
        raise UsageError(f"--misses must be at least 0, got {options.misses}")
    path = options.out or options.run / FILE_NAME
    try:
        write_report(
            options.run, per_row=options.misses, data_root=options.data_root, out=options.out
        )
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    _LOG.info("wrote %s (%.1f MB)", path, path.stat().st_size / 1e6)
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
