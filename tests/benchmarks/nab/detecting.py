"""Runs the detector over a series as production does: one bucket after the other, an alert with a life cycle."""

from collections.abc import Iterator
from typing import NamedTuple

from tests.benchmarks.nab.data import Series
from worker.alert.detectors.baseline import CountBaseline
from worker.alert.detectors.counts import VolumeParameters, VolumeReading, judge
from worker.alert.lifecycle import OK, Timing, advance

_HOUR_MS = 3_600_000


class Choice(NamedTuple):
    """What a rule of this detector would say: the same for every series."""

    volume: VolumeParameters = VolumeParameters()
    keep_firing_ms: int = 6 * _HOUR_MS


class Look(NamedTuple):
    """What was made of one bucket, and whether an alert fired on it."""

    reading: VolumeReading
    fires: bool


def look(series: Series, choice: Choice) -> Iterator[Look]:
    """Yield what becomes of each bucket, in order, from a cold start."""
    past, life = CountBaseline(), OK
    timing = Timing(0, choice.keep_firing_ms)
    for start_ms, count in zip(series.starts_ms, series.counts, strict=True):
        past, reading = judge(choice.volume, past, start_ms, count)
        after = advance(life, reading.verdict, start_ms + choice.volume.baseline.bucket_ms, timing).life
        yield Look(reading, after.status == "firing" and life.status != "firing")
        life = after


def detect(series: Series, choice: Choice) -> list[int]:
    """Return the buckets on which an alert fired: the benchmark's detections."""
    return [index for index, found in enumerate(look(series, choice)) if found.fires]
