"""What people write at first: a count, a share, a z-score. Judged every five minutes on the same streams. Pure.

- `fixed count`: so many negatives within an hour, the same number on every key;
- `fixed share`: such a share of the hour's messages negative, of ten messages or more;
- `z-score`: the negatives of the last five minutes above the mean of the day before by so many of its standard deviations.

Each is an alert as long as it holds, and for as long after as the rules' `keep_firing_for`.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.planted.arrivals import A_DAY, BUCKET_MS, START_MS
from tests.benchmarks.planted.measuring import Fired
from tests.benchmarks.planted.streams import Stream

STEPS: dict[str, tuple[float, ...]] = {
    "fixed count": (5, 10, 20, 30, 50, 100, 200, 500),
    "fixed share": (0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    "z-score": (2, 3, 4, 6, 8, 12, 16),
}
TEXTBOOK = {"fixed count": 20, "fixed share": 0.5, "z-score": 3}
"""What the tables show."""
ASKED = {"fixed count": "surge", "fixed share": "share", "z-score": "surge"}
"""The detector whose incidents each is asked for."""
_HOUR, _LEAST = 12, 10
Counts = NDArray[np.float64]


def alerts(one: Stream, keep_ms: int) -> Iterator[tuple[str, float, Fired]]:
    """Yield what each naive rule fires at each of its thresholds."""
    messages, negatives = buckets(one)
    statistics = {
        "fixed count": over(negatives, _HOUR),
        "fixed share": _share(over(negatives, _HOUR), over(messages, _HOUR)),
        "z-score": _z(negatives),
    }
    for name, statistic in statistics.items():
        for threshold in STEPS[name]:
            yield from fired(one.key, name, threshold, statistic >= threshold, keep_ms)


def fired(key: str, name: str, threshold: float, breach: NDArray[np.bool_], keep_ms: int) -> Iterator[tuple[str, float, Fired]]:
    """Yield an alert for each breach, which goes on for `keep_ms` after it."""
    for begin, end in _spans(breach, keep_ms // BUCKET_MS):
        ends = [START_MS + (at + 1) * BUCKET_MS for at in (begin, end)]
        yield name, threshold, Fired(key, name, ends[0], ends[1])


def buckets(one: Stream) -> tuple[Counts, Counts]:
    """Return, by bucket, the messages and those that the model reads as negative."""
    reads = (*one.pool.negative, *one.pool.other)
    gloomy = np.array([read.label == "negative" for read in reads])[one.texts]
    places = (one.times - START_MS) // BUCKET_MS
    length = len(one.arrivals.usual)
    return _count(places, length), _count(places[gloomy], length)


def _count(places: NDArray[np.int64], length: int) -> Counts:
    return np.bincount(places, minlength=length).astype(np.float64)


def over(counts: Counts, length: int) -> Counts:
    """Return the sum of the bucket and those before it, `length` in all."""
    sums = np.concatenate([np.zeros(length), np.cumsum(counts)])
    return np.asarray(sums[length:] - sums[:-length])


def _share(negatives: Counts, messages: Counts) -> Counts:
    return np.where(messages >= _LEAST, negatives / np.maximum(messages, 1), 0.0)


def _z(counts: Counts) -> Counts:
    """Return 0 for the first day: there is nothing to compare with."""
    mean = over(counts, A_DAY) / A_DAY
    deviation = np.sqrt(np.maximum(over(counts * counts, A_DAY) / A_DAY - mean * mean, 0.01))
    found = np.zeros(len(counts))
    found[A_DAY:] = (counts[A_DAY:] - mean[A_DAY - 1 : -1]) / deviation[A_DAY - 1 : -1]
    return found


def _spans(breach: NDArray[np.bool_], keep: int) -> Iterator[tuple[int, int]]:
    """Yield the first bucket of each alert and the one on which it ends."""
    begin = last = -1
    for at in np.flatnonzero(breach).tolist():
        if begin >= 0 and at - last > keep:
            yield begin, last + keep
            begin = -1
        begin, last = (at if begin < 0 else begin), at
    if begin >= 0:
        yield begin, last + keep
