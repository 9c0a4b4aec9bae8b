"""Texts as batches of tensors, with what each text is to be answered: its soft label, where people rated it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from training.data import Snippet
from training.model import SentimentModel, mean_pool, soft_labels
from training.tokens import load_tokenizer, pad, token_ids

LABEL_SIGMA = 0.35
"""Rating points of noise around a mean rating, as in the recipe of the default adapter."""


def labelled_batches(
    snippets: Sequence[Snippet], tokenizer: str, batch_size: int = 16, max_length: int = 128
) -> Iterator[dict[str, Tensor]]:
    """Yield batches of similar length: `input_ids` and `attention_mask` [batch, tokens], int64, and `targets` [batch, 3]."""
    rows = token_ids(load_tokenizer(tokenizer, max_length), [snippet.text for snippet in snippets])
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        ratings = torch.tensor([snippets[index].rating for index in chosen])
        ids, mask = map(torch.from_numpy, pad([rows[index] for index in chosen]))
        yield {"input_ids": ids, "attention_mask": mask, "targets": soft_labels(ratings, LABEL_SIGMA)}


def answer(model: SentimentModel, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits [batch, 3] and the embedding they are made from [batch, hidden], of one pass."""
    hidden = model.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
    embedding = mean_pool(hidden, attention_mask)
    logits: Tensor = model.head(model.dropout(embedding))
    return logits, embedding
