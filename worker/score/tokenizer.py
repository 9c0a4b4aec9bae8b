"""Text to token ids with the Rust tokenizers library, exactly as the model was trained.

Measured on the ICWSM-2014 snippets (25 tokens on average), one thread, batches of 64: `encode_batch_fast` 29,000 to 31,000
texts/s, `encode_batch` 22,000 to 25,000, `encode` one by one 18,000 to 23,000. The library's own thread pool made batches of
this size no faster.

BERT's way to read a text looks at one character at a time and ends every word at a space or a punctuation mark, so that a
text's tokens are those of its words, one after the other. Where the file is of that kind (`_reads_word_by_word`), each word is
given to the library once and then remembered: 28 to 55 microseconds a text, of words that are known or mostly known, where the
library by itself takes 90 to 98 (first-generation EPYC, processor time).
"""

import json
import os
import re
from collections.abc import Iterable, Sequence
from itertools import chain

from tokenizers import Tokenizer as RustTokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from worker.errors import ContractError

KNOWN_WORDS = 50_000
"""Words remembered; about 10 MB. Past it all are forgotten: what is used comes back with its next text."""
_LONGEST_KNOWN = 40
"""Characters of a word that is remembered."""
_MARK = r"!-/:-@\[-`{-~"
_WORD = re.compile(f"[^ {_MARK}]+|[{_MARK}]")
"""What lies between spaces and ASCII punctuation, and each mark by itself."""


class Tokenizer:
    """Cuts each text to `max_length` tokens, the two special ones included, and does not pad.

    What looks like a special token in a text (`[SEP]`) is read as plain text, so that no text can end itself early. Sets
    `TOKENIZERS_PARALLELISM` to `false` unless it is set: the pool would fight with inference for cores, and a fork breaks it.

    Args:
        body: the content of tokenizer.json.
        max_length: in tokens, from the contract.
        known_words: how many words are remembered, where that can be done.

    Raises:
        ContractError: `body` is no tokenizer.
    """

    def __init__(self, body: bytes, max_length: int, known_words: int = KNOWN_WORDS) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        try:
            self._tokenizer = RustTokenizer.from_buffer(body)
        except ValueError as error:
            raise ContractError(f"the tokenizer file cannot be read: {error}") from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length)
        self._tokenizer.encode_special_tokens = True
        self._max_length = max_length
        self._known_words = known_words
        self._known: dict[str, list[int]] = {}
        self._ends = self._encode([""])[0] if _reads_word_by_word(self._tokenizer) else []

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, at least the two special ones; takes any string."""
        if len(self._ends) != 2:  # another kind of file, or a template of its own
            return self._encode(texts)
        split = [_WORD.findall(text) for text in texts]
        passing = self._learn({word for words in split for word in words if word not in self._known})
        ids = [self._joined(words) for words in split]
        for word in passing:
            del self._known[word]
        if len(self._known) > self._known_words:
            self._known.clear()
        return ids

    def _learn(self, words: Iterable[str]) -> list[str]:
        """Have the library read words; return those that are too long to be remembered."""
        new = list(words)
        self._known.update(zip(new, self._encode(new, special=False), strict=True))
        return [word for word in new if len(word) > _LONGEST_KNOWN]

    def _joined(self, words: Sequence[str]) -> list[int]:
        """Return the ids of a text of known words: special token, words as far as there is room, special token."""
        first, last = self._ends
        ids = [first, *chain.from_iterable(map(self._known.__getitem__, words))]
        del ids[self._max_length - 1 :]
        ids.append(last)
        return ids

    def _encode(self, texts: Sequence[str], *, special: bool = True) -> list[list[int]]:
        try:
            encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=special)
        except TypeError:
            encodings = self._tokenizer.encode_batch_fast([_well_formed(text) for text in texts], add_special_tokens=special)
        return [encoding.ids for encoding in encodings]


def _reads_word_by_word(tokenizer: RustTokenizer) -> bool:
    """Tell whether what stands on one side of a space or a mark makes no difference to the tokens on the other.

    BERT's normaliser cleans, lower-cases and decomposes character by character, its pre-tokeniser cuts at white space and
    around each mark, and WordPiece reads what lies in between. A special token is plain text here
    (`encode_special_tokens`); any other added token might hold a space.
    """
    of_bert = isinstance(tokenizer.normalizer, BertNormalizer) and isinstance(tokenizer.pre_tokenizer, BertPreTokenizer)
    added = json.loads(tokenizer.to_str())["added_tokens"] if of_bert else ()
    return of_bert and isinstance(tokenizer.model, WordPiece) and all(token["special"] for token in added)


def _well_formed(text: str) -> str:
    """Put the replacement character for each lone surrogate, which no UTF-8 string can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
