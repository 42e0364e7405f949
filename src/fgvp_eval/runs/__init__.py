"""A run from its options to its folder: journal, resuming, processes."""
