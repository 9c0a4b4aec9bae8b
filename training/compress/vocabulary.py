"""Vocabulary trimming: keep the word pieces that texts use, and drop the rest of the embedding matrix.

More than half of a small encoder's weights are embeddings of tokens that its texts never hold. All single characters stay, so
that any word can still be spelled: a text whose own pieces are all kept gets the same pieces, because WordPiece takes the
longest piece that fits and no longer one has come in; another text gets shorter pieces, not [UNK].

Abdaoui et al., "Load What You Need: Smaller Versions of Multilingual BERT", SustaiNLP 2020.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import PreTrainedModel

from training.errors import TrainingError
from training.tokens import PAD_ID

_CHUNK = 1024


@dataclass(frozen=True, slots=True)
class Trimmed:
    """A smaller vocabulary: the content of its tokenizer.json, and for each new token id the old one, ascending."""

    tokenizer: str
    kept: tuple[int, ...]

    def translate(self, row: Sequence[int]) -> list[int]:
        """Return the new ids of a row of old ones.

        Raises:
            KeyError: one of them was not kept.
        """
        new = {old: index for index, old in enumerate(self.kept)}
        return [new[old] for old in row]


def used_tokens(tokenizer: str, texts: Iterable[str], at_least: int = 1) -> frozenset[int]:
    """Return the ids of the tokens that occur at least `at_least` times in `texts`."""
    encoder, counts, chunk = Tokenizer.from_str(tokenizer), Counter[int](), list[str]()
    encoder.no_truncation()
    encoder.no_padding()
    for text in texts:
        chunk.append(text)
        if len(chunk) == _CHUNK:
            _count(encoder, chunk, counts)
            chunk = []
    _count(encoder, chunk, counts)
    return frozenset(token for token, count in counts.items() if count >= at_least)


def trim(tokenizer: str, texts: Iterable[str], at_least: int = 1) -> Trimmed:
    """Return the vocabulary of `texts`: their tokens, all single characters, and the special tokens.

    `tokenizer` is the content of a tokenizer.json with a WordPiece or WordLevel model. The order stays, so padding stays 0.

    Raises:
        TrainingError: the tokenizer is of another kind.
    """
    content = json.loads(tokenizer)
    vocabulary = _vocabulary(content)
    used = _specials(content, vocabulary) | used_tokens(tokenizer, texts, at_least)
    prefix = content["model"].get("continuing_subword_prefix") or ""
    letters = {index for token, index in vocabulary.items() if len(token.removeprefix(prefix)) == 1}
    kept = tuple(sorted(used | letters))
    _rewrite(content, kept)
    return Trimmed(json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n", kept)


def trim_embeddings(encoder: nn.Module, kept: Collection[int]) -> None:
    """Reduce the encoder's token embeddings [vocabulary, hidden] to the rows of `kept`, in its order; in place.

    Raises:
        TrainingError: the encoder is none of transformers'.
    """
    old = encoder.get_input_embeddings() if isinstance(encoder, PreTrainedModel) else None
    if not isinstance(encoder, PreTrainedModel) or not isinstance(old, nn.Embedding):
        raise TrainingError(f"{type(encoder).__name__} has no embedding matrix that could be trimmed")
    rows = old.weight.detach()[torch.tensor(list(kept))].clone()
    smaller = nn.Embedding(rows.shape[0], rows.shape[1], padding_idx=old.padding_idx, _weight=rows)
    smaller.requires_grad_(old.weight.requires_grad)
    encoder.set_input_embeddings(smaller)
    encoder.config.vocab_size = len(rows)


def _count(encoder: Tokenizer, texts: list[str], counts: Counter[int]) -> None:
    for encoding in encoder.encode_batch(texts):
        counts.update(encoding.ids)


def _vocabulary(content: dict[str, Any]) -> dict[str, int]:
    kind = content["model"].get("type")
    if kind not in {"WordPiece", "WordLevel"}:
        raise TrainingError(f"only a WordPiece or WordLevel vocabulary can be trimmed, not {kind}")
    return dict(content["model"]["vocab"])


def _specials(content: dict[str, Any], vocabulary: dict[str, int]) -> set[int]:
    """What the tokenizer adds by itself, or falls back to; and padding, which no text holds."""
    added = {int(token["id"]) for token in content.get("added_tokens") or ()}
    framing = {identity for token in _framing(content).values() for identity in token["ids"]}
    return {PAD_ID, vocabulary[content["model"]["unk_token"]], *added, *framing}


def _framing(content: dict[str, Any]) -> dict[str, Any]:
    processor = content.get("post_processor") or {"type": "TemplateProcessing", "special_tokens": {}}
    if processor["type"] != "TemplateProcessing":
        raise TrainingError(f"a tokenizer with the post-processor {processor['type']} cannot be trimmed")
    return dict(processor["special_tokens"])


def _rewrite(content: dict[str, Any], kept: Sequence[int]) -> None:
    new = {old: index for index, old in enumerate(kept)}
    pieces = content["model"]["vocab"].items()
    content["model"]["vocab"] = {token: new[old] for token, old in pieces if old in new}
    for token in content.get("added_tokens") or ():
        token["id"] = new[token["id"]]
    for token in _framing(content).values():
        token["ids"] = [new[old] for old in token["ids"]]
