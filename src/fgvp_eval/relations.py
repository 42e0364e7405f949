"""Relations between objects, under the name that other programs call them by."""

from fgvp_eval.scoring.relations import relate

__all__ = ["relate"]
