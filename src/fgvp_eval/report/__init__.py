"""The page of a run: results, what was missed and why, and a gallery of misses."""
