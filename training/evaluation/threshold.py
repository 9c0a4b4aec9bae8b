"""From what confidence on a prediction may stand without a person: the line of the review queue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.errors import TrainingError
from training.evaluation.intervals import wilson
from training.metrics import Floats, Ints


@dataclass(frozen=True, slots=True)
class ReviewThreshold:
    """Predictions of `confidence` and above are right at least as often as asked for.

    `precision` is how often they were, `precision_low` the lower end of its interval, `kept` the share of texts that are so
    sure; the others go to a person.
    """

    asked: float
    confidence: float
    precision: float
    precision_low: float
    kept: float


def review_threshold(probabilities: Floats, true: Ints, precision: float) -> ReviewThreshold:
    """Return the smallest confidence whose predictions from there up hold the precision, on rows not trained on.

    It holds if the lower end of Wilson's 95 % interval does, so that a few lucky rows at the top set no line. `probabilities`
    is [rows, 3], `true` the labels' indices [rows].

    Raises:
        TrainingError: no confidence is high enough.
    """
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    hits = np.cumsum(probabilities.argmax(axis=1)[order] == true[order])
    sorted_confidence = confidence[order]
    # A line can only be drawn between different confidences.
    ends = np.flatnonzero(np.append(sorted_confidence[1:] != sorted_confidence[:-1], True))
    for end in ends[::-1].tolist():
        low = wilson(int(hits[end]), end + 1).low
        if low >= precision:
            right = float(hits[end] / (end + 1))
            return ReviewThreshold(precision, float(sorted_confidence[end]), right, low, (end + 1) / len(true))
    raise TrainingError(
        f"no confidence holds a precision of {precision:g} on {len(true):,} rows: ask for less, or train a better model"
    )
