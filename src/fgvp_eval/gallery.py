"""``python -m fgvp_eval.gallery``; the command is in :mod:`fgvp_eval.commands.gallery`."""

import sys

from fgvp_eval.commands.gallery import main

if __name__ == "__main__":
    sys.exit(main())
