"""Entities in a text: a BIO tag for each word piece, by a linear layer on its hidden state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import EvalPrediction

from training.finetune.texts import Row
from training.metrics import Floats, Ints
from training.model import SentimentModel, mean_pool
from training.predict import probabilities
from training.tasks.counts import Counts, macro_f1
from training.tasks.labelled import Labelled
from training.tasks.spans import IGNORED, OUTSIDE, Span, align, count_spans, from_bio, spans_of, tags_of
from training.tokens import load_tokenizer, pad


class EntityModel(SentimentModel):
    """The same encoder and head, with the head asked of each token instead of their mean."""

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, *, with_embedding: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return logits [batch, tokens, tags] for token ids and mask [batch, tokens]; the embedding is [batch, hidden]."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        logits: Tensor = self.head(self.dropout(hidden))
        return (logits, mean_pool(hidden, attention_mask)) if with_embedding else logits


@dataclass(frozen=True, slots=True)
class EntityHead:
    """The kinds of entities; the model's columns are their BIO tags, O first."""

    labels: tuple[str, ...]

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> EntityHead:
        """Return the head that `settings` described."""
        return cls(tuple(settings["labels"]))

    @property
    def outputs(self) -> tuple[str, ...]:
        """A column for each tag."""
        return tags_of(self.labels)

    @property
    def per_token(self) -> bool:
        """One answer a token."""
        return True

    def settings(self) -> dict[str, Any]:
        """Return the kinds of entities, and the tags in the order of the columns."""
        return {"labels": list(self.labels), "activation": "softmax", "tags": list(self.outputs), "scheme": "BIO"}

    def model(self, encoder: nn.Module, hidden_size: int, dropout: float = 0.0) -> SentimentModel:
        """Return encoder and a linear head [batch, tokens, tags]."""
        return EntityModel(encoder, hidden_size, dropout, len(self.outputs))

    def rows(self, texts: Sequence[Labelled], tokenizer: str, max_length: int) -> list[Row]:
        """Return one row a text: `input_ids`, and `labels`, the tag of each piece."""
        pieces = load_tokenizer(tokenizer, max_length).encode_batch([one.text for one in texts])
        return [
            {"input_ids": found.ids, "labels": align(found, one.spans, self.outputs)}
            for found, one in zip(pieces, texts, strict=True)
        ]

    def collate(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """Return one batch, padded to its longest row."""
        ids, mask = map(torch.from_numpy, pad([row["input_ids"] for row in rows]))
        labels = torch.full_like(ids, IGNORED)
        for place, row in enumerate(rows):
            labels[place, : len(row["labels"])] = torch.tensor(row["labels"])
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}

    def loss(self, logits: Tensor, batch: Mapping[str, Tensor], smoothing: float = 0.0) -> Tensor:
        """Return the mean cross-entropy [] over the tokens that are part of a text."""
        return nn.functional.cross_entropy(
            logits.flatten(0, 1), batch["labels"].flatten(), ignore_index=IGNORED, label_smoothing=smoothing
        )

    def judge(self, prediction: EvalPrediction) -> dict[str, float]:
        """Return the macro-F1 of exact spans, counted in pieces: the text itself is not at hand here."""
        said, there = np.asarray(prediction.predictions).argmax(axis=-1), np.asarray(prediction.label_ids)
        pairs = [(self._in_pieces(one, other), self._in_pieces(other, other)) for one, other in zip(said, there, strict=True)]
        counts = count_spans([one for one, _ in pairs], [other for _, other in pairs], self.labels)
        return {"macro_f1": float(macro_f1(counts.sum(axis=0)))}

    def fitted(self, answers: Sequence[NDArray[np.float32]], texts: Sequence[Labelled]) -> EntityHead:
        """Return the head as it is: there is nothing to fit."""
        del answers, texts
        return self

    def said(
        self, answers: Sequence[NDArray[np.float32]], texts: Sequence[str], tokenizer: str, max_length: int
    ) -> list[list[Span]]:
        """Return the entities of each text by its logits [tokens, tags]."""
        pieces = load_tokenizer(tokenizer, max_length).encode_batch(list(texts))
        return [spans_of(found, one.argmax(axis=-1).tolist(), self.outputs) for found, one in zip(pieces, answers, strict=True)]

    def judged(self, answers: Sequence[NDArray[np.float32]]) -> tuple[Floats, Ints]:
        """Return the probabilities [tokens, tags] of all tokens, one below the other, and the tag of each."""
        found = probabilities(np.concatenate(answers))
        return found, found.argmax(axis=1)

    def count(
        self,
        answers: Sequence[NDArray[np.float32]],
        texts: Sequence[Labelled],
        tokenizer: str,
        max_length: int,
    ) -> Counts:
        """Return the counts [texts, labels, 3] of exact spans; what the text was cut before is there, and not found."""
        said = self.said(answers, [one.text for one in texts], tokenizer, max_length)
        return count_spans(said, [one.spans for one in texts], self.labels)

    def _in_pieces(self, tags: NDArray[np.int64], there: NDArray[np.int64]) -> list[Span]:
        kept = [self.outputs[tag] if other != IGNORED else OUTSIDE for tag, other in zip(tags, there, strict=True)]
        return from_bio(kept, [(place, place + 1) for place in range(len(kept))])
