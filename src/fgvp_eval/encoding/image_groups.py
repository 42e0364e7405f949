"""Images whose candidates are encoded in the same batches."""

from __future__ import annotations

from collections.abc import Sequence

# Their pixels and masks are in memory at once.
MOST_IMAGES = 64
# Of a grid of points, whose masks are not known before; their number differs between images.
TYPICAL_GRID_MASKS = 64


def group_images(counts: Sequence[int], most: int) -> list[range]:
    """Return successive images whose candidates together fill a batch.

    The groups depend on nothing but the data and the options: not on what is done already, nor on
    how many processes share the work.

    Args:
        counts: How many candidates each image of a split has.
        most: Candidates of a group, unless a single image has more; >= 1.

    Returns:
        Numbers of images: a partition of the split, in its order.
    """
    groups: list[range] = []
    start = together = 0
    for index, count in enumerate(counts):
        if index > start and (together + count > most or index - start == MOST_IMAGES):
            groups.append(range(start, index))
            start, together = index, 0
        together += count
    return groups if start == len(counts) else [*groups, range(start, len(counts))]
