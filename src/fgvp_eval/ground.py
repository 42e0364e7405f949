"""``python -m fgvp_eval.ground``; the command is in :mod:`fgvp_eval.commands.ground`."""

import sys

from fgvp_eval.commands.ground.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
