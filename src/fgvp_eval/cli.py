"""The command line: options to a checked config, a run, its table on stdout, an exit code."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, get_args

from fgvp_eval.config import (
    DEFAULT_CLIP,
    DEFAULT_SAM,
    EvalConfig,
    Masks,
    Precision,
    parse_modes,
    parse_proposals,
    parse_sam,
)
from fgvp_eval.errors import (
    EXIT_DONE,
    EXIT_FAILURE,
    EXIT_INCOMPLETE,
    EXIT_INTERRUPTED,
    EXIT_REFUSED,
    EvalError,
    UsageError,
)
from fgvp_eval.splits import COLLECTIONS, SPLITS, parse_splits

_PROGRAM = "python -m fgvp_eval"
_EXAMPLES = f"""examples:
  {_PROGRAM} --split demo
  {_PROGRAM} --split refcoco+_testA --data-root /data --sam vit_h:/weights/sam_vit_h_4b8939.pth
  {_PROGRAM} --split refcoco_all,refcocog_val --modes crop,blur_reverse_mask --limit 500
  {_PROGRAM} --split demo --modes none,D3,official:blur_mask --compare-modes --masks gt

splits: {", ".join((*SPLITS, *COLLECTIONS))}

exit codes: 0 done; 1 failure; 2 wrong usage, or data missing or broken; 3 finished, but some
samples could not be scored; 130 interrupted
"""
_LOG = logging.getLogger("fgvp_eval")


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line, raised rather than printed."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; it needs no torch."""
    parser = _Parser(
        prog=_PROGRAM,
        description="Evaluate visual prompts for CLIP on referring expressions: SAM masks, "
        "rendered prompts, CLIP scores, accuracy at IoU > 0.5.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--split", required=True, metavar="NAMES", help="splits or collections, comma separated")
    add("--data-root", type=Path, metavar="DIR", help="default: $FGVP_DATA_ROOT, else ./data")
    add(
        "--modes",
        metavar="MODES",
        help="visual prompts, comma separated, scored as one ensemble (sum of logits); "
        "default: blur_reverse_mask; on demo: five modes, compared",
    )
    add(
        "--compare-modes",
        action=argparse.BooleanOptionalAction,
        help="score each of the modes alone, one row each",
    )
    add(
        "--proposals",
        metavar="SOURCE",
        help="candidate boxes: gt (all annotated boxes: an easier protocol), detections, or "
        "detections:FILE; default: detections; on demo: gt, since it has no detector",
    )
    add("--masks", choices=get_args(Masks), default="sam", help="default: sam, by box prompts")
    add(
        "--sam",
        metavar="SAM",
        help=f"vit_h|vit_l|vit_b[:CHECKPOINT] or demo; default: {DEFAULT_SAM}; on demo: demo",
    )
    add(
        "--clip",
        metavar="CLIP",
        help="MODEL:PRETRAINED of open_clip (PRETRAINED may be a file), several joined by + for "
        f"an ensemble, or demo; default: {DEFAULT_CLIP}; on demo: demo",
    )
    add("--limit", type=int, metavar="N", help="only the first N sentences of each split")
    add("--seed", type=int, default=0, help="default: 0")
    add("--device", default="auto", help="auto (a GPU if there is one), cpu, cuda, cuda:1, ...")
    add("--precision", choices=get_args(Precision), default="auto", help="of the CLIP towers")
    add("--batch-size", type=int, default=256, metavar="N", help="pictures encoded at once")
    add("--out", type=Path, metavar="DIR", help="run folder; default: runs/SPLIT-TIME")
    # Known names of what a later version does: refused by name rather than as a typing error.
    add("--post", default="none", help=argparse.SUPPRESS)
    add("--preset", help=argparse.SUPPRESS)
    add("--resume", action=argparse.BooleanOptionalAction, default=False, help=argparse.SUPPRESS)
    return parser


def parse_config(argv: Sequence[str]) -> EvalConfig:
    """Return the config that the arguments ask for.

    Args:
        argv: Arguments without the program's name; long options in either spelling,
            ``--data-root`` or ``--data_root``.

    Raises:
        UsageError: An argument is unknown, has a bad value or does not fit another one.
    """
    options = build_parser().parse_args([_dashed(word) for word in argv])
    _refuse_later(options)
    from_environment = os.environ.get("FGVP_DATA_ROOT")
    data_root = options.data_root or (Path(from_environment) if from_environment else None)
    return EvalConfig(
        splits=parse_splits(options.split),
        data_root=data_root,
        modes=None if options.modes is None else parse_modes(options.modes),
        compare_modes=options.compare_modes,
        proposals=None if options.proposals is None else parse_proposals(options.proposals),
        masks=options.masks,
        sam=None if options.sam is None else parse_sam(options.sam),
        clip=options.clip,
        limit=options.limit,
        seed=options.seed,
        device=options.device,
        precision=options.precision,
        batch_size=options.batch_size,
        out=options.out,
    )


def _dashed(word: str) -> str:
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value


def _refuse_later(options: argparse.Namespace) -> None:
    if options.post != "none":
        raise UsageError(f"--post {options.post} is not part of this version; choices: none")
    if options.preset is not None:
        raise UsageError(f"--preset {options.preset} is not part of this version")
    if options.resume:
        raise UsageError("--resume is not part of this version: a run starts from the beginning")


def run_command(argv: Sequence[str]) -> int:
    """Run the command line and return its exit code; never raises an ``Exception``.

    stdout gets the result table and nothing else; everything said goes to stderr.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("fgvp_eval: %(message)s"))
    previous_level, previous_propagate = _LOG.level, _LOG.propagate
    _LOG.addHandler(handler)
    _LOG.setLevel(logging.INFO)
    _LOG.propagate = False
    try:
        return _run(argv)
    except EvalError as error:
        _LOG.error("error: %s", " ".join(str(error).split()))
        return EXIT_REFUSED
    except SystemExit as ending:  # argparse has printed its --help
        return ending.code if isinstance(ending.code, int) else EXIT_DONE
    except KeyboardInterrupt:
        _LOG.error("interrupted; repeat the run with: %s", shlex.join([*_words(), *argv]))
        return EXIT_INTERRUPTED
    except Exception as error:
        _LOG.exception("failed: %s: %s", type(error).__name__, error)
        return EXIT_FAILURE
    finally:
        _LOG.removeHandler(handler)
        _LOG.setLevel(previous_level)
        _LOG.propagate = previous_propagate


def _words() -> list[str]:
    return _PROGRAM.split()


def _run(argv: Sequence[str]) -> int:
    config = parse_config(argv)
    # Late, so that --help and wrong usage answer without waiting for torch.
    from fgvp_eval.pipeline import evaluate
    from fgvp_eval.run_folder import choose_folder, write_run
    from fgvp_eval.tables import result_table

    folder = choose_folder(config)
    report = evaluate(config, before_scoring=folder.create)
    write_run(folder.path, report, [*_words(), *argv])
    print(result_table(report))
    _LOG.info("wrote %s", folder.path)
    return EXIT_DONE if report.complete else EXIT_INCOMPLETE
