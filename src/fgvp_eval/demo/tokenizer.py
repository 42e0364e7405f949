"""A word tokenizer with a closed vocabulary, for the demo CLIP."""

import re
from collections.abc import Sequence

import torch

from fgvp_eval.demo.scenes import SIZES
from fgvp_eval.demo.shapes import SHAPES
from fgvp_eval.demo.textures import COLOURS, TEXTURES

CONTEXT_LENGTH = 20
PAD, UNKNOWN, START, END = "<pad>", "<unk>", "<start>", "<end>"
TEXTURE_WORDS: tuple[str, ...] = (
    "solid", "stripes", "stripy", "dots", "spotted", "polka", "dot", "checks", "checked",
)  # fmt: skip
SIZE_WORDS: tuple[str, ...] = (
    "little", "tiny", "big", "huge", "smaller", "larger", "bigger", "smallest", "largest",
    "biggest",
)  # fmt: skip
LOCATION_WORDS: tuple[str, ...] = (
    "left", "right", "top", "bottom", "upper", "lower", "leftmost", "rightmost", "topmost",
    "bottommost", "most", "far", "middle", "center", "centre", "side", "corner", "end", "edge",
    "above", "below", "under", "over", "near", "next", "beside", "between", "behind", "front",
)  # fmt: skip
OTHER_WORDS: tuple[str, ...] = (
    "a", "an", "the", "of", "in", "on", "at", "to", "with", "that", "is", "and", "which", "it",
    "photo", "picture", "image", "object", "shape", "thing", "one", "colour", "color",
    "coloured", "colored",
)  # fmt: skip
WORDS: tuple[str, ...] = (
    *SHAPES,
    *COLOURS,
    *TEXTURES,
    *SIZES,
    *TEXTURE_WORDS,
    *SIZE_WORDS,
    *LOCATION_WORDS,
    *OTHER_WORDS,
)


class WordTokenizer:
    """Texts to token ids: lower case, punctuation dropped, unknown words mapped to `<unk>`.

    The end token has the highest id, which is where open_clip's default pooling looks.
    """

    def __init__(self, context_length: int = CONTEXT_LENGTH) -> None:
        if context_length < 3:
            raise ValueError(f"context_length must be at least 3, got {context_length}")
        self.context_length = context_length
        self._ids = {token: k for k, token in enumerate((PAD, UNKNOWN, START, *WORDS, END))}

    @property
    def vocab_size(self) -> int:
        """Number of token ids, special tokens included."""
        return len(self._ids)

    def encode(self, text: str) -> list[int]:
        """Ids of the words of one text, without special tokens."""
        words = re.findall(r"[^\W_]+", text.lower())
        return [self._ids.get(word, self._ids[UNKNOWN]) for word in words]

    def __call__(
        self, texts: str | Sequence[str], context_length: int | None = None
    ) -> torch.Tensor:
        """Tokenize texts; longer ones are cut, the end token is always there.

        Args:
            texts: one text or several.
            context_length: length L of the rows; default: the tokenizer's own.

        Returns:
            int64 [N, L], padded with zeros.

        Raises:
            TypeError: if `texts` is not a text or a sequence of texts.
        """
        rows = [texts] if isinstance(texts, str) else list(texts)
        for row in rows:
            if not isinstance(row, str):
                raise TypeError(f"texts must be str or a sequence of str, got {type(row).__name__}")
        length = self.context_length if context_length is None else context_length
        tokens = torch.full((len(rows), length), self._ids[PAD], dtype=torch.int64)  # [N, L]
        for index, row in enumerate(rows):
            ids = [self._ids[START], *self.encode(row)[: length - 2], self._ids[END]]
            tokens[index, : len(ids)] = torch.tensor(ids)
        return tokens
