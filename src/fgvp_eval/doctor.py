"""``python -m fgvp_eval.doctor``; the command is in :mod:`fgvp_eval.commands.doctor`."""

import sys

from fgvp_eval.commands.doctor.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
