"""How far results may be from what they are compared with, and the worst that was seen.

Levels are steps of 255. "Seen" is the worst case of the whole test suite on x86-64.
"""

from __future__ import annotations

# Torch backend against the float64 oracle on the same resized image, float32 output: levels.
ORACLE_MAX = 0.001  # seen 0.00012

# The resized image against Pillow: whole levels, which either side may round differently.
RESIZE_MAX = 1.0  # seen 1
RESIZE_MEAN = 0.3  # seen 0.25, on a 17 pixel wide picture; 0 on a photo

# The Gaussian against SciPy's, and Pillow's blur against Pillow, which rounds between passes.
GAUSSIAN_MAX = 0.05  # seen 0.00004
PIL_BLUR_MAX = 2.0  # seen 1.67, at sigma 2
PIL_BLUR_MEAN = 0.35  # seen 0.31; 0.25 of it is Pillow rounding its result

# Against the recorded outputs of the released FGVP code: the largest mean difference in levels,
# and the least share of values within so many levels.
GOLDEN = {
    "fill": (0.3, 0.995, 2),  # seen 0.30, 0.9975
    "blur": (1.0, 0.99, 3),  # seen 0.24, 0.9974
    "crop": (1.5, 0.98, 6),  # seen 0.24, 1.0
}
GOLDEN_LINE_IOU = 0.99  # seen 1.000
GOLDEN_LINE_MEAN = 0.8  # seen 0.09
# A line is where a pixel differs from the unmarked picture by more than this.
GOLDEN_LINE_LEVELS = 40

# The Triton backend against the torch backend on the same resized image, levels; and where each
# resizes the image itself, which rounds some values to neighbouring levels.
TRITON_MAX = 0.05  # seen 0.01
TRITON_RESIZED_MAX = 1.05  # seen 1.0
TRITON_RESIZED_SHARE = 0.1  # seen 0.06
# The same where the drawing is resampled, and then against the oracle as well; levels.
TRITON_RESAMPLED_MAX = 0.005  # seen 0.0002

# A prompt kept as a JPEG for the report against what the renderer draws: mean levels.
JPEG_MEAN = 4.0  # seen 2.2, on a ramp of colours

# Prompts by way of SAM's frame against the released steps done by Pillow and torch, levels.
RELEASED_MAX = 1.0  # seen 0.83

# Shapes and lines against OpenCV's: intersection over union, on average and of each.
OPENCV_IOU_MEAN = 0.99  # seen 0.998
OPENCV_IOU_EACH = 0.95  # seen 0.96
