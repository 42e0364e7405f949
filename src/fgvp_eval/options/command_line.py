"""The options of the command line, and the checked config that they make."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from fgvp_eval.errors import UsageError
from fgvp_eval.options.config import (
    DEFAULT_CLIP,
    DEFAULT_REPORT_MISSES,
    DEFAULT_SAM,
    OFFICIAL_CLEAN_MASKS,
    Aggregate,
    EvalConfig,
    Masks,
    PartInput,
    Precision,
)
from fgvp_eval.options.presets import DEFAULT_TEMPLATE, PRESETS, Post, parse_preset
from fgvp_eval.options.splits import COLLECTIONS, SPLITS, parse_splits
from fgvp_eval.options.tool_command import ToolParser
from fgvp_eval.options.values import (
    data_root_given,
    parse_clip,
    parse_color,
    parse_modes,
    parse_negatives,
    parse_proposals,
    parse_sam,
    parse_template,
)

PROGRAM = "python -m fgvp_eval"
_EXAMPLES = f"""examples:
  {PROGRAM} --split demo
  {PROGRAM} --split refcoco+_testA --data-root /data --sam vit_h:/weights/sam_vit_h_4b8939.pth
  {PROGRAM} --split refcoco_all,refcocog_val --modes crop,blur_reverse_mask --limit 500
  {PROGRAM} --split demo --modes none,D3,official:blur_mask --compare-modes --masks gt
  {PROGRAM} --split refcoco_val --preset fgvp-rs --data-root /data
  {PROGRAM} --split demo_location --modes crop,D4 --post RS
  {PROGRAM} --split demo_parts

data: python -m fgvp_eval.data --help

splits: {", ".join((*SPLITS, *COLLECTIONS))}

exit codes: 0 done; 1 failure; 2 wrong usage, or data missing or broken; 3 finished, but some
samples could not be scored; 130 interrupted, with the command that resumes it

many GPUs: torchrun --nproc-per-node 8 -m fgvp_eval --split ... shares the images among processes;
machines need a run folder that all of them see
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; it needs no torch."""
    parser = ToolParser(
        prog=PROGRAM,
        description="Evaluate visual prompts for CLIP on referring expressions: SAM masks, "
        "rendered prompts, CLIP scores, accuracy at IoU > 0.5.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument_group("data").add_argument
    add(
        "--split",
        required=True,
        metavar="NAMES",
        help="splits or collections, comma separated, as listed below; required",
    )
    add(
        "--data-root",
        type=Path,
        metavar="DIR",
        help="images and annotations; default: $FGVP_DATA_ROOT, else ./data",
    )
    add(
        "--strict-data",
        action="store_true",
        help="refuse data whose counts are not the published ones; default: a warning",
    )
    add = parser.add_argument_group("candidates, prompts and models").add_argument
    add(
        "--modes",
        metavar="MODES",
        help="visual prompts, comma separated, scored as one ensemble (sum of logits); "
        "default: blur_reverse_mask; on demo: five modes, compared",
    )
    add(
        "--compare-modes",
        action=argparse.BooleanOptionalAction,
        help="score each of the modes alone, one row each; default: no; on demo without --modes: "
        "yes",
    )
    add(
        "--proposals",
        metavar="SOURCE",
        help="candidate boxes: gt (all annotated boxes: an easier protocol), detections, "
        "detections:FILE, or sam-grid (boxes of the masks that SAM finds from a grid of points); "
        "default: detections; on demo: gt, since it has no detector; on splits of parts: gt names "
        "annotated parts, sam-grid detects them; default: both",
    )
    add(
        "--masks",
        choices=get_args(Masks),
        default="sam",
        help="masks of the candidates: SAM's, prompted by their boxes, or the annotated ones; "
        "default: sam",
    )
    add(
        "--part-input",
        choices=get_args(PartInput),
        help="what parts are looked for in: the object cut out, the whole image, or one after the "
        "other; default: both",
    )
    add(
        "--sam",
        metavar="SAM",
        help="vit_h, vit_l or vit_b, each with :CHECKPOINT or without, or demo; default: "
        f"{DEFAULT_SAM}; on demo: demo",
    )
    add(
        "--clean-masks",
        type=int,
        metavar="AREA",
        help="remove holes and islands of SAM's masks below AREA pixels at long side 1024; "
        f"default: {OFFICIAL_CLEAN_MASKS} as in the released code; with the demo SAM: 0",
    )
    add(
        "--clip",
        metavar="CLIP",
        help="MODEL:PRETRAINED of open_clip (PRETRAINED may be a file), several joined by + for "
        f"an ensemble, or demo; default: {DEFAULT_CLIP}; on demo: demo",
    )
    _add_post_processing(parser)
    add = parser.add_argument_group("run").add_argument
    add(
        "--limit",
        type=int,
        metavar="N",
        help="only the first N sentences of each split; default: all",
    )
    add(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="of random colours and of negatives that are drawn; default: 0",
    )
    add(
        "--device",
        default="auto",
        help="cpu, cuda, cuda:1, ... or auto, a GPU if there is one; default: auto",
    )
    add(
        "--precision",
        choices=get_args(Precision),
        default="auto",
        help="of the CLIP towers; default: auto, fp16 on a GPU and fp32 on a CPU",
    )
    add(
        "--batch-size",
        type=int,
        default=256,
        metavar="N",
        help="pictures encoded at once, on a CPU at most 32, halved where memory runs out; "
        "default: 256",
    )
    add("--out", type=Path, metavar="DIR", help="run folder; default: runs/SPLIT-TIME")
    add(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="go on with the run that the run folder holds, or start it anew; default: go on",
    )
    add(
        "--cache",
        action=argparse.BooleanOptionalAction,
        help="keep SAM's image embeddings in $FGVP_CACHE_DIR, else the user's cache folder; "
        "default: yes, but not those of the demo SAM",
    )
    add(
        "--feature-cache",
        action=argparse.BooleanOptionalAction,
        help="keep CLIP's features of candidates there too, 4 GiB at most, so that a run with "
        "other texts, post-processing or further modes encodes nothing twice; default: yes, but "
        "not those of the demo CLIP",
    )
    add(
        "--report",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="write report.html into the run folder, with a gallery of misses; default: yes",
    )
    add(
        "--report-misses",
        type=int,
        default=DEFAULT_REPORT_MISSES,
        metavar="N",
        help=f"misses of each row that it shows; default: {DEFAULT_REPORT_MISSES}",
    )
    return parser


def _add_post_processing(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("texts and post-processing").add_argument
    add(
        "--preset",
        metavar="NAME",
        help="a row of the published table, whose options become the defaults: "
        f"{', '.join(PRESETS)}; default: none",
    )
    add(
        "--as-released",
        action=argparse.BooleanOptionalAction,
        help="as the released FGVP code: masks of box prompts found, cleaned and drawn from at "
        "long side 1024; relations in float32, 0/0 and all; without --preset also its drawing; "
        "no: masks and prompts on the original image, relations in float64 without 0/0; "
        "default: yes with --preset, else no",
    )
    add(
        "--post",
        choices=get_args(Post),
        help="R: spatial relations (needs spaCy); S: score subtraction, on splits of parts that of "
        "the other phrases; RS: both; default: none",
    )
    add(
        "--negatives",
        metavar="N",
        help="sentences that S subtracts the mean of: all of the split, or N drawn for each "
        "sentence by the seed (the released code drew 500); default: all",
    )
    add(
        "--aggregate",
        choices=get_args(Aggregate),
        help="how the logits of the modes of an ensemble become one; default: sum",
    )
    add(
        "--template",
        metavar="TEXT",
        help=f"what a sentence is put into; default: {DEFAULT_TEMPLATE!r}",
    )
    add(
        "--size-prior",
        type=float,
        metavar="SHARE",
        help="leave out candidates of at most this share of the image (ReCLIP: 0.05); default: 0",
    )
    add(
        "--color",
        metavar="COLOR",
        help="of tints, fills and outlines: a name, random (by the seed), or text, the colour "
        "whose name CLIP finds nearest to the sentence; default: red lines, green tints",
    )


def parse_config(argv: Sequence[str]) -> EvalConfig:
    """Return the config that the arguments ask for.

    Args:
        argv: Arguments without the program's name; long options in either spelling,
            ``--data-root`` or ``--data_root``.

    Raises:
        UsageError: An argument is unknown, has a bad value or does not fit another one.
    """
    options = build_parser().parse_args([_dashed(word) for word in argv])
    return EvalConfig(
        splits=parse_splits(options.split),
        data_root=data_root_given(options.data_root),
        modes=None if options.modes is None else parse_modes(options.modes),
        compare_modes=options.compare_modes,
        proposals=None if options.proposals is None else parse_proposals(options.proposals),
        masks=options.masks,
        sam=None if options.sam is None else parse_sam(options.sam),
        clip=None if options.clip is None else parse_clip(options.clip),
        limit=options.limit,
        seed=options.seed,
        device=options.device,
        precision=options.precision,
        batch_size=options.batch_size,
        out=options.out,
        clean_masks=options.clean_masks,
        cache=options.cache,
        feature_cache=options.feature_cache,
        resume=options.resume,
        preset=None if options.preset is None else parse_preset(options.preset),
        as_released=options.as_released,
        post=options.post,
        aggregate=options.aggregate,
        negatives=None if options.negatives is None else parse_negatives(options.negatives),
        template=None if options.template is None else parse_template(options.template),
        size_prior=options.size_prior,
        color=None if options.color is None else parse_color(options.color),
        strict_data=options.strict_data,
        part_input=options.part_input,
        report=options.report,
        report_misses=options.report_misses,
    )


def command_words(split: str | Sequence[str], options: Mapping[str, Any]) -> list[str]:
    """Return the arguments of the command that keyword arguments stand for.

    Args:
        split: Splits or collections, a list of them or comma separated.
        options: Values by the names of the command's options, with ``_`` for ``-``; a sequence
            stands for values that the command takes comma separated, None for the default.

    Raises:
        UsageError: There is no such option.
    """
    words = [f"--split={_text(split)}"]
    defaults = vars(build_parser().parse_args(words))
    for name, value in options.items():
        if name not in defaults:
            raise UsageError(f"there is no option {name!r}; choices: {', '.join(sorted(defaults))}")
        option = name.replace("_", "-")
        if isinstance(value, bool):
            if value != defaults[name]:
                words.append(f"--{option}" if value else f"--no-{option}")
        elif value is not None:
            words.append(f"--{option}={_text(value)}")
    return words


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _dashed(word: str) -> str:
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value
