"""What is on disk, what is missing, and getting it: ``python -m fgvp_eval.data verify|get``."""
