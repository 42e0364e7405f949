"""The Triton backend: host code here, kernels in :mod:`fgvp_kernels.triton_backend.kernels`."""
