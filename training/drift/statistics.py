"""Two samples of one feature, and how far they are apart: the population stability index, and Kolmogorov and Smirnov's test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp  # type: ignore[import-untyped]

Numbers = NDArray[np.float64]
_BINS = 10
_SMOOTHING = 0.5


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on a feature has drifted.

    0.2 is where a population stability index is by custom called a shift. A test on thousands of rows finds every trifle, so
    Kolmogorov and Smirnov's distance counts from `ks` on, and where its p is below `significance`.
    """

    psi: float = 0.2
    ks: float = 0.15
    significance: float = 0.001


@dataclass(frozen=True, slots=True)
class Drift:
    """One feature: its index, and, where it is a number, the distance and its p; the rows on either side, and the verdict.

    `told` says in a few words what it was and what it is.
    """

    feature: str
    psi: float
    ks: float | None
    p: float | None
    reference: int
    live: int
    drifted: bool
    told: str


def psi(reference: Numbers, live: Numbers) -> float:
    """Return the population stability index of two vectors of shares: the sum of (live - reference) * log(live / reference).

    Siddiqi, "Credit Risk Scorecards", Wiley 2006; it is the symmetric divergence of Kullback and Leibler.
    """
    return float(((live - reference) * np.log(live / reference)).sum())


def of_numbers(feature: str, reference: Sequence[float], live: Sequence[float], limits: Limits) -> Drift:
    """Compare two samples of a number, over tenths of the reference for the index."""
    was, now = np.asarray(reference, dtype=np.float64), np.asarray(live, dtype=np.float64)
    edges = np.unique(np.quantile(was, np.linspace(0, 1, _BINS + 1)[1:-1]))
    index = psi(*(_shares(np.bincount(np.searchsorted(edges, part, "right"), minlength=len(edges) + 1)) for part in (was, now)))
    tested = ks_2samp(was, now, method="asymp")
    distance, p = float(tested.statistic), float(tested.pvalue)
    drifted = index >= limits.psi or (distance >= limits.ks and p < limits.significance)
    told = f"median {np.median(was):.3g}, now {np.median(now):.3g}"
    return Drift(feature, index, distance, p, len(was), len(now), drifted, told)


def of_names(feature: str, reference: Sequence[str], live: Sequence[str], limits: Limits) -> Drift:
    """Compare two samples of a name, such as a label or a language; names that are rare in both go together."""
    was, now = Counter(reference), Counter(live)
    common = sorted(name for name in was.keys() | now.keys() if max(was[name] / len(reference), now[name] / len(live)) >= 0.01)
    counts = [[part[name] for name in common] for part in (was, now)]
    rest = [len(reference) - sum(counts[0]), len(live) - sum(counts[1])]
    shares = [_shares(np.array([*part, other])) for part, other in zip(counts, rest, strict=True)]
    index = psi(*shares)
    told = ", ".join(f"{name} {old:.0%} → {new:.0%}" for name, old, new in _moved(common, *shares))
    return Drift(feature, index, None, None, len(reference), len(live), index >= limits.psi, told)


def _moved(names: Sequence[str], was: Numbers, now: Numbers) -> list[tuple[str, float, float]]:
    """The three names whose shares moved most."""
    order = np.argsort(-np.abs(now[: len(names)] - was[: len(names)]), kind="stable")[:3]
    return [(names[index], float(was[index]), float(now[index])) for index in order]


def _shares(counts: NDArray[np.int64]) -> Numbers:
    """Shares of counts, none of them 0: half a row is added to each."""
    smoothed = counts + _SMOOTHING
    return np.asarray(smoothed / smoothed.sum(), dtype=np.float64)
