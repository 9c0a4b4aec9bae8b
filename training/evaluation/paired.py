"""Which of two predictors is better on the same rows: the interval of the lead, and whether it may be chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest  # type: ignore[import-untyped]

from training import metrics
from training.evaluation.figures import macro_f1
from training.metrics import ClusterBootstrap, Interval, Ints


@dataclass(frozen=True, slots=True)
class Paired:
    """How much better `one` is than `other`: the lead in macro-F1, its interval, and McNemar's test of the errors.

    `only_one` and `only_other` count rows that only that one got right; `p_value` is how likely so uneven a count is, or a more
    uneven one, if both are equally good. The rows of a group are not independent: where groups are large, trust the interval.
    """

    lead: float
    lead_ci95: Interval
    only_one: int
    only_other: int
    p_value: float

    def not_worse(self, margin: float = 0.0) -> bool:
        """Say whether `one` is, with 97.5 % confidence, at most `margin` of macro-F1 behind `other`."""
        return self.lead_ci95.low >= -margin


def paired(true: Ints, one: Ints, other: Ints, groups: Sequence[str], seed: int = 0) -> Paired:
    """Compare two predictors by their labels' indices [rows] for rows with true indices [rows], drawn by their groups.

    Q. McNemar, "Note on the sampling error of the difference between correlated proportions", Psychometrika 12, 1947, in its
    exact form; the paired bootstrap as in Berg-Kirkpatrick et al., EMNLP 2012.
    """
    bootstrap, present = ClusterBootstrap(groups, seed=seed), np.unique(true)
    scores = [macro_f1(metrics.confusion(true, said), present) for said in (one, other)]
    drawn = [macro_f1(bootstrap.matrices(true, said), present) for said in (one, other)]
    only_one, only_other = (int(((a == true) & (b != true)).sum()) for a, b in ((one, other), (other, one)))
    return Paired(
        lead=float(scores[0] - scores[1]),
        lead_ci95=metrics.interval(drawn[0] - drawn[1]),
        only_one=only_one,
        only_other=only_other,
        p_value=mcnemar(only_one, only_other),
    )


def mcnemar(only_one: int, only_other: int) -> float:
    """Return the two-sided p-value of so many rows that only one got right against so many that only the other did."""
    trials = only_one + only_other
    return float(binomtest(only_one, trials).pvalue) if trials else 1.0
