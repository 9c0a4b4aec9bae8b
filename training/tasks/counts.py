"""Figures of tasks where a text has any number of labels or spans: precision, recall and F1 from counts, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.metrics import ClassScores, ClusterBootstrap, Floats, Interval, Ints, interval

Counts = NDArray[np.int64]
"""[texts, labels, 3]: of each text and label how many were found rightly, how many were said, and how many there are."""
RIGHT, SAID, THERE = range(3)


@dataclass(frozen=True, slots=True)
class TaskFigures:
    """F1 over all labels together and the mean of theirs, with 95 % intervals; `exact` is the share of faultless texts."""

    rows: int
    micro_f1: float
    micro_f1_ci95: Interval
    macro_f1: float
    macro_f1_ci95: Interval
    exact: float
    per_label: dict[str, ClassScores]


def figures(counts: Counts, labels: Sequence[str], groups: Sequence[str], seed: int = 0) -> TaskFigures:
    """Return the figures of counts [texts, labels, 3]; `groups` are what the bootstrap draws whole."""
    resampled = ClusterBootstrap(groups, seed=seed).sums(counts)
    total = counts.sum(axis=0)
    faultless = (counts[..., RIGHT] == counts[..., SAID]) & (counts[..., RIGHT] == counts[..., THERE])
    return TaskFigures(
        rows=len(counts),
        micro_f1=float(micro_f1(total)),
        micro_f1_ci95=interval(micro_f1(resampled)),
        macro_f1=float(macro_f1(total)),
        macro_f1_ci95=interval(macro_f1(resampled)),
        exact=float(faultless.all(axis=1).mean()),
        per_label={label: _scores(total[index]) for index, label in enumerate(labels)},
    )


def f1(counts: Counts | Floats) -> Floats:
    """Return F1 [...] of counts [..., 3]; 0 where there is nothing and nothing was said."""
    below = (counts[..., SAID] + counts[..., THERE]).astype(np.float64)
    above = 2.0 * counts[..., RIGHT]
    return np.divide(above, below, out=np.zeros_like(below), where=below > 0)


def micro_f1(counts: Counts | Floats) -> Floats:
    """Return F1 [...] over all labels' counts [..., labels, 3] together."""
    return f1(counts.sum(axis=-2))


def macro_f1(counts: Counts | Floats) -> Floats:
    """Return the mean F1 [...] of the labels of counts [..., labels, 3]."""
    return np.asarray(f1(counts).mean(axis=-1))


def _scores(total: Ints) -> ClassScores:
    right, said, there = (int(value) for value in total)
    return ClassScores(right / max(said, 1), right / max(there, 1), float(f1(total)), there)
