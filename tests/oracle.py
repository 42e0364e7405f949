"""A slow, dense float64 renderer written straight from the definitions, for tests only.

It shares no code with the package: NumPy and SciPy, one candidate at a time, every step spelled
out. Levels are 0-255 throughout.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

RED, GREEN = np.array([255.0, 0.0, 0.0]), np.array([0.0, 255.0, 0.0])

# name: (region, effect, acts outside)
WHOLE_MODES = {
    "none": ("nothing", "none", False),
    "keypoint": ("point", "line", False),
    "contour": ("contour", "line", False),
    "box": ("box_line", "line", False),
    "circle": ("circle_line", "line", False),
    "mask": ("mask", "tint", False),
    "box_mask": ("box", "tint", False),
    "circle_mask": ("circle", "tint", False),
    "grayscale_reverse_mask": ("mask", "grey", True),
    "grayscale_reverse_box_mask": ("box", "grey", True),
    "grayscale_reverse_circle_mask": ("circle", "grey", True),
    "blur_reverse_mask": ("mask", "blur", True),
    "blur_reverse_box_mask": ("box", "blur", True),
    "blur_reverse_circle_mask": ("circle", "blur", True),
    "reverse_mask": ("mask", "tint", True),
    "reverse_box_mask": ("box", "tint", True),
    "reverse_circle_mask": ("circle", "tint", True),
    "blur_mask": ("mask", "blur", False),
    "blur_box_mask": ("box", "blur", False),
    "blur_circle_mask": ("circle", "blur", False),
    "grayscale_mask": ("mask", "grey", False),
    "grayscale_box_mask": ("box", "grey", False),
    "grayscale_circle_mask": ("circle", "grey", False),
}
CROP_MODES = {
    "crop": "none",
    "crop_tint": "reverse_all",
    "crop_mask_tint": "mask",
    "crop_mask": "fill_outside",
    "crop_blur_reverse_mask": "blur_reverse_mask",
}


def render_one(image, mask, box, mode, size, *, order="resize_first", fit="squash", **drawing):
    """Levels float64 ``[3, h, w]`` of one candidate.

    image: uint8 ``[H, W, 3]``; mask: bool or float ``[H, W]``; box: x0, y0, x1, y1 or None where
    the mask is empty; drawing: sigma, blur, luma, alpha.
    """
    height, width = image.shape[:2]
    if mode in CROP_MODES:
        size = (height, width) if size is None else size
        x0, y0, x1, y1 = _crop_corners(box, image.shape, order)
        image, mask = image[y0:y1, x0:x1], mask[y0:y1, x0:x1]
        return _render(image, mask, None, CROP_MODES[mode], size, order, fit, **drawing)
    size = (height, width) if size is None else size
    return _render(image, mask, box, mode, size, order, fit, **drawing)


def _crop_corners(box, shape, order):
    box = (0, 0, 0, 0) if box is None else box
    x0, y0, x1, y1 = (int(np.round(v) if order == "render_first" else v) for v in box)
    x0, y0 = min(max(x0, 0), shape[1] - 1), min(max(y0, 0), shape[0] - 1)
    return x0, y0, min(max(x1, x0 + 1), shape[1]), min(max(y1, y0 + 1), shape[0])


def _render(image, mask, box, mode, size, order, fit, **drawing):
    height, width = image.shape[:2]
    ratio = min if fit == "pad" else max
    scale = ratio(size[0] / height, size[1] / width)
    scaled = (max(int(height * scale + 0.5), 1), max(int(width * scale + 0.5), 1))
    pixels = image.astype(np.float64)
    if order == "resize_first":
        canvas = scaled
        if canvas != (height, width):
            pixels = resize_bytes(image, canvas)
        mask = mask_on(mask, canvas)
    else:
        canvas = (height, width)
    scales = np.array([canvas[1] / width, canvas[0] / height] * 2)
    region = region_of(mode, mask, None if box is None else np.float32(box) * scales, canvas, size)
    picture = draw(pixels, region, mode, **drawing)
    target = size if fit == "squash" else scaled
    if order == "render_first" and target != canvas:
        picture = np.clip(resize(picture, target), 0, 255)
    elif target != canvas:
        picture = bilinear(picture, target)
    picture = fit_window(picture, size, fit, box, (height, width))
    return picture.transpose(2, 0, 1)


def fit_window(picture, size, fit, box, image_size):
    height, width = picture.shape[:2]
    if fit == "pad":
        result = np.zeros((*size, 3))
        result[:height, :width] = picture[: size[0], : size[1]]
        return result
    top, left = round((height - size[0]) / 2), round((width - size[1]) / 2)
    if fit == "object_crop":
        box = (0, 0, *image_size[::-1]) if box is None else box
        x = (box[0] + box[2]) / 2 * width / image_size[1]
        y = (box[1] + box[3]) / 2 * height / image_size[0]
        left = int(min(max(x - size[1] / 2, 0), width - size[1]))
        top = int(min(max(y - size[0] / 2, 0), height - size[0]))
    return picture[top : top + size[0], left : left + size[1]]


def draw(pixels, region, mode, sigma=100.0, blur="gaussian", luma="bt601", alpha=0.5):
    weight = region.astype(np.float64)[:, :, None]
    if mode == "reverse_all":
        return (1 - alpha) * pixels + alpha * GREEN
    if mode == "fill_outside":
        return weight * pixels + (1 - weight) * GREEN
    _, effect, outside = WHOLE_MODES[mode]
    if effect == "line":
        changed = np.broadcast_to(RED, pixels.shape)
    elif effect == "tint":
        changed = (1 - alpha) * pixels + alpha * GREEN
    elif effect == "grey":
        weights = np.array([0.299, 0.587, 0.114])
        grey = pixels @ (weights if luma == "bt601" else weights[::-1])
        changed = np.repeat(grey[:, :, None], 3, 2)
    elif effect == "blur":
        changed = gaussian(pixels, sigma) if blur == "gaussian" else pil_blur(pixels, sigma)
    else:
        changed = pixels
    inside, outer = (pixels, changed) if outside else (changed, pixels)
    return weight * inside + (1 - weight) * outer


def gaussian(pixels, sigma):
    radius = int(8 * sigma) + 1
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return _convolve(pixels, kernel / kernel.sum(), 1)


def pil_blur(pixels, sigma):
    variance = sigma**2 / 3
    whole = int((np.sqrt(12 * variance + 1) - 1) / 2)
    part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance)
    part /= 6 * (variance - (whole + 1) ** 2)
    kernel = np.ones(2 * whole + 3)
    kernel[[0, -1]] = part
    return _convolve(pixels, kernel / kernel.sum(), 3)


def _convolve(pixels, kernel, passes):
    for axis in (0, 1):
        for _ in range(passes):
            pixels = ndimage.convolve1d(pixels, kernel, axis=axis, mode="nearest")
    return pixels


def _cubic(x):
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def resize_bytes(image, size):
    """Torch's antialiased resize of bytes; which levels it rounds to is tested against Pillow."""
    bytes_ = torch.from_numpy(image.transpose(2, 0, 1).copy())[None]
    resized = torch.nn.functional.interpolate(bytes_, size, mode="bilinear", antialias=True)
    return resized[0].numpy().transpose(1, 2, 0).astype(np.float64)


def resize(pixels, size):
    """Pillow's antialiased bicubic resize, tap by tap, without its rounding between the axes."""
    for axis, target in enumerate(size):
        source = pixels.shape[axis]
        scale = source / target
        stretch = max(scale, 1.0)
        rows = []
        for i in range(target):
            centre = (i + 0.5) * scale
            first = max(int(centre - 2 * stretch + 0.5), 0)
            last = min(int(centre + 2 * stretch + 0.5), source)
            weights = _cubic((np.arange(first, last) + 0.5 - centre) / stretch)
            part = np.take(pixels, np.arange(first, last), axis)
            rows.append(np.tensordot(part, weights / weights.sum(), ([axis], [0])))
        pixels = np.stack(rows, axis)
    return pixels


def bilinear(values, size):
    """Two-tap bilinear resize of the first two axes, no antialiasing, float32 coordinates."""
    for axis, target in enumerate(size):
        source = values.shape[axis]
        scale = np.float32(source) / np.float32(target)
        at = np.maximum((np.arange(target) + 0.5) * np.float64(scale) - 0.5, 0)  # rounded once
        at = at.astype(np.float32)
        first = np.minimum(at.astype(int), source - 1)
        second = np.minimum(first + 1, source - 1)
        shape = [1] * values.ndim
        shape[axis] = target
        part = (at - first).astype(np.float64).reshape(shape)
        values = np.take(values, first, axis) * (1 - part) + np.take(values, second, axis) * part
    return values


def mask_on(mask, canvas):
    if mask.shape == canvas:
        return mask
    resized = bilinear(mask.astype(np.float64), canvas)
    return resized > 0 if mask.dtype == bool else resized


def region_of(mode, mask, box, canvas, size):
    """What is inside: bool or float ``[h, w]``."""
    kind = WHOLE_MODES[mode][0] if mode in WHOLE_MODES else "mask"
    if kind == "mask":
        return mask
    if kind == "contour":
        return contour_line(mask > 0)
    y, x = np.mgrid[: canvas[0], : canvas[1]]
    if kind == "nothing" or box is None:
        return np.zeros(canvas, bool)
    limit = np.array([canvas[1] - 1, canvas[0] - 1] * 2)
    if kind == "point":
        centre, radius = np.trunc((box[:2] + box[2:]) / 2), int(0.06 * min(size))
        return ellipse(canvas, centre, np.array([radius, radius]), 1)
    box = np.clip(box, 0, limit)
    if kind in ("box", "box_line"):
        x0, y0, x1, y1 = np.trunc(box)
        outer = np.hypot(x - np.clip(x, x0, x1), y - np.clip(y, y0, y1)) <= 1
        hollow = (x >= x0 + 2) & (x <= x1 - 2) & (y >= y0 + 2) & (y <= y1 - 2)
        filled = (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
        return filled if kind == "box" else outer & ~hollow
    radii = (box[2:] - box[:2]) / 2
    centre, radii = np.trunc(box[:2] + radii), np.trunc(radii)
    return ellipse(canvas, centre, radii, None if kind == "circle" else 1)


def contour_line(mask):
    """The line two wide that OpenCV draws along the boundary of a mask: bool ``[h, w]``."""
    cross = ndimage.generate_binary_structure(2, 1)
    line = ndimage.binary_dilation(mask & ~ndimage.binary_erosion(mask, cross), cross)
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    for flip in (False, True):  # steps down to the right, and to the left
        m = mask[:, ::-1] if flip else mask
        view = line[:, ::-1] if flip else line
        steps = m[:-1, :-1] & m[1:, 1:] & ~(m[1:, :-1] & m[:-1, 1:])
        for top, left in zip(*np.nonzero(steps), strict=True):
            along, across = (x - left) + (y - top), (x - left) - (y - top)
            view |= (along >= 0) & (along <= 2) & (np.abs(across) <= 2)  # a rectangle
    return line


def ellipse(canvas, centre, radii, half):
    """What OpenCV draws for an ellipse: a polygon, filled where ``half`` is None, or else a
    rectangle ``half`` a pixel to either side along each of its sides and a disc on each corner."""
    count = next(n for start, n in ((15, 72), (10, 20), (3, 12), (0, 4)) if max(radii) >= start)
    turns = np.arange(count) * 2 * np.pi / count
    corners = np.round([np.cos(turns), np.sin(turns)], 7).T * radii  # [count, 2]
    ends = np.roll(corners, -1, 0)
    y, x = np.mgrid[: canvas[0], : canvas[1]]
    x, y = x - centre[0], y - centre[1]
    if half is None:
        return _between(x, y, list(zip(corners, ends, strict=True)))
    picture = np.zeros(canvas, bool)
    for p, q in zip(corners, ends, strict=True):
        length = np.hypot(*(q - p))
        aside = half * np.array([q[1] - p[1], p[0] - q[0]]) / (length or 1)
        sides = [(p + aside, q + aside), (p - aside, q - aside)]
        sides += [(p + aside, p - aside), (q + aside, q - aside)]
        picture |= _between(x, y, sides)
        disc = np.floor(p + 0.5)
        picture |= np.hypot(x - disc[0], y - disc[1]) <= half
    return picture


def _between(x, y, lines):
    """All pixels between the outermost ones of ``lines`` in each row."""
    pixels = np.concatenate([_pixels_of(*line) for line in lines])
    result = np.zeros(x.shape, bool)
    for row in np.unique(pixels[:, 1]):
        columns = pixels[pixels[:, 1] == row, 0]
        result |= (y == row) & (x >= columns.min()) & (x <= columns.max())
    return result


def _pixels_of(p, q):
    """Where OpenCV steps along a line with its longer axis, and row by row: int ``[pixels, 2]``."""
    pixels = [np.floor(p + 0.5), np.floor(q + 0.5)]
    axis = 0 if abs(q[0] - p[0]) > abs(q[1] - p[1]) else 1
    if p[axis] > q[axis]:
        p, q = q, p
    step = (q - p) / max(q[axis] - p[axis], 1e-9) * (1 - 2.0**-16)
    start = p.copy()
    start[axis], step[axis] = np.floor(p[axis] + 0.5), 1
    for i in range(int(q[axis] - p[axis]) + 1):
        pixels.append(np.floor(start + i * step + (0.5, 0.5)))
    if p[1] > q[1]:
        p, q = q, p
    first, last = np.floor(p[1] + 0.5), np.floor(q[1] + 0.5)
    for i in range(int(last - first)):
        pixels.append(
            np.array([np.floor(p[0] + 0.5 + i * (q[0] - p[0]) / (last - first)), first + i])
        )
    return np.array(pixels)
