"""Evaluation: a model's figures on labelled texts, overall and per source, with VADER on the same rows beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training import metrics
from training.data import LABELS
from training.examples import Example
from training.metrics import ClassScores, ClusterBootstrap, Floats, Interval, Ints
from training.predict import LogitsModel, logits_of, probabilities, vader_labels
from training.tokens import load_tokenizer, token_ids, tokenizer_of_encoder

OVERALL = "overall"


@dataclass(frozen=True, slots=True)
class Report:
    """Figures of one predictor on one set of texts. `ece` is None for a predictor without probabilities."""

    macro_f1: float
    macro_f1_ci95: Interval
    accuracy: float
    ece: float | None
    per_class: dict[str, ClassScores]
    confusion: list[list[int]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A model and VADER on the same `rows` texts, and the paired interval of the model's lead in macro-F1."""

    rows: int
    model: Report
    vader: Report
    lead: float
    lead_ci95: Interval


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All figures of one run: `parts` holds "overall" first, then each source by name."""

    model: str
    data: str
    temperature: float
    parts: dict[str, Comparison]

    @property
    def overall(self) -> Comparison:
        """Return the figures over all texts."""
        return self.parts[OVERALL]

    @property
    def sources(self) -> dict[str, Comparison]:
        """Return the figures of each source."""
        return {name: part for name, part in self.parts.items() if name != OVERALL}


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a model (`probabilities` [n, 3]) and VADER (`vader` [n]) say of texts whose label indices are `true` [n]."""

    true: Ints
    probabilities: Floats
    vader: Ints

    def take(self, rows: Ints) -> Predictions:
        """Return the predictions of some rows."""
        return Predictions(self.true[rows], self.probabilities[rows], self.vader[rows])


def label_indices(examples: Sequence[Example]) -> Ints:
    """Return the true label indices [n]."""
    return np.array([LABELS.index(example.label) for example in examples], dtype=np.int64)


def predict(
    model: LogitsModel, examples: Sequence[Example], max_length: int, temperature: float, tokenizer: str | None = None
) -> Predictions:
    """Return what the model and VADER say of the examples; without a `tokenizer`, its file's content, BERT's is taken."""
    texts = [example.text for example in examples]
    rows = token_ids(load_tokenizer(tokenizer or tokenizer_of_encoder(), max_length), texts)
    probs = probabilities(logits_of(model, rows, progress="Predicting"), temperature)
    return Predictions(label_indices(examples), probs, vader_labels(texts))


def compare(examples: Sequence[Example], predictions: Predictions, seed: int = 0) -> dict[str, Comparison]:
    """Return the figures overall and for each source, in alphabetical order."""
    parts = {OVERALL: np.arange(len(examples), dtype=np.int64)}
    for source in sorted({example.source for example in examples}):
        parts[source] = np.flatnonzero([example.source == source for example in examples])
    return {
        name: _compare([examples[i].group for i in rows.tolist()], predictions.take(rows), seed) for name, rows in parts.items()
    }


def _compare(groups: Sequence[str], predictions: Predictions, seed: int) -> Comparison:
    bootstrap = ClusterBootstrap(groups, seed=seed)
    true, model, vader = predictions.true, predictions.probabilities.argmax(axis=1), predictions.vader
    ours = metrics.macro_f1(bootstrap.matrices(true, model))
    theirs = metrics.macro_f1(bootstrap.matrices(true, vader))
    ece = metrics.expected_calibration_error(predictions.probabilities, true)
    reports = _report(true, model, ours, ece), _report(true, vader, theirs, None)
    lead = reports[0].macro_f1 - reports[1].macro_f1
    return Comparison(len(true), *reports, lead, metrics.interval(ours - theirs))


def _report(true: Ints, predicted: Ints, resampled: Floats, ece: float | None) -> Report:
    matrix = metrics.confusion(true, predicted)
    return Report(
        macro_f1=float(metrics.macro_f1(matrix)),
        macro_f1_ci95=metrics.interval(resampled),
        accuracy=metrics.accuracy(matrix),
        ece=ece,
        per_class=metrics.per_class(matrix),
        confusion=matrix.tolist(),
    )
