"""The word tokenizer."""

import pytest
import torch

from fgvp_eval.demo.tokenizer import CONTEXT_LENGTH, WORDS, WordTokenizer

tokenizer = WordTokenizer()


def test_words_are_distinct_and_plain() -> None:
    assert len(set(WORDS)) == len(WORDS)
    assert all(word.isalpha() and word == word.lower() for word in WORDS)
    assert tokenizer.vocab_size == len(WORDS) + 4


def test_rows_start_end_and_are_padded() -> None:
    tokens = tokenizer(["red star", "a photo of the small red striped star"])
    assert tokens.shape == (2, CONTEXT_LENGTH)
    assert tokens.dtype == torch.int64
    end = tokenizer.vocab_size - 1
    assert tokens[0, :4].tolist() == [2, *tokenizer.encode("red star"), end]
    assert (tokens[0, 4:] == 0).all()
    assert tokens.argmax(-1).tolist() == [3, 9]


@pytest.mark.parametrize("text", ["Red STAR", "red, star.", " red\tstar!", "red-star", "red_star"])
def test_case_and_punctuation_do_not_matter(text: str) -> None:
    assert tokenizer.encode(text) == tokenizer.encode("red star")


def test_unknown_words_map_to_one_id() -> None:
    known, first, second = (tokenizer.encode(w)[0] for w in ("star", "zebra", "étoile"))
    assert first == second == 1 != known


def test_single_text_gives_one_row() -> None:
    torch.testing.assert_close(tokenizer("red star"), tokenizer(["red star"]))


def test_long_texts_are_cut_but_end() -> None:
    tokens = tokenizer("star " * 100)
    assert tokens.shape == (1, CONTEXT_LENGTH)
    assert tokens[0, -1] == tokenizer.vocab_size - 1


def test_empty_text_and_no_texts() -> None:
    assert tokenizer("")[0, :2].tolist() == [2, tokenizer.vocab_size - 1]
    assert tokenizer([]).shape == (0, CONTEXT_LENGTH)


def test_wrong_types_are_errors() -> None:
    with pytest.raises(TypeError, match="texts must be str"):
        tokenizer([3])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="at least 3"):
        WordTokenizer(context_length=2)
