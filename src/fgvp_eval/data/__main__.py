"""``python -m fgvp_eval.data``; the command is in :mod:`fgvp_eval.commands.data`."""

import sys

from fgvp_eval.extra import exit_without_extra

if __name__ == "__main__":
    exit_without_extra()
    from fgvp_eval.commands.data import main

    sys.exit(main())
