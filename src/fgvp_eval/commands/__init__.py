"""Thin faces of the package on the command line."""
