"""Masks of candidates: SAM by boxes, points or a grid, or annotations."""
