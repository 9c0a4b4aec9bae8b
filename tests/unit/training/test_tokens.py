import hashlib
import json

import pytest

from tests.unit.training.builders import tokenizer_file
from training.encoder import fetch_encoder
from training.tokens import load_tokenizer, pad, token_ids, tokenizer_json


def test_texts_are_framed_and_cut() -> None:
    """The limit counts the two special tokens, and the last one stays."""
    tokenizer = load_tokenizer(tokenizer_file(), 4)
    assert token_ids(tokenizer, ["Good", "the day is very good"]) == [[2, 4, 3], [2, 12, 7, 3]]


def test_rows_are_padded_to_the_longest_or_to_a_bucket() -> None:
    """The mask is one on real tokens."""
    ids, mask = pad([[2, 4, 3], [2, 3]])
    assert ids.tolist() == [[2, 4, 3], [2, 3, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert pad([[2, 3]], 5)[0].tolist() == [[2, 3, 0, 0, 0]]


def test_the_shipped_tokenizer_neither_pads_nor_cuts() -> None:
    """The encoder's own file pads everything to 128 tokens; how long a text may be is the contract's to say."""
    content = tokenizer_json(fetch_encoder())
    assert json.loads(content)["padding"] is None
    assert json.loads(content)["truncation"] is None


def test_the_shipped_tokenizer_does_the_same_every_time() -> None:
    """Its SHA-256 is in the contract, so its bytes must not depend on the run."""
    first, second = (hashlib.sha256(tokenizer_json(fetch_encoder()).encode()).hexdigest() for _ in range(2))
    assert first == second


@pytest.mark.parametrize(("text", "tokens"), [("I love it!", 6), ("", 2)])
def test_the_shipped_tokenizer_reads_english(text: str, tokens: int) -> None:
    """WordPiece with [CLS] and [SEP]."""
    assert len(token_ids(load_tokenizer(tokenizer_json(fetch_encoder()), 256), [text])[0]) == tokens
