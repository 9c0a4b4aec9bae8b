"""Classification metrics over label indices, on plain arrays, and their confidence intervals by the cluster bootstrap.

Everything starts from confusion matrices [..., 3, 3] (rows: true label, columns: predicted), so that a thousand
bootstrap resamples are one matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data import LABELS

CLASSES = len(LABELS)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % confidence interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Precision, recall and F1 of one label, and how many texts truly have it."""

    precision: float
    recall: float
    f1: float
    support: int


def confusion(true: Ints, predicted: Ints) -> Ints:
    """Return the confusion matrix, int64 [3, 3], of two vectors of label indices."""
    return np.bincount(true * CLASSES + predicted, minlength=CLASSES**2).reshape(CLASSES, CLASSES)


def precision(matrices: Floats | Ints) -> Floats:
    """Return each label's precision [..., 3]; 0 where nothing was predicted."""
    return _ratio(_diagonal(matrices), matrices.sum(axis=-2))


def recall(matrices: Floats | Ints) -> Floats:
    """Return each label's recall [..., 3]; 0 where there is no such text."""
    return _ratio(_diagonal(matrices), matrices.sum(axis=-1))


def f1(matrices: Floats | Ints) -> Floats:
    """Return each label's F1 [..., 3]; 0 where the label is neither true nor predicted anywhere."""
    return _ratio(2 * _diagonal(matrices), matrices.sum(axis=-1) + matrices.sum(axis=-2))


def macro_f1(matrices: Floats | Ints) -> Floats:
    """Return the mean F1 over the three labels [...]."""
    return np.asarray(f1(matrices).mean(axis=-1))


def accuracy(matrix: Floats | Ints) -> float:
    """Return the share of texts whose label was predicted."""
    return float(_diagonal(matrix).sum() / max(float(matrix.sum()), 1.0))


def per_class(matrix: Ints) -> dict[str, ClassScores]:
    """Return the scores of each label, by name."""
    columns = zip(LABELS, precision(matrix), recall(matrix), f1(matrix), matrix.sum(axis=1), strict=True)
    return {label: ClassScores(float(p), float(r), float(f), int(n)) for label, p, r, f, n in columns}


def expected_calibration_error(probabilities: Floats, true: Ints, bins: int = 15) -> float:
    """Return the mean gap between confidence and accuracy over equal bins of confidence, weighted by their counts.

    `probabilities` is [n, 3]. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
    """
    confidence = probabilities.max(axis=1)
    hit = (probabilities.argmax(axis=1) == true).astype(np.float64)
    bin_of = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(bin_of, weights=confidence - hit, minlength=bins)
    return float(np.abs(gaps).sum() / max(len(true), 1))


class ClusterBootstrap:
    """Resamples of whole groups (articles, reviews): their sentences are not independent of each other.

    The same resamples serve every prediction on the same texts, so differences between models are paired.
    """

    def __init__(self, groups: Sequence[str], resamples: int = 2000, seed: int = 0) -> None:
        _, self._group_of = np.unique(np.asarray(groups), return_inverse=True)
        self._count = int(self._group_of.max()) + 1
        share = np.full(self._count, 1.0 / self._count)
        draws = np.random.default_rng(seed).multinomial(self._count, share, size=resamples)
        self._weights = draws.astype(np.float64)

    def matrices(self, true: Ints, predicted: Ints) -> Floats:
        """Return one confusion matrix a resample, float64 [resamples, 3, 3]."""
        cells = self._group_of * CLASSES**2 + true * CLASSES + predicted
        per_group = np.bincount(cells, minlength=self._count * CLASSES**2).reshape(self._count, CLASSES**2)
        return (self._weights @ per_group).reshape(-1, CLASSES, CLASSES)

    def sums(self, counts: Floats | Ints) -> Floats:
        """Return the sums [resamples, ...] of counts [texts, ...] over each resample."""
        per_group = np.zeros((self._count, *counts.shape[1:]))
        np.add.at(per_group, self._group_of, counts)
        return np.asarray(np.tensordot(self._weights, per_group, axes=1))


def interval(samples: Floats) -> Interval:
    """Return the central 95 % of the samples."""
    low, high = np.quantile(samples, [0.025, 0.975])
    return Interval(float(low), float(high))


def _diagonal(matrices: Floats | Ints) -> Floats:
    return np.asarray(np.diagonal(matrices, axis1=-2, axis2=-1), dtype=np.float64)


def _ratio(above: Floats, below: Floats | Ints) -> Floats:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)
