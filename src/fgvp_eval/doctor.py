"""``python -m fgvp_eval.doctor``; the command is in :mod:`fgvp_eval.commands.doctor`."""

import sys

from fgvp_eval.extra import exit_without_extra

if __name__ == "__main__":
    exit_without_extra()
    from fgvp_eval.commands.doctor.__main__ import main

    sys.exit(main())
