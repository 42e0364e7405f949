"""Words of place and size, and what they say about pairs of boxes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PairScores = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class SpatialWord:
    """A relation of two boxes and the words that name it.

    Attributes:
        holds: Of boxes ``[N, 4]`` xywh to ``[N, N]``: how far box i stands in the relation to
            box j, 0 to 1.
        between_nouns: Words that name it between two nouns, "left" of "dog left of the cat".
        superlatives: Words that name it without a second noun, "leftmost dog".
    """

    holds: PairScores
    between_nouns: frozenset[str]
    superlatives: frozenset[str]


def _less(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return (values[:, None] < values[None, :]).astype(np.float64)  # [N, N]


# Twice the centre, summed in this order, so that equal centres tie as they do in the released code.
def _doubled_x(boxes_xywh: NDArray[np.float64]) -> NDArray[np.float64]:
    return (boxes_xywh[:, 0] + boxes_xywh[:, 2]) + boxes_xywh[:, 0]  # [N]


def _doubled_y(boxes_xywh: NDArray[np.float64]) -> NDArray[np.float64]:
    return (boxes_xywh[:, 1] + boxes_xywh[:, 3]) + boxes_xywh[:, 1]  # [N]


def _areas(boxes_xywh: NDArray[np.float64]) -> NDArray[np.float64]:
    return boxes_xywh[:, 2] * boxes_xywh[:, 3]  # [N]


def _share_inside(boxes_xywh: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of box i that lies in box j, ``[N, N]``; 0 for boxes without area."""
    low = boxes_xywh[:, :2]  # [N, 2]
    high = low + boxes_xywh[:, 2:]  # [N, 2]
    sides = np.minimum(high[:, None], high[None]) - np.maximum(low[:, None], low[None])
    common = np.prod(np.clip(sides, 0.0, None), axis=-1)  # [N, N]
    own = np.broadcast_to(_areas(boxes_xywh)[:, None], common.shape)  # [N, N]
    share: NDArray[np.float64] = np.divide(common, own, out=np.zeros_like(common), where=own > 0)
    return share


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# The order decides where words of several relations meet, "top left of": the first one counts.
SPATIAL_WORDS: tuple[SpatialWord, ...] = (
    SpatialWord(
        lambda boxes: _less(_doubled_x(boxes)),
        _words("left west"),
        _words("left west leftmost western"),
    ),
    SpatialWord(
        lambda boxes: _less(-_doubled_x(boxes)),
        _words("right east"),
        _words("right rightmost east eastern"),
    ),
    SpatialWord(
        lambda boxes: _less(_doubled_y(boxes)),
        _words("above north top back behind"),
        _words("above north top"),
    ),
    SpatialWord(
        lambda boxes: _less(-_doubled_y(boxes)),
        _words("below south under front"),
        _words("below south underneath front"),
    ),
    SpatialWord(
        lambda boxes: _less(-_areas(boxes)),
        _words("bigger larger closer"),
        _words("bigger biggest larger largest closer closest"),
    ),
    SpatialWord(
        lambda boxes: _less(_areas(boxes)),
        _words("smaller tinier further"),
        _words("smaller smallest tinier tiniest further furthest"),
    ),
    SpatialWord(_share_inside, _words("inside within contained"), frozenset()),
)
RELATION_WORDS: frozenset[str] = frozenset().union(*(w.between_nouns for w in SPATIAL_WORDS))
SUPERLATIVE_WORDS: frozenset[str] = frozenset().union(*(w.superlatives for w in SPATIAL_WORDS))
# Nouns that stand for a place and are no object of the picture.
PLACE_NOUNS: frozenset[str] = _words("part image side picture half region section")

# For choosing sentences that speak of places, whether or not the relations understand them.
LOCATION_WORDS: frozenset[str] = (
    (RELATION_WORDS - _words("bigger larger smaller tinier contained"))
    | _words("leftmost rightmost western eastern northern southern underneath closest furthest")
    | _words("bottom upper lower topmost bottommost uppermost middle center centre corner edge")
    | _words("beside next near nearest between beneath foreground background far farthest")
)


def relation_named(words: Collection[str]) -> SpatialWord | None:
    """Return the relation that words between two nouns name, or None."""
    return next((word for word in SPATIAL_WORDS if word.between_nouns.intersection(words)), None)


def superlative_named(words: Collection[str]) -> SpatialWord | None:
    """Return the relation that a superlative's words name, or None."""
    return next((word for word in SPATIAL_WORDS if word.superlatives.intersection(words)), None)


def speaks_of_location(words: Iterable[str]) -> bool:
    """Return whether any of the words says where something is."""
    return not LOCATION_WORDS.isdisjoint(words)
