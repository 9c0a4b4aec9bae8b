"""The figures of several predictors on one set: overall, by source, by length, each with an interval; and who leads whom.

All predictors meet the same resamples, so the interval of a difference between two is a paired one. Macro-F1 is the mean over
the labels that the rows truly have: on a set of two labels, to say the third is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from training import metrics
from training.data import LABELS
from training.evaluate import label_indices
from training.evaluation.sets import EvaluationSet
from training.metrics import ClassScores, ClusterBootstrap, Floats, Interval, Ints

BANDS = (16, 32, 64)
"""The longest text of each band, in tokens with the two special ones; the last band has no end."""
BAND_NAMES = (*(f"≤{band}" for band in BANDS), f">{BANDS[-1]}")
RESAMPLES, RESAMPLES_OF_A_SLICE = 2000, 500


@dataclass(frozen=True, slots=True)
class Figures:
    """One predictor on some rows. `ece` is None where its numbers are no probabilities."""

    rows: int
    macro_f1: float
    macro_f1_ci95: Interval
    accuracy: float
    ece: float | None
    per_class: Mapping[str, ClassScores]
    confusion: Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class Forced:
    """What a predictor scores where it must choose between the labels that the set has."""

    macro_f1: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Bin:
    """The rows of one tenth of the scale of confidence: how sure the predictor was on average, and how often right."""

    confidence: float
    accuracy: float
    rows: int


@dataclass(frozen=True, slots=True)
class SetFigures:
    """One predictor on one set.

    `forced` is None where the set has all three labels, `reliability` is empty where the numbers are no probabilities, and
    slices without rows are left out.
    """

    overall: Figures
    forced: Forced | None
    reliability: Sequence[Bin]
    sources: Mapping[str, Figures]
    lengths: Mapping[str, Figures]


@dataclass(frozen=True, slots=True)
class Answered:
    """A set with every predictor's probabilities [rows, 3], by name, and its texts' lengths [rows] in tokens."""

    of: EvaluationSet
    probabilities: Mapping[str, Floats]
    lengths: Ints
    calibrated: frozenset[str]


def set_figures(answered: Answered, seed: int = 0) -> dict[str, SetFigures]:
    """Return the figures of each predictor, by name."""
    examples = answered.of.examples
    everything = np.arange(len(examples), dtype=np.int64)
    overall = _slice(answered, everything, RESAMPLES, seed)
    names = sorted({example.source for example in examples})
    sources = {name: np.flatnonzero([example.source == name for example in examples]) for name in names}
    by_source = _slices(answered, sources if len(sources) > 1 else {}, seed)
    by_length = _slices(answered, _bands(answered.lengths), seed)
    return {
        name: SetFigures(
            overall[name],
            _forced(answered, name),
            reliability(answered.probabilities[name], label_indices(examples)) if name in answered.calibrated else (),
            {part: figures[name] for part, figures in by_source.items()},
            {part: figures[name] for part, figures in by_length.items()},
        )
        for name in answered.probabilities
    }


def reliability(probabilities: Floats, true: Ints, bins: int = 10) -> list[Bin]:
    """Return the points of a reliability diagram of probabilities [rows, 3], from unsure to sure; empty bins are left out."""
    confidence = probabilities.max(axis=1)
    hit = probabilities.argmax(axis=1) == true
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    members = [np.flatnonzero(place == index) for index in range(bins)]
    return [Bin(float(confidence[rows].mean()), float(hit[rows].mean()), len(rows)) for rows in members if len(rows)]


def macro_f1(matrices: Floats | Ints, present: Ints) -> Floats:
    """Return the mean F1 [...] over the labels whose indices are `present`, of confusion matrices [..., 3, 3]."""
    return np.asarray(metrics.f1(matrices)[..., present].mean(axis=-1))


def _slices(answered: Answered, slices: Mapping[str, Ints], seed: int) -> dict[str, dict[str, Figures]]:
    return {name: _slice(answered, rows, RESAMPLES_OF_A_SLICE, seed) for name, rows in slices.items() if len(rows)}


def _slice(answered: Answered, rows: Ints, resamples: int, seed: int) -> dict[str, Figures]:
    examples = [answered.of.examples[index] for index in rows.tolist()]
    bootstrap = ClusterBootstrap([example.group for example in examples], resamples, seed)
    true = label_indices(examples)
    return {
        name: _figures(probabilities[rows], true, bootstrap, calibrated=name in answered.calibrated)
        for name, probabilities in answered.probabilities.items()
    }


def _figures(probabilities: Floats, true: Ints, bootstrap: ClusterBootstrap, *, calibrated: bool) -> Figures:
    said = probabilities.argmax(axis=1)
    matrix, present = metrics.confusion(true, said), np.unique(true)
    return Figures(
        rows=len(true),
        macro_f1=float(macro_f1(matrix, present)),
        macro_f1_ci95=metrics.interval(macro_f1(bootstrap.matrices(true, said), present)),
        accuracy=metrics.accuracy(matrix),
        ece=metrics.expected_calibration_error(probabilities, true) if calibrated else None,
        per_class=metrics.per_class(matrix),
        confusion=matrix.tolist(),
    )


def _forced(answered: Answered, name: str) -> Forced | None:
    true = label_indices(answered.of.examples)
    present = np.unique(true)
    if len(present) == len(LABELS):
        return None
    said = present[answered.probabilities[name][:, present].argmax(axis=1)]
    matrix = metrics.confusion(true, said)
    return Forced(float(macro_f1(matrix, present)), metrics.accuracy(matrix))


def _bands(lengths: Ints) -> dict[str, Ints]:
    edges = (0, *BANDS, np.iinfo(np.int64).max)
    return {
        name: np.flatnonzero((lengths > low) & (lengths <= high))
        for name, low, high in zip(BAND_NAMES, edges, edges[1:], strict=False)
    }
