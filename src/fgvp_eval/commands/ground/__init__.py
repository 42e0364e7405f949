"""``python -m fgvp_eval.ground``: which part of one picture does a text mean."""
