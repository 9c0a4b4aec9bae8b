"""Counts as keys have them: bursty, with a time of day; the same for the same seed."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from worker.alert.detectors.baseline import BaselineParameters, CountBaseline, CountReading, step

BUCKET_MS = 300_000
A_DAY = 288
DAY_MS = A_DAY * BUCKET_MS


def bursty(mean: float, days: int, *, burst: float = 0.3, swing: float = 0.0, seed: int = 1) -> list[int]:
    """Negative binomial counts: variance m + burst * m^2 about a mean m that swings by the hour, most at 18:00 UTC."""
    hours = np.arange(days * A_DAY) * 24 / A_DAY
    means = mean * (1 + swing * np.sin((hours - 12) * np.pi / 12))
    rng = np.random.default_rng(seed)
    return [int(count) for count in rng.negative_binomial(1 / burst, 1 / (1 + burst * means))]


def with_burst(counts: Sequence[int], at: int, length: int, times: float) -> list[int]:
    """The same counts, but `times` as many in `length` buckets from index `at` on, and at least `times`."""
    inside = range(at, at + length)
    return [round(times * max(count, 1)) if index in inside else count for index, count in enumerate(counts)]


def fold(
    counts: Iterable[int], state: CountBaseline | None = None, parameters: BaselineParameters | None = None, start_ms: int = 0
) -> Iterator[tuple[CountBaseline, CountReading]]:
    """Yield what each bucket does to the baseline; the first of them starts at `start_ms`."""
    state, parameters = state or CountBaseline(), parameters or BaselineParameters()
    for index, count in enumerate(counts):
        state, reading = step(parameters, state, start_ms + index * parameters.bucket_ms, count)
        yield state, reading


def after(counts: Iterable[int], parameters: BaselineParameters | None = None) -> CountBaseline:
    """The baseline when all of these have come."""
    *_, (state, _) = fold(counts, parameters=parameters)
    return state
