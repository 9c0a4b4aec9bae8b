"""Text to token ids with the Rust tokenizers library, exactly as the model was trained.

Measured on the ICWSM-2014 snippets (25 tokens on average), one thread, batches of 64: `encode_batch_fast` 29,000 to 31,000
texts/s, `encode_batch` 22,000 to 25,000, `encode` one by one 18,000 to 23,000. The library's own thread pool made batches of
this size no faster.
"""

import os
from collections.abc import Sequence

from tokenizers import Tokenizer as RustTokenizer

from worker.errors import ContractError


class Tokenizer:
    """Cuts each text to `max_length` tokens, the two special ones included, and does not pad.

    What looks like a special token in a text (`[SEP]`) is read as plain text, so that no text can end itself early. Sets
    `TOKENIZERS_PARALLELISM` to `false` unless it is set: the pool would fight with inference for cores, and a fork breaks it.

    Args:
        body: the content of tokenizer.json.
        max_length: in tokens, from the contract.

    Raises:
        ContractError: `body` is no tokenizer.
    """

    def __init__(self, body: bytes, max_length: int) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        try:
            self._tokenizer = RustTokenizer.from_buffer(body)
        except ValueError as error:
            raise ContractError(f"the tokenizer file cannot be read: {error}") from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length)
        self._tokenizer.encode_special_tokens = True

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, at least the two special ones; takes any string."""
        try:
            encodings = self._tokenizer.encode_batch_fast(list(texts))
        except TypeError:
            encodings = self._tokenizer.encode_batch_fast([_well_formed(text) for text in texts])
        return [encoding.ids for encoding in encodings]


def _well_formed(text: str) -> str:
    """Put the replacement character for each lone surrogate, which no UTF-8 string can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
