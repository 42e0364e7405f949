"""Evaluation of visual prompts on referring-expression and part-detection data."""
