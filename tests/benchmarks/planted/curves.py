"""Recall and delay against false alarms: each detector's own statistic, held to other thresholds. Pure.

As with the rules an alert goes on for `keep_firing_for` after the last breach; that a rule resolves lower than it fires is left
out, so at the rule's own threshold the curve lies a little to the right of the table.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.planted import naive
from tests.benchmarks.planted.measuring import Figures, Fired, figures, hold
from tests.benchmarks.planted.running import KEEP, Ran, Statistics
from worker.alert.parameters import parse_duration

STEPS: Mapping[str, tuple[float, ...]] = {
    "share": (0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3),
    "surge": (-1.0, -0.5, -0.25, 0.0, 0.3, 0.6, 0.9, 1.2, 1.6, 2.0),
    "volume": (-1.0, -0.5, -0.25, 0.0, 0.3, 0.6, 0.9, 1.2, 1.6, 2.0),
    "shift": (2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0),
}
Curve = list[tuple[float, Figures]]
"""By threshold."""


def curves(ran: Sequence[Ran]) -> dict[str, Curve]:
    """Return the curve of every detector and naive rule."""
    truths = [truth for one in ran for truth in one.truths]
    found = {
        detector: [(step, figures(hold(_fired(ran, detector, step), truths, detector))) for step in steps]
        for detector, steps in STEPS.items()
    }
    for name, steps in naive.STEPS.items():
        found[name] = [(step, figures(hold(naive_alerts(ran, name, step), truths, naive.ASKED[name]))) for step in steps]
    return found


def naive_alerts(ran: Sequence[Ran], name: str, threshold: float) -> Iterator[Fired]:
    """Yield what a naive rule fired at this threshold."""
    return (fired for one in ran for rule, step, fired in one.naive if (rule, step) == (name, threshold))


def _fired(ran: Sequence[Ran], detector: str, threshold: float) -> Iterator[Fired]:
    for one in ran:
        for (key, rule), statistics in one.seen.items():
            if rule == detector:
                yield from (Fired(key, rule, at_ms, None) for at_ms in onsets(statistics, threshold, parse_duration(KEEP)))


def onsets(statistics: Statistics, threshold: float, keep_ms: int) -> NDArray[np.int64]:
    """Return when alerts begin: at each breach that comes longer than `keep_ms` after the one before."""
    breaches = np.array(statistics.at_ms, dtype=np.int64)[np.array(statistics.values) >= threshold]
    return breaches[np.diff(breaches, prepend=-keep_ms - 1) > keep_ms] if len(breaches) else breaches
