"""``python -m fgvp_eval.ground IMAGE --text ...``: which part of one picture does a text mean."""

from __future__ import annotations

import argparse
import json
import logging
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from fgvp_eval.commands.ground.box_files import FORMS, BoxFormat
from fgvp_eval.errors import EXIT_DONE, UsageError
from fgvp_eval.machine.whole_files import encoded, make_folder, write_whole
from fgvp_eval.options.config import (
    DEFAULT_CLIP,
    DEFAULT_MODES,
    DEFAULT_SAM,
    OFFICIAL_CLEAN_MASKS,
    EvalConfig,
    Precision,
    Proposals,
)
from fgvp_eval.options.presets import DEFAULT_TEMPLATE, Post
from fgvp_eval.options.splits import DEMO, Split
from fgvp_eval.options.tool_command import ToolParser, print_result, run_tool
from fgvp_eval.options.values import (
    data_root_given,
    is_demo_picture,
    parse_clip,
    parse_color,
    parse_image,
    parse_modes,
    parse_sam,
    parse_template,
)

PROGRAM = "python -m fgvp_eval.ground"
_LOG = logging.getLogger("fgvp_eval")
_EXAMPLES = f"""examples:
  {PROGRAM} demo
  {PROGRAM} demo:3 --text "the large red circle" "the star" --modes crop,D4
  {PROGRAM} photo.jpg --text "the dog on the left" --sam vit_h:/weights/sam_vit_h_4b8939.pth
  {PROGRAM} photo.jpg --text "the dog" "the man" --boxes boxes.json
  {PROGRAM} photo.jpg --text "the dog" --sam demo --clip demo

written to the folder of --out: annotated.png, the picture with the candidate of each text;
prompts.png, the prompts exactly as CLIP saw them, best first; ground.json, everything as numbers

Several texts are given different candidates, so that the sum of their cosines is largest; "best
alone" is what each would get by itself. A score is the sum of the logits of all CLIPs and modes;
a probability is its softmax over the candidates.

"""
_CODES = "\n\nexit codes: 0 done; 2 wrong usage, or data missing or broken; 130 interrupted"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; it needs no torch."""
    parser = ToolParser(
        prog=PROGRAM,
        description="Find what texts mean in one picture: candidates, a visual prompt for each, "
        "CLIP scores.",
        epilog=_EXAMPLES + FORMS + _CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "image",
        type=parse_image,
        metavar="IMAGE",
        help="a picture; demo or demo:K is one of the demo's",
    )
    add(
        "--text",
        nargs="+",
        action="extend",
        metavar="TEXT",
        help="what to find; default on a demo picture: one of its own expressions for each object",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--boxes", type=Path, metavar="FILE", help="candidate boxes; see below")
    source.add_argument(
        "--proposals",
        choices=("sam-grid", "gt"),
        default="sam-grid",
        help="candidates without --boxes: what SAM finds from a grid of points, or the annotated "
        "boxes of a demo picture; default: sam-grid",
    )
    add("--box-format", choices=get_args(BoxFormat), help="what the numbers of --boxes are")
    add("--image-id", type=int, metavar="ID", help="which picture of a file of several")
    add(
        "--modes",
        default=",".join(DEFAULT_MODES),
        metavar="MODES",
        help="visual prompts, comma separated, scored as one ensemble; default: %(default)s",
    )
    add(
        "--masks",
        choices=("sam", "given"),
        default="sam",
        help="of boxes: SAM's, or those of the boxes file or the annotation; default: sam",
    )
    add(
        "--sam",
        metavar="SAM",
        help=f"vit_h|vit_l|vit_b[:CHECKPOINT] or demo; default: {DEFAULT_SAM}; on demo: demo",
    )
    add(
        "--clip",
        metavar="CLIP",
        help=f"MODEL:PRETRAINED of open_clip, several joined by +, or demo; default: "
        f"{DEFAULT_CLIP}; on demo: demo",
    )
    add(
        "--clean-masks",
        type=int,
        default=OFFICIAL_CLEAN_MASKS,
        metavar="AREA",
        help="remove holes and islands of SAM's masks below this area, in pixels at long side "
        "1024: an island widens the box of its candidate; 0 keeps all; default: %(default)s",
    )
    add("--post", choices=get_args(Post), default="none", help="as of an evaluation; default: none")
    add(
        "--negatives",
        type=Path,
        metavar="FILE",
        help="sentences whose mean score S subtracts, one a line; on demo: those of the demo split",
    )
    add("--template", help=f"what a text is put into; default: {DEFAULT_TEMPLATE!r}")
    add("--color", help="of tints, fills and outlines: a name, random, or text")
    add("--top", type=int, default=5, metavar="N", help="candidates in prompts.png; default: 5")
    add("--data-root", type=Path, metavar="DIR", help="DIR/weights is looked for SAM")
    add("--out", type=Path, metavar="DIR", help="default: runs/ground-IMAGE-TIME")
    add("--device", default="auto", help="auto (a GPU if there is one), cpu, cuda, cuda:1, ...")
    add("--precision", choices=get_args(Precision), default="auto", help="of the CLIP towers")
    add("--batch-size", type=int, default=256, metavar="N", help="pictures encoded at once")
    add("--seed", type=int, default=0, help="of random colours; default: 0")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return run_tool(lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(argv: Sequence[str]) -> int:
    options = build_parser().parse_args(argv)
    _check(options)
    config = _config(options)
    # Late, so that --help and wrong usage answer without waiting for torch.
    from fgvp_eval.commands.ground.inputs import BoxesFile, read_inputs
    from fgvp_eval.commands.ground.prompt_sheets import prompt_sheet
    from fgvp_eval.commands.ground.run import load_models, run_grounding
    from fgvp_eval.machine.stage_times import split_line

    boxes = None
    if options.boxes is not None:
        boxes = BoxesFile(
            options.boxes, options.box_format, options.image_id, options.masks == "given"
        )
    inputs = read_inputs(
        options.image, config, texts=options.text, boxes=boxes, negatives=options.negatives
    )
    models = load_models(inputs, config)
    folder = (
        options.out or Path("runs") / f"{config.splits[0].name}-{time.strftime('%Y%m%d-%H%M%S')}"
    )
    make_folder(folder)
    report = run_grounding(inputs, models, config)
    record = report.record(shlex.join([*PROGRAM.split(), *argv]))
    write_whole(folder / "ground.json", (_one_key_a_line(record),))
    write_whole(folder / "annotated.png", (encoded(report.annotated(), "PNG"),))
    write_whole(folder / "prompts.png", (encoded(prompt_sheet(report, options.top), "PNG"),))
    print_result(report.table())
    _LOG.info("%s", split_line(report.seconds))
    _LOG.info("wrote annotated.png, prompts.png and ground.json to %s", folder)
    return EXIT_DONE


def _one_key_a_line(record: dict[str, Any]) -> str:
    """Return JSON whose long lists of numbers do not take a line for each number."""
    lines = [
        f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}"
        for key, value in record.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _check(options: argparse.Namespace) -> None:
    """Check what needs no file and no model."""
    if options.top < 1:
        raise UsageError(f"--top must be at least 1, got {options.top}")
    if options.boxes is None and (options.box_format or options.image_id is not None):
        raise UsageError("--box-format and --image-id say how to read the file of --boxes")
    if options.negatives is not None and "S" not in options.post:
        raise UsageError(f"--negatives needs --post S or RS, got --post {options.post}")
    if options.boxes is None and options.proposals == "gt" and not is_demo_picture(options.image):
        raise UsageError("--proposals gt: only demo pictures have annotated boxes")
    if options.boxes is None and options.proposals != "gt" and options.masks == "given":
        raise UsageError("--masks given needs --boxes FILE, or --proposals gt on a demo picture")


def _config(options: argparse.Namespace) -> EvalConfig:
    """Return the options as those of an evaluation of one split, with one picture."""
    demo = is_demo_picture(options.image)
    stem = options.image.replace(":", "-") if demo else Path(options.image).stem
    name = f"ground-{stem}"
    split = replace(DEMO, name=name) if demo else Split(name, "own", "", "", None)
    annotated = options.boxes is None and options.proposals == "gt"
    if options.boxes is not None:
        proposals = Proposals("detections", options.boxes)
    else:
        proposals = Proposals("gt" if annotated else "sam-grid")
    return EvalConfig(
        splits=(split,),
        data_root=data_root_given(options.data_root),
        modes=parse_modes(options.modes),
        compare_modes=False,
        proposals=proposals,
        masks="gt" if annotated and options.masks == "given" else "sam",
        sam=None if options.sam is None else parse_sam(options.sam),
        clip=None if options.clip is None else parse_clip(options.clip),
        seed=options.seed,
        device=options.device,
        precision=options.precision,
        batch_size=options.batch_size,
        out=options.out,
        clean_masks=options.clean_masks,
        post=options.post,
        template=None if options.template is None else parse_template(options.template),
        color=None if options.color is None else parse_color(options.color),
    )


if __name__ == "__main__":
    sys.exit(main())
