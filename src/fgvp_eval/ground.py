"""``python -m fgvp_eval.ground``; the command is in :mod:`fgvp_eval.commands.ground`."""

import sys

from fgvp_eval.extra import exit_without_extra

if __name__ == "__main__":
    exit_without_extra()
    from fgvp_eval.commands.ground.__main__ import main

    sys.exit(main())
