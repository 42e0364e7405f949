"""Relations: how the places and sizes that a sentence speaks of change the scores of boxes.

This is the parse of ReCLIP with its released defaults, in either of two arithmetics: the released
one, in float32, where shares underflow to zero and zero is divided by zero; and the mended one, in
float64, where a step that would divide by zero is left out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fgvp_eval.scoring.entity_trees import Entity, parse_entities
from fgvp_eval.scoring.spatial_relations import relation_named, superlative_named

Distribution = NDArray[np.float64]
# What the released arithmetic works on is float32 until a relation or a superlative makes it
# float64: those are tables of float64.
Shares = NDArray[np.float32] | NDArray[np.float64]
ScoreText = Callable[[str], ArrayLike]
ShareOut = Callable[[ArrayLike, NDArray[np.bool_] | None], Shares]


def relate(
    caption: str,
    boxes_xywh: ArrayLike,
    score_text: ScoreText,
    *,
    kept: NDArray[np.bool_] | None = None,
    as_released: bool = False,
) -> Distribution:
    """Return how likely each box is the one that a sentence refers to.

    The result is p_sentence · p_entity, where p_sentence is the softmax of the whole sentence's
    scores and p_entity that of the noun phrase it is about, changed step by step:
    p_i ← p_i · Σ_j REL[i, j] q_j for a relation to an entity of distribution q, and
    p_i ← Σ_j p_i p_j REL[i, j] for a superlative, each then divided by its sum.

    Args:
        caption: The sentence, lower-cased by the caller: words are told by their exact letters.
        boxes_xywh: ``[N, 4]`` pixels, N >= 1.
        score_text: Gives N finite logits of a text; asked for the sentence and each phrase.
        kept: ``[N]``, the boxes that the sentence may refer to, all by default; the others get 0,
            but can be what it relates to.
        as_released: Compute as the released code does, operation by operation: softmax in
            float32; no superlative where a single box has a share above 0, since there 0 is
            multiplied by an infinite threshold; 0 / 0 is NaN.

    Returns:
        ``[N]`` float64 >= 0; as in the released code its sum is at most 1, and 1 where the
        sentence speaks of no place. As released it may be 0 everywhere, or NaN everywhere: then
        the first box is chosen.

    Raises:
        UsageError: spaCy or its model is not installed.
    """
    boxes = np.asarray(boxes_xywh, dtype=np.float64).reshape(-1, 4)  # [N, 4]
    share_out: ShareOut = released_softmax if as_released else softmax
    whole = share_out(score_text(caption), kept)  # [N]
    entity = parse_entities(caption)
    if entity is None or len(boxes) == 1:
        return whole.astype(np.float64)
    with np.errstate(all="ignore"):
        product = whole * _distribution(entity, boxes, score_text, kept, as_released=as_released)
    return (product if as_released or product.any() else whole).astype(np.float64)


def phrases_of(caption: str) -> list[str]:
    """Return the texts, beside the sentence itself, that :func:`relate` asks scores of.

    Raises:
        UsageError: spaCy or its model is not installed.
    """
    entity = parse_entities(caption)
    return [] if entity is None else list(dict.fromkeys(_texts(entity)))


def softmax(logits: ArrayLike, kept: NDArray[np.bool_] | None = None) -> Distribution:
    """Return the softmax of logits ``[N]``, in float64; 0 where ``kept`` is False."""
    values = np.asarray(logits, dtype=np.float64)  # [N]
    if kept is not None:
        values = np.where(kept, values, -np.inf)
    powers = np.exp(values - values.max())
    shares: Distribution = powers / powers.sum()
    return shares


def released_softmax(
    logits: ArrayLike, kept: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Return the softmax of logits ``[N]`` as torch computes it in float32; 0 where not ``kept``.

    What lies more than about 104 below the highest is 0.
    """
    import torch  # takes seconds, which rescoring in the mended arithmetic need not wait for

    values = torch.from_numpy(np.array(logits, dtype=np.float32))  # [N]
    kept_values = values if kept is None else values[torch.from_numpy(kept)]
    shares = np.zeros(len(values), dtype=np.float32)
    shares[slice(None) if kept is None else kept] = kept_values.softmax(dim=-1).numpy()
    return shares


def _head_text(entity: Entity) -> str:
    """Return the text that an entity is scored by: the last link that is no relation extends it."""
    phrases = [link.phrase for link in entity.links if relation_named(link.words) is None]
    return phrases[-1] if phrases else entity.text


def _texts(entity: Entity) -> list[str]:
    related = [link.entity for link in entity.links if relation_named(link.words) is not None]
    return [_head_text(entity), *(text for other in related for text in _texts(other))]


def _distribution(
    entity: Entity,
    boxes_xywh: NDArray[np.float64],
    score_text: ScoreText,
    kept: NDArray[np.bool_] | None = None,
    *,
    as_released: bool,
) -> Shares:
    """Return the shares ``[N]`` of an entity; see :func:`relate`."""

    def normalized(step: Shares, before: Shares) -> Shares:
        total = step.sum()
        shares: Shares = step / total if as_released or total > 0 else before
        return shares

    share_out: ShareOut = released_softmax if as_released else softmax
    chances: Shares = share_out(score_text(_head_text(entity)), kept)  # [N]
    for link in entity.links:
        relation = relation_named(link.words)
        if relation is not None:
            # What a sentence relates to may be small, so no box is left out for it.
            others = _distribution(link.entity, boxes_xywh, score_text, as_released=as_released)
            related = (others * relation.holds(boxes_xywh)).sum(axis=-1)  # [N]
            chances = normalized(chances * related, chances)
    if as_released and not np.sort(chances)[-2] > 0:  # nor where it is NaN
        return chances
    for words in entity.superlatives:
        superlative = superlative_named(words)
        if superlative is not None:
            # The pairs first, as released: in float32 they underflow sooner.
            pairs = chances[:, None] * chances[None, :]  # [N, N]
            chances = normalized((pairs * superlative.holds(boxes_xywh)).sum(axis=-1), chances)
    return chances
