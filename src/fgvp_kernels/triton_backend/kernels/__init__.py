"""Triton kernels; nothing here runs on the host."""
