"""``python -m fgvp_eval.data``: tell what data is there, and get what is not."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from fgvp_eval.data.fetching.acquire import Acquirer
from fgvp_eval.data.fetching.downloads import Patience
from fgvp_eval.data.fetching.inventory import Finding, inspect, inspect_weights
from fgvp_eval.data.fetching.mirrors import WEIGHTS
from fgvp_eval.errors import (
    EXIT_DONE,
    EXIT_FAILURE,
    EXIT_INCOMPLETE,
    EXIT_INTERRUPTED,
    EXIT_REFUSED,
    EvalError,
    UsageError,
)
from fgvp_eval.options.splits import COLLECTIONS, SPLITS, Split, parse_splits
from fgvp_eval.options.tool_command import ToolParser, run_tool
from fgvp_eval.options.values import data_root_given

_PROGRAM = "python -m fgvp_eval.data"
_EPILOG = f"""examples:
  {_PROGRAM} verify --data-root /data
  {_PROGRAM} get refcoco+_testA paco_val --data-root /data
  {_PROGRAM} get sam_vit_h refcocog_all --base-url http://mirror.example/fgvp

splits: {", ".join((*SPLITS, *COLLECTIONS))}
weights: {", ".join(WEIGHTS)}

exit codes: 0 all is there, also if its counts are not the published ones, which is said; 1 failure;
2 wrong usage, or data that is broken; 3 something is missing; 130 interrupted: the same command
goes on from there
"""
_LOG = logging.getLogger("fgvp_eval")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = ToolParser(
        prog=_PROGRAM,
        description="Tell what data is there, and get what is missing.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    verify = commands.add_parser(
        "verify", help="list what is there, what is missing, and where that comes from"
    )
    verify.add_argument("names", nargs="*", metavar="NAME", help="default: all splits")
    get = commands.add_parser("get", help="download annotations, and the images that they name")
    get.add_argument("names", nargs="+", metavar="NAME", help="splits, collections or weights")
    get.add_argument("--base-url", metavar="URL", help="ask this server instead of the known ones")
    get.add_argument("--no-images", action="store_true", help="annotations only")
    get.add_argument("--jobs", type=int, default=8, metavar="N", help="images at once; default: 8")
    get.add_argument(
        "--attempts", type=int, default=5, metavar="N", help="per address, in a row; default: 5"
    )
    get.add_argument("--keep-archives", action="store_true", help="leave them in .downloads")
    get.add_argument(
        "--skip-checksums", action="store_true", help="accept files that were replaced upstream"
    )
    for command in (verify, get):
        command.add_argument(
            "--data-root", type=Path, metavar="DIR", help="default: $FGVP_DATA_ROOT, else ./data"
        )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv``, by default the program's own, and return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    return run_tool(lambda: _run(words))


def _run(words: Sequence[str]) -> int:
    options = build_parser().parse_args(words)
    command: Callable[[argparse.Namespace], int] = {"verify": _verify, "get": _get}[options.command]
    try:
        return command(options)
    except (EvalError, BrokenPipeError):
        raise
    except KeyboardInterrupt:
        _LOG.error("interrupted; go on with: %s", shlex.join([*_PROGRAM.split(), *words]))
        return EXIT_INTERRUPTED
    except OSError as error:  # a full disk, or a folder that may not be written
        where = error.filename or _data_root(options)
        again = shlex.join([*_PROGRAM.split(), *words])
        _LOG.error("failed: %s: %s; go on with: %s", where, error.strerror or error, again)
        return EXIT_FAILURE


def _verify(options: argparse.Namespace) -> int:
    root = _data_root(options)
    splits, weights = _sorted_names(options.names or list(SPLITS))
    findings = {split.name: inspect(root, split) for split in splits}
    findings |= {name: (inspect_weights(root, name),) for name in weights}
    for name, lines in findings.items():
        print("\n".join([name, *map(_line, lines)]))
    states = {finding.state for lines in findings.values() for finding in lines}
    if "broken" in states:
        return EXIT_REFUSED
    return EXIT_INCOMPLETE if "missing" in states else EXIT_DONE


def _line(finding: Finding) -> str:
    detail = f": {finding.detail}" if finding.detail else ""
    return f"  {finding.state:<9}{finding.what}{detail}"


def _get(options: argparse.Namespace) -> int:
    for name, value in (("--jobs", options.jobs), ("--attempts", options.attempts)):
        if value < 1:
            raise UsageError(f"{name} must be at least 1, got {value}")
    base_url = options.base_url
    if base_url is not None:
        _check_address(base_url)
    splits, weights = _sorted_names(options.names)
    acquirer = Acquirer(
        root=_data_root(options),
        base_url=base_url,
        jobs=options.jobs,
        patience=Patience(attempts=options.attempts),
        check=not options.skip_checksums,
        keep_archives=options.keep_archives,
    )
    failures = [failure for name in weights for failure in acquirer.weights(name)]
    for split in splits:
        failures += acquirer.split(split, images=not options.no_images)
    for failure in failures[:20]:
        _LOG.error("not had: %s", failure)
    if failures:
        elsewhere = "" if base_url else ", with --base-url URL from another server"
        what = "1 file" if len(failures) == 1 else f"{len(failures)} files"
        _LOG.error("%s could not be had; the same command tries again%s", what, elsewhere)
        return EXIT_INCOMPLETE
    _LOG.info("all there")
    return EXIT_DONE


def _check_address(url: str) -> None:
    """Refuse what no request could be sent to."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and url.isascii()
        _ = parts.port  # raises where it is no port
    except ValueError as error:
        raise UsageError(f"--base-url {url!r}: {error}") from None
    if not usable or any(letter.isspace() for letter in url):
        raise UsageError(
            f"--base-url must be http://HOST/... or https://HOST/..., percent-encoded; got {url!r}"
        )


def _sorted_names(names: Sequence[str]) -> tuple[tuple[Split, ...], list[str]]:
    """Return the splits and the weights that are named, also comma separated."""
    words = [word.strip() for name in names for word in name.split(",")]
    if not all(words):
        raise UsageError("NAME must not be empty")
    splits = ",".join(word for word in words if word not in WEIGHTS)
    return parse_splits(splits) if splits else (), [word for word in words if word in WEIGHTS]


def _data_root(options: argparse.Namespace) -> Path:
    return data_root_given(options.data_root) or Path("data")


if __name__ == "__main__":
    sys.exit(main())
