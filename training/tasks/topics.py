"""Topics of which a text may have none, one or several: a logit each, a sigmoid, and a threshold each.

The thresholds are fitted on the validation part, each to its topic's best F1: a rare topic's probability seldom passes a half.
Lipton, Elkan and Naryanaswamy, "Optimal Thresholding of Classifiers to Maximize F1 Measure", ECML PKDD 2014.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import EvalPrediction

from training.finetune.texts import Row
from training.metrics import Floats, Ints
from training.model import SentimentModel
from training.tasks.counts import Counts, macro_f1
from training.tasks.labelled import Labelled
from training.tokens import load_tokenizer, pad, token_ids

UNFITTED = 0.5


@dataclass(frozen=True, slots=True)
class TopicHead:
    """The topics in the order of the model's columns, and from which probability on each is said."""

    labels: tuple[str, ...]
    thresholds: tuple[float, ...] = ()

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> TopicHead:
        """Return the head that `settings` described."""
        return cls(tuple(settings["labels"]), tuple(settings["thresholds"].values()))

    @property
    def outputs(self) -> tuple[str, ...]:
        """A column for each topic."""
        return self.labels

    @property
    def per_token(self) -> bool:
        """One answer a text."""
        return False

    def settings(self) -> dict[str, Any]:
        """Return the topics, how a logit becomes a probability, and the thresholds."""
        limits = self.thresholds or (UNFITTED,) * len(self.labels)
        return {
            "labels": list(self.labels),
            "activation": "sigmoid",
            "thresholds": dict(zip(self.labels, limits, strict=True)),
        }

    def model(self, encoder: nn.Module, hidden_size: int, dropout: float = 0.0) -> SentimentModel:
        """Return encoder, mean pooling and a linear head [batch, topics]."""
        return SentimentModel(encoder, hidden_size, dropout, len(self.labels))

    def rows(self, texts: Sequence[Labelled], tokenizer: str, max_length: int) -> list[Row]:
        """Return one row a text: `input_ids`, and `labels`, 1.0 for each topic that it has."""
        ids = token_ids(load_tokenizer(tokenizer, max_length), [one.text for one in texts])
        return [{"input_ids": row, "labels": has} for row, has in zip(ids, self._has(texts).tolist(), strict=True)]

    def collate(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """Return one batch, padded to its longest row."""
        ids, mask = map(torch.from_numpy, pad([row["input_ids"] for row in rows]))
        return {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([row["labels"] for row in rows])}

    def loss(self, logits: Tensor, batch: Mapping[str, Tensor], smoothing: float = 0.0) -> Tensor:
        """Return the mean binary cross-entropy []; `smoothing` draws the targets towards a half."""
        targets = batch["labels"] * (1.0 - smoothing) + smoothing / 2
        return nn.functional.binary_cross_entropy_with_logits(logits, targets)

    def judge(self, prediction: EvalPrediction) -> dict[str, float]:
        """Return the macro-F1 at the thresholds that would be fitted, so that an epoch is not judged by its bias."""
        probabilities, there = sigmoid(np.asarray(prediction.predictions)), np.asarray(prediction.label_ids) > 0.5
        limits = np.array([best_threshold(probabilities[:, k], there[:, k]) for k in range(len(self.labels))])
        return {"macro_f1": float(macro_f1(_count(probabilities >= limits, there).sum(axis=0)))}

    def fitted(self, answers: Sequence[NDArray[np.float32]], texts: Sequence[Labelled]) -> TopicHead:
        """Return the head with each topic's threshold at its best F1 on these texts."""
        probabilities, there = sigmoid(np.stack(answers)), self._has(texts) > 0.5
        limits = tuple(best_threshold(probabilities[:, k], there[:, k]) for k in range(len(self.labels)))
        return replace(self, thresholds=limits)

    def said(self, answers: Sequence[NDArray[np.float32]]) -> NDArray[np.bool_]:
        """Return which topics [texts, topics] are said of logits [topics] each."""
        limits = np.array(self.thresholds or (UNFITTED,) * len(self.labels))
        return np.asarray(sigmoid(np.stack(answers)) >= limits)

    def judged(self, answers: Sequence[NDArray[np.float32]]) -> tuple[Floats, Ints]:
        """Return the probabilities [texts, topics], and 1 for each topic that is said."""
        return sigmoid(np.stack(answers)), self.said(answers).astype(np.int64)

    def count(
        self,
        answers: Sequence[NDArray[np.float32]],
        texts: Sequence[Labelled],
        tokenizer: str,
        max_length: int,
    ) -> Counts:
        """Return the counts [texts, topics, 3]; the tokenizer has no part in it."""
        del tokenizer, max_length
        return _count(self.said(answers), self._has(texts) > 0.5)

    def _has(self, texts: Sequence[Labelled]) -> NDArray[np.float32]:
        return np.array([[label in one.topics for label in self.labels] for one in texts], dtype=np.float32)


def best_threshold(probabilities: Floats, there: NDArray[np.bool_]) -> float:
    """Return the threshold with the best F1 over probabilities [n] of what is `there` [n], four digits.

    Half way between two texts' probabilities, and of several the one nearest to a half; a half where no text has the topic.
    """
    if not there.any():
        return UNFITTED
    values = np.unique(probabilities)
    limits = np.unique(np.round(np.concatenate([[UNFITTED], (values[1:] + values[:-1]) / 2]), 4))
    said = probabilities[None, :] >= limits[:, None]
    scores = 2.0 * (said & there).sum(axis=1) / (said.sum(axis=1) + there.sum())
    best = limits[scores >= scores.max() - 1e-12]
    return float(best[np.abs(best - UNFITTED).argmin()])


def sigmoid(logits: NDArray[np.float32]) -> Floats:
    """Return the probability, float64, of each logit."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits.astype(np.float64))))


def _count(said: NDArray[np.bool_], there: NDArray[np.bool_]) -> Counts:
    return np.stack([said & there, said, there], axis=-1).astype(np.int64)
