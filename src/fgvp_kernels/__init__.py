"""Visual prompts for CLIP-like models: many masks of one image, rendered in one pass."""

from fgvp_kernels.backends import available_backends
from fgvp_kernels.mask_forms import MaskLogits, PackedMasks
from fgvp_kernels.modes import Mode
from fgvp_kernels.options import RenderOptions
from fgvp_kernels.render import render_batch
from fgvp_kernels.source_digest import algorithm_version

__all__ = [
    "MaskLogits",
    "Mode",
    "PackedMasks",
    "RenderOptions",
    "__version__",
    "algorithm_version",
    "available_backends",
    "render_batch",
]

__version__ = "0.1.0"
