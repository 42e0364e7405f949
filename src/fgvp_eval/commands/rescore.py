"""``python -m fgvp_eval.rescore RUN``: metrics and post-processing anew, without any model."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np

from fgvp_eval.data.records import Prediction
from fgvp_eval.errors import EXIT_DONE, UsageError
from fgvp_eval.machine.progress import Progress
from fgvp_eval.machine.whole_files import make_folder, write_whole
from fgvp_eval.options.config import Aggregate
from fgvp_eval.options.presets import Post
from fgvp_eval.options.tool_command import ToolParser, print_result, run_tool
from fgvp_eval.results.metrics import measure
from fgvp_eval.results.stored_runs import StoredRun, read_run
from fgvp_eval.results.tables import format_table, miss_table, table_rows
from fgvp_eval.scoring.choice import judge
from fgvp_eval.scoring.postprocess import SentenceLogits, aggregate_modes, final_scores

_LOG = logging.getLogger("fgvp_eval")
_EPILOG = """example:
  python -m fgvp_eval.rescore runs/demo --post none --out runs/demo-without-post

exit codes: 0 rescored; 2 wrong usage, or a broken run
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = ToolParser(
        prog="python -m fgvp_eval.rescore",
        description="Recompute a run's metrics, and its post-processing as far as what it stored "
        "allows: a run with --post RS can be rescored with any other.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("run", type=Path, metavar="RUN", help="run folder")
    add("--post", choices=get_args(Post), help="default: that of the run")
    add("--aggregate", choices=get_args(Aggregate), help="default: that of the run")
    add(
        "--as-released",
        action=argparse.BooleanOptionalAction,
        help="relations in the released float32 arithmetic, or in the mended one; pictures stay as "
        "they were drawn; default: that of the run",
    )
    add("--out", type=Path, metavar="DIR", help="write the rescored run here, for compare")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return run_tool(lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(argv: Sequence[str]) -> int:
    options = build_parser().parse_args(argv)
    run = read_run(options.run)
    rescored = rescore_run(run, options.post, options.aggregate, options.as_released)
    rows = table_rows(rescored.rows, rescored.settings)
    if options.out is not None:
        _write(rescored, options.run, options.out)
    print_result("\n\n".join([format_table(rows), miss_table(rows)]))
    return EXIT_DONE


class _Wanted(NamedTuple):
    """How scores are made; names are those of a run's settings."""

    post: Post
    aggregate: Aggregate
    as_released: bool


def rescore_run(
    run: StoredRun,
    post: Post | None,
    aggregate: Aggregate | None,
    as_released: bool | None = None,
) -> StoredRun:
    """Return a run with its predictions made anew.

    Args:
        run: The run.
        post: Post-processing; None for the run's own.
        aggregate: How modes become one; None for the run's own.
        as_released: Relations in the released arithmetic; None for the run's own.

    Raises:
        UsageError: The run did not store what this needs.
    """
    rows: dict[tuple[str, str], list[Prediction]] = {}
    settings = {}
    for (split, label), predictions in run.rows.items():
        before = run.settings(split)
        as_stored = _Wanted(
            before.get("post", "none"),
            before.get("aggregate", "sum"),
            bool(before.get("as_released", False)),
        )
        wanted = _Wanted(
            post or as_stored.post,
            aggregate or as_stored.aggregate,
            as_stored.as_released if as_released is None else as_released,
        )
        departs = [
            name.replace("_", "-")
            for name, value in wanted._asdict().items()
            if value != getattr(as_stored, name)
        ]
        changed = list(dict.fromkeys([*before.get("changed", []), *departs]))
        settings[split] = dict(before, **wanted._asdict(), changed=changed)
        rows[split, label] = []
        with Progress(f"{split} {label}", len(predictions)) as progress:
            for prediction in predictions:
                rows[split, label].append(_rescored(prediction, wanted, as_stored, run))
                progress.add()
    config = dict(run.results.get("config", {}), settings=settings)
    metrics: dict[str, dict[str, Any]] = {}
    for (split, label), predictions in rows.items():
        metrics.setdefault(split, {})[label] = asdict(measure(predictions))
    return StoredRun(run.path, dict(run.results, config=config, metrics=metrics), rows)


def _rescored(
    prediction: Prediction,
    wanted: _Wanted,
    as_stored: _Wanted,
    run: StoredRun,
) -> Prediction:
    logits = SentenceLogits.stored(prediction)
    golds_xyxy = prediction.golds_xyxy or (prediction.gold_xyxy,)
    if logits is None:
        one_mode = "+" not in prediction.mode
        if wanted.post != as_stored.post or (
            wanted.aggregate != as_stored.aggregate and not one_mode
        ):
            raise _lacks(run, wanted, "each mode's scores", "RS")
        choice = judge(prediction.scores, prediction.candidates_xyxy, golds_xyxy)
        return replace(prediction, **vars(choice))
    post, aggregate, as_released = wanted
    if "S" in post and logits.negatives is None:
        raise _lacks(run, wanted, "the scores of negatives", "S or RS")
    if "R" in post and logits.phrases is None:
        raise _lacks(run, wanted, "the scores of phrases", "R or RS")
    kept = None if prediction.kept is None else np.array(prediction.kept)
    scores = final_scores(
        prediction.text,
        logits,
        prediction.candidates_xyxy,
        post=post,
        aggregate=aggregate,
        kept=kept,
        as_released=as_released,
    )
    values = tuple(float(score) for score in scores)
    before = int(np.argmax(aggregate_modes(logits.sentence, aggregate)))
    return replace(
        prediction,
        scores=values,
        pred_before_post=None if post == "none" and kept is None else before,
        **vars(judge(values, prediction.candidates_xyxy, golds_xyxy)),
    )


def _lacks(run: StoredRun, wanted: _Wanted, what: str, needed: str) -> UsageError:
    return UsageError(
        f"{run.path} did not store {what}, which --post {wanted.post} --aggregate "
        f"{wanted.aggregate} needs; a run with --post {needed} does"
    )


def _write(run: StoredRun, source: Path, folder: Path) -> None:
    if folder.exists() and folder.resolve() == source.resolve():
        raise UsageError(f"--out {folder} is the run itself; choose another folder")
    results: Mapping[str, Any] = dict(run.results, rescored_from=str(source))
    # Sentence by sentence, one line for each row of a split, as a run writes them.
    splits = dict.fromkeys(split for split, _ in run.rows)
    lines = [
        json.dumps(prediction.record(), ensure_ascii=False) + "\n"
        for split in splits
        for of_one in zip(*(rows for key, rows in run.rows.items() if key[0] == split), strict=True)
        for prediction in of_one
    ]
    make_folder(folder)
    write_whole(folder / "samples.jsonl", lines)
    write_whole(folder / "results.json", (json.dumps(results, indent=2, ensure_ascii=False), "\n"))
    _LOG.info("wrote %s", folder)


if __name__ == "__main__":
    sys.exit(main())
