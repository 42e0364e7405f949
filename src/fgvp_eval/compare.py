"""``python -m fgvp_eval.compare``; the command is in :mod:`fgvp_eval.commands.compare`."""

import sys

from fgvp_eval.commands.compare import main

if __name__ == "__main__":
    sys.exit(main())
