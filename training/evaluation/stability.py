"""What a variant costs and whether it answers as the model it was made of: size, speed, flips, neighbours."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from training.evaluation.predictors import Predictor
from training.gates import Agreement, agreement

ROUNDS = 3
SPEED_TEXTS, NEIGHBOUR_TEXTS = 256, 256


@dataclass(frozen=True, slots=True)
class Subject:
    """A predictor to measure, its size on disk in bytes, and the model as trained that it must agree with, if any."""

    predictor: Predictor
    size: int = 0
    reference: Predictor | None = None


@dataclass(frozen=True, slots=True)
class Stability:
    """Size in megabytes, the best of three rounds in texts a second, and agreement on `texts` texts.

    `label_flips` and `max_probability_difference` are against the reference, None without one; `batch_dependence` is of a text
    alone against the same text among the others.
    """

    size_mb: float
    texts_per_s: float
    label_flips: float | None
    max_probability_difference: float | None
    batch_dependence: Agreement


def stability(subject: Subject, texts: Sequence[str], clock: Callable[[], float] = time.perf_counter) -> Stability:
    """Measure a subject on texts; `clock` gives seconds. Speed is this machine's, with whatever else it was doing."""
    predictor = subject.predictor
    against = agreement(subject.reference.probabilities(texts), predictor.probabilities(texts)) if subject.reference else None
    return Stability(
        size_mb=subject.size / 1e6,
        texts_per_s=speed(predictor, texts[:SPEED_TEXTS], clock),
        label_flips=against.labels_changed / against.answers if against else None,
        max_probability_difference=against.largest_gap if against else None,
        batch_dependence=neighbours(predictor, texts[:NEIGHBOUR_TEXTS]),
    )


def speed(predictor: Predictor, texts: Sequence[str], clock: Callable[[], float] = time.perf_counter) -> float:
    """Return texts a second, the best of three rounds, after one that does not count."""
    predictor.probabilities(texts)
    seconds = []
    for _ in range(ROUNDS):
        start = clock()
        predictor.probabilities(texts)
        seconds.append(clock() - start)
    return len(texts) / min(seconds)


def neighbours(predictor: Predictor, texts: Sequence[str]) -> Agreement:
    """Compare each text alone with the same text among the others."""
    alone = np.concatenate([predictor.probabilities([text]) for text in texts])
    return agreement(alone, predictor.probabilities(texts))
