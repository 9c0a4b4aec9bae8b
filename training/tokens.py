"""Text to token ids, the same way the worker does it: the Rust tokenizers library, padding to a stated length."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from training.encoder import fetch_encoder

PAD_ID = 0

Ids = NDArray[np.int64]


def tokenizer_of_encoder() -> str:
    """Return the tokenizer of the pinned encoder, as `tokenizer_json` gives it."""
    return tokenizer_json(fetch_encoder())


def tokenizer_json(encoder: Path) -> str:
    """Return the encoder's tokenizer file without its fixed padding and truncation, which the caller decides."""
    content = json.loads((encoder / "tokenizer.json").read_text("utf-8"))
    content["padding"] = None
    content["truncation"] = None
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"


def load_tokenizer(content: str, max_length: int) -> Tokenizer:
    """Return the tokenizer of a file's content, cutting each text to `max_length` tokens, the two special ones included."""
    tokenizer = Tokenizer.from_str(content)
    tokenizer.enable_truncation(max_length)
    return tokenizer


def token_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Return the token ids of each text."""
    return [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]


def pad(rows: Sequence[Sequence[int]], length: int | None = None) -> tuple[Ids, Ids]:
    """Return `input_ids` and `attention_mask`, int64 [rows, length]; `length` defaults to the longest row's."""
    width = length or max(len(row) for row in rows)
    ids = np.full((len(rows), width), PAD_ID, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    return ids, mask
