"""The interval of a share that was counted."""

from __future__ import annotations

import math

from training.metrics import Interval

Z95 = 1.959964
"""The normal quantile of a two-sided interval of 95 %."""


def wilson(hits: int, trials: int, z: float = Z95) -> Interval:
    """Return the score interval of a share, [0, 1] where nothing was tried.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927.
    """
    if trials == 0:
        return Interval(0.0, 1.0)
    share, square = hits / trials, z * z / trials
    middle = (share + square / 2) / (1 + square)
    half = z / (1 + square) * math.sqrt(share * (1 - share) / trials + square / (4 * trials))
    return Interval(max(0.0, middle - half), min(1.0, middle + half))
