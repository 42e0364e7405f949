"""``python -m fgvp_eval.rescore``; the command is in :mod:`fgvp_eval.commands.rescore`."""

import sys

from fgvp_eval.commands.rescore import main

if __name__ == "__main__":
    sys.exit(main())
