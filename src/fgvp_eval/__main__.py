"""``python -m fgvp_eval`` and the console script ``fgvp-eval``."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from collections.abc import Sequence

from fgvp_eval.extra import exit_without_extra


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv``, by default the program's own, and return the exit code."""
    words = sys.argv[1:] if argv is None else argv
    # What a scheduler or torchrun sends to end a run; it is told how to resume like Ctrl-C.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    if not {"-h", "--help"} & set(words):
        exit_without_extra()
    try:
        # Late, so that Ctrl-C is answered from the start.
        from fgvp_eval.commands.evaluate import run_command

        return run_command(words)
    except KeyboardInterrupt:
        command = shlex.join(["python", "-m", "fgvp_eval", *words])
        sys.stderr.write(f"fgvp_eval: interrupted; repeat the run with: {command}\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
