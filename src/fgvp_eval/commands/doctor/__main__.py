"""``python -m fgvp_eval.doctor``: whether this installation is sound, as a block for an issue."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from fgvp_eval.errors import EXIT_DONE, EXIT_FAILURE
from fgvp_eval.options.config import DEFAULT_CLIP, DEFAULT_SAM
from fgvp_eval.options.tool_command import ToolParser, print_result, run_tool
from fgvp_eval.options.values import data_root_given, parse_clip, parse_sam

_PROGRAM = "python -m fgvp_eval.doctor"
_EPILOG = f"""examples:
  {_PROGRAM}
  {_PROGRAM} --data-root /data --clip ViT-B-32-quickgelu:openai --device cuda
  {_PROGRAM} --json > doctor.json

No weights and no data are downloaded; the demo's data are made on first use. The block holds no
user name: the home folder is written as ~.

exit codes: 0 nothing failed; 1 something failed; 2 wrong usage; 130 interrupted
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; it needs no torch."""
    parser = ToolParser(
        prog=_PROGRAM,
        description="Check versions, devices, backends, CLIP preprocessing, weights, data and "
        "caches, and print one block to paste into an issue.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "--sam",
        default=DEFAULT_SAM,
        metavar="SAM",
        help=f"vit_h|vit_l|vit_b[:CHECKPOINT] or demo; default: {DEFAULT_SAM}",
    )
    add(
        "--clip",
        metavar="CLIP",
        help="MODEL:PRETRAINED of open_clip, several joined by +, or demo; default: the names of "
        f"{DEFAULT_CLIP} and the preprocessing of demo",
    )
    add("--data-root", type=Path, metavar="DIR", help="default: $FGVP_DATA_ROOT, else ./data")
    add("--device", default="auto", help="auto (a GPU if there is one), cpu, cuda, cuda:1, ...")
    add("--json", action="store_true", help="print the same as a JSON object")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return run_tool(lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(argv: Sequence[str]) -> int:
    options = build_parser().parse_args(argv)
    sam = parse_sam(options.sam)
    clip = None if options.clip is None else parse_clip(options.clip)
    data_root = data_root_given(options.data_root) or Path("data")
    # Late, so that --help and wrong usage answer without waiting for torch.
    from fgvp_eval.commands.doctor.checks import examine
    from fgvp_eval.commands.doctor.report import as_block, as_record

    sections = examine(sam, clip, data_root, options.device)
    print_result(json.dumps(as_record(sections), indent=2) if options.json else as_block(sections))
    failed = any(line.state == "failed" for found in sections.values() for line in found)
    return EXIT_FAILURE if failed else EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
