"""The benchmark's own scoring, for detections that are already made. Pure.

A. Lavin and S. Ahmad (2015), Evaluating Real-Time Anomaly Detection Algorithms: the Numenta Anomaly Benchmark, 14th IEEE
International Conference on Machine Learning and Applications, arXiv:1510.03336, section III; the details that the paper leaves
open are those of the published code. `tests/unit/benchmarks` holds it to the scores that the benchmark publishes.
"""

from collections.abc import Collection, Iterable, Iterator
from math import exp
from typing import NamedTuple

Windows = tuple[tuple[int, int], ...]
"""First and last index of each labelled window, in order of time."""

_PROBATION_SHARE = 0.15
_PROBATION_OF_AT_MOST = 5_000
_FAR = 3.0
"""Window widths behind a window, from where on a false alarm counts in full."""


class Profile(NamedTuple):
    """What a detection in a window is worth, and what a false alarm and a missed window cost."""

    hit: float
    false_alarm: float
    miss: float


class Score(NamedTuple):
    """The score of one series, or of several added up, and what it is made of."""

    points: float
    windows: int
    hits: int
    false_alarms: int

    def plus(self, other: "Score") -> "Score":
        """Return the score of both."""
        return Score(
            self.points + other.points,
            self.windows + other.windows,
            self.hits + other.hits,
            self.false_alarms + other.false_alarms,
        )


NOTHING = Score(0.0, 0, 0, 0)


def scaled_sigmoid(position: float) -> float:
    """Return the worth of a detection: 1 at the best, -1 at the worst.

    `position` is in widths of the window: -1 at its first point, 0 just behind its last, positive behind it.
    """
    return -1.0 if position >= _FAR else 2 / (1 + exp(5 * position)) - 1


def probation(points: int) -> int:
    """Return how many points at the beginning of a series are not scored."""
    return int(_PROBATION_SHARE * min(points, _PROBATION_OF_AT_MOST))


def score(detections: Collection[int], points: int, windows: Windows, profile: Profile) -> Score:
    """Score one series of so many points from the indices at which something was detected.

    A window is worth its earliest detection, or costs a miss; each detection elsewhere is a false alarm, cheaper shortly behind
    a window. A window that ends within the probation is not asked for.
    """
    first = probation(points)
    asked = [window for window in windows if window[1] >= first]
    counted = [index for index in detections if index >= first]
    worths = [_worth(window, counted, profile) for window in asked]
    costs = list(_costs(counted, windows, profile))
    hits = sum(worth is not None for worth in worths)
    total = sum(-profile.miss if worth is None else worth for worth in worths) + sum(costs)
    return Score(total, len(asked), hits, len(costs))


def _worth(window: tuple[int, int], detections: Iterable[int], profile: Profile) -> float | None:
    first, last = window
    earliest = min((index for index in detections if first <= index <= last), default=None)
    if earliest is None:
        return None
    return profile.hit * scaled_sigmoid(-(last - earliest + 1) / (last - first + 1)) / scaled_sigmoid(-1.0)


def _costs(detections: Iterable[int], windows: Windows, profile: Profile) -> Iterator[float]:
    for index in detections:
        if any(first <= index <= last for first, last in windows):
            continue
        before = [window for window in windows if window[1] < index]
        position = (index - before[-1][1]) / (before[-1][1] - before[-1][0]) if before else _FAR
        yield profile.false_alarm * scaled_sigmoid(position)


def normalised(total: Score, profile: Profile) -> float:
    """Return a total in percent: 100 finds every window at its first point and nothing else, 0 finds nothing."""
    worst = total.windows * profile.miss
    return 100 * (total.points + worst) / (total.windows * profile.hit + worst)
