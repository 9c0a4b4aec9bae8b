"""Whether a candidate is not worse than the model that serves: pure functions of what both said of the same texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest  # type: ignore[import-untyped]

from training.metrics import ClusterBootstrap, Floats, Ints, accuracy, confusion, expected_calibration_error, interval, macro_f1


@dataclass(frozen=True, slots=True)
class Bounds:
    """What "not worse" means.

    `significance` is of McNemar's one-sided test that fewer texts are right; `macro_f1` is the most that the lower end of the
    paired 95 % interval may lie below zero; `ece` and `flips` are what may be added to the serving model's; `latency` is the
    largest ratio of the medians.
    """

    significance: float = 0.05
    macro_f1: float = 0.02
    ece: float = 0.01
    flips: float = 0.01
    latency: float = 1.2


@dataclass(frozen=True, slots=True)
class Measured:
    """One model on the texts: probabilities [n, 3], those of each disturbance of the texts, and seconds of each round."""

    probabilities: Floats
    disturbed: Mapping[str, Floats]
    seconds: Sequence[float]
    held: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    """Of each capability of CheckList whether each case held [cases]; nothing where the suite is not at hand."""


@dataclass(frozen=True, slots=True)
class Check:
    """One gate: the serving model's figure, the candidate's, and what was asked of it."""

    name: str
    ok: bool
    serving: float
    candidate: float
    asked: str


def judge(true: Ints, groups: Sequence[str], serving: Measured, candidate: Measured, bounds: Bounds) -> list[Check]:
    """Return every gate for label indices `true` [n], whose texts belong together by `groups` [n]."""
    return [
        _accuracy(true, serving, candidate, bounds),
        _macro_f1(true, groups, serving, candidate, bounds),
        _calibration(true, serving, candidate, bounds),
        *_behaviour(serving, candidate, bounds),
        _latency(serving, candidate, bounds),
    ]


def mcnemar(was_right: NDArray[np.bool_], is_right: NDArray[np.bool_]) -> float:
    """Return the probability of losing so many texts or more if losing and winning one were equally likely.

    Exact and one-sided, over the texts that one of the two alone gets right. McNemar, Psychometrika 12, 1947.
    """
    lost, won = int((was_right & ~is_right).sum()), int((~was_right & is_right).sum())
    return float(binomtest(lost, lost + won, 0.5, alternative="greater").pvalue) if lost + won else 1.0


def _accuracy(true: Ints, serving: Measured, candidate: Measured, bounds: Bounds) -> Check:
    was, now = _labels(serving.probabilities), _labels(candidate.probabilities)
    p = mcnemar(was == true, now == true)
    asked = f"no significant loss: McNemar p {p:.3f}, at least {bounds.significance:g}"
    right = [accuracy(confusion(true, labels)) for labels in (was, now)]
    return Check("accuracy", p >= bounds.significance, right[0], right[1], asked)


def _macro_f1(true: Ints, groups: Sequence[str], serving: Measured, candidate: Measured, bounds: Bounds) -> Check:
    bootstrap = ClusterBootstrap(groups)
    said = [_labels(measured.probabilities) for measured in (serving, candidate)]
    was, now = (macro_f1(bootstrap.matrices(true, labels)) for labels in said)
    found = interval(now - was)
    asked = f"difference in [{found.low:+.4f}, {found.high:+.4f}], from {-bounds.macro_f1:+.4f} on"
    figures = [float(macro_f1(confusion(true, labels))) for labels in said]
    return Check("macro-F1", found.low >= -bounds.macro_f1, figures[0], figures[1], asked)


def _calibration(true: Ints, serving: Measured, candidate: Measured, bounds: Bounds) -> Check:
    was, now = (expected_calibration_error(measured.probabilities, true) for measured in (serving, candidate))
    most = was + bounds.ece
    return Check("calibration error", now <= most, was, now, f"at most {most:.4f}")


def _behaviour(serving: Measured, candidate: Measured, bounds: Bounds) -> list[Check]:
    checks = []
    for name in sorted(serving.disturbed.keys() & candidate.disturbed.keys()):
        was, now = (_flips(measured.probabilities, measured.disturbed[name]) for measured in (serving, candidate))
        most = was + bounds.flips
        checks.append(Check(f"labels moved by {name}", now <= most, was, now, f"at most {most:.4f}"))
    return [*checks, *_capabilities(serving, candidate, bounds)]


def _capabilities(serving: Measured, candidate: Measured, bounds: Bounds) -> list[Check]:
    """The same cases were put to both, so they are paired; several tests share one significance (Bonferroni)."""
    both = sorted(serving.held.keys() & candidate.held.keys())
    level = bounds.significance / max(1, len(both))
    checks = []
    for name in both:
        was, now = serving.held[name], candidate.held[name]
        p = mcnemar(was, now)
        asked = f"no significant loss on {len(was)} cases: McNemar p {p:.3f}, at least {level:.3g}"
        checks.append(Check(f"CheckList failures, {name}", p >= level, float((~was).mean()), float((~now).mean()), asked))
    return checks


def _latency(serving: Measured, candidate: Measured, bounds: Bounds) -> Check:
    was, now = (float(np.median(measured.seconds)) for measured in (serving, candidate))
    asked = f"{now / was:.2f} times as long, at most {bounds.latency:g}"
    return Check("seconds a round", now <= was * bounds.latency, was, now, asked)


def _flips(before: Floats, after: Floats) -> float:
    return float((_labels(before) != _labels(after)).mean())


def _labels(probabilities: Floats) -> Ints:
    return np.asarray(probabilities.argmax(axis=1), dtype=np.int64)
