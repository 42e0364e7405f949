"""Part detection on PACO: reading, candidates, scores, assignment, tables."""
