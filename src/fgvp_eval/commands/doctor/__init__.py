"""Whether this installation is sound: ``python -m fgvp_eval.doctor``."""
