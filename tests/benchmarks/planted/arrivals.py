"""When messages come: as real tweets came, or made, with day and night and bursts. Times in milliseconds, sorted.

Real: the five-minute counts of the Numenta Anomaly Benchmark's ten Twitter series, spread within their buckets, and the minute
stamps of tweets to three airlines. Made: a Cox process, whose rate swings with the hour of the day and about it with a log-
normal noise of an hour's memory, and whose messages draw answers within two minutes; more dispersed than Poisson at every
scale.
"""

import csv
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.nab import data
from tests.benchmarks.nab.data import Series

MINUTE_MS, DAY_MS = 60_000, 86_400_000
BUCKET_MS = 5 * MINUTE_MS
A_DAY = DAY_MS // BUCKET_MS
START_MS = 1_772_323_200_000
"""A midnight in UTC; all streams begin there."""
_ANSWERS_WITHIN_MS = 2 * MINUTE_MS
_MEMORY = 12
"""Buckets of five minutes, after which the noise of the rate has fallen to a third."""
Times = NDArray[np.int64]
Rates = NDArray[np.float64]


class Arrivals(NamedTuple):
    """The times of a key's messages; how many are usual in each bucket of five minutes; spans that nobody is judged by."""

    times: Times
    usual: Rates
    unjudged: tuple[tuple[int, int], ...] = ()

    @property
    def days(self) -> float:
        """How long it is."""
        return len(self.usual) / A_DAY


class Temper(NamedTuple):
    """How bursty a made key is: the standard deviation of the log-rate, and answers that a message draws."""

    noise: float
    answers: float


CALM, BURSTY = Temper(0.3, 0.1), Temper(0.6, 0.5)


def made(rng: np.random.Generator, per_minute: float, days: int, temper: Temper) -> Arrivals:
    """Return made arrivals of that mean rate; an hour of the night has a quarter of the afternoon's."""
    hours = (np.arange(days * A_DAY) % A_DAY + 0.5) * 24 / A_DAY
    usual = per_minute * 5 * (1 + 0.6 * np.cos(2 * np.pi * (hours - 15) / 24))
    noise = np.exp(_wandering(rng, len(usual), temper.noise) - temper.noise**2 / 2)
    first = _spread(rng, rng.poisson(usual * noise / (1 + temper.answers)))
    answers = np.repeat(first, rng.poisson(temper.answers, len(first)))
    answers = answers + rng.integers(0, _ANSWERS_WITHIN_MS, len(answers))
    times = np.sort(np.concatenate([first, answers]))
    return Arrivals(times[times < START_MS + days * DAY_MS], usual)


def _wandering(rng: np.random.Generator, length: int, deviation: float) -> Rates:
    """Return a stationary first-order autoregression."""
    keep = float(np.exp(-1 / _MEMORY))
    steps = rng.normal(0.0, deviation * np.sqrt(1 - keep * keep), length)
    found, at = np.empty(length), rng.normal(0.0, deviation)
    for place, step in enumerate(steps):
        at = keep * at + step
        found[place] = at
    return found


def _spread(rng: np.random.Generator, counts: NDArray[np.int64]) -> Times:
    starts = START_MS + BUCKET_MS * np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    return np.sort(starts + rng.integers(0, BUCKET_MS, len(starts)))


def twitter(rng: np.random.Generator, series: Series, first_day: int, days: int) -> Arrivals:
    """Return a stretch of a series. Nobody is judged by what the benchmark labels: those are incidents, and not planted."""
    first, last = first_day * A_DAY, (first_day + days) * A_DAY
    counts = np.array(series.counts[first:last], dtype=np.int64)
    offset = START_MS - first * BUCKET_MS
    spans = tuple((offset + begin * BUCKET_MS, offset + (end + 1) * BUCKET_MS) for begin, end in series.windows)
    return Arrivals(_spread(rng, counts), usual_by_hour(counts.astype(np.float64)), spans)


def usual_by_hour(counts: Rates) -> Rates:
    """Return, for each bucket, the mean count of its hour of the day, the largest twentieth left out: bursts are not usual."""
    hours = np.arange(len(counts)) % A_DAY // 12
    return np.asarray(np.array([_trimmed_mean(counts[hours == hour]) for hour in range(24)])[hours])


def _trimmed_mean(counts: Rates) -> float:
    return max(float(np.mean(np.sort(counts)[: max(1, len(counts) * 19 // 20)])), 0.01)


def airline(rng: np.random.Generator, name: str) -> Arrivals:
    """Return when tweets to an airline came, 17 to 23 February 2015, spread within their minutes."""
    with (data.FOLDER.parent / "airline" / "tweets.csv").open(newline="", encoding="utf-8") as lines:
        stamps = [stamp_ms(row["tweet_created"]) for row in csv.DictReader(lines) if row["airline"] == name]
    begin = stamp_ms("2/17/2015 00:00")
    inside = np.array([stamp for stamp in stamps if 0 <= stamp - begin < 7 * DAY_MS], dtype=np.int64) - begin + START_MS
    times = np.sort(inside + rng.integers(0, MINUTE_MS, len(inside)))
    counts = np.bincount((times - START_MS) // BUCKET_MS, minlength=7 * A_DAY).astype(np.float64)
    return Arrivals(times, usual_by_hour(counts))


def stamp_ms(text: str) -> int:
    """Read a time such as `2/24/2015 11:42`, whose zone the data do not say, as UTC."""
    return int(datetime.strptime(text, "%m/%d/%Y %H:%M").replace(tzinfo=UTC).timestamp() * 1_000)
