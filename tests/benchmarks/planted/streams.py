"""The signals of many keys, as they would stand on a partition of `sentiment.signals`; incidents are in them."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.planted.arrivals import BUCKET_MS, DAY_MS, START_MS, Arrivals, Times
from tests.benchmarks.planted.planting import Key, Planted, plant
from tests.benchmarks.planted.texts import Pool
from worker.messages import ModelRef, Origin, Signal

_MODEL, _ORIGIN = ModelRef("sentiment", "1"), Origin("chat", 0, 0)


class Stream(NamedTuple):
    """One key's messages: when, and which of `pool`'s texts, the negative ones first; and the incidents among them."""

    key: str
    arrivals: Arrivals
    pool: Pool
    times: Times
    texts: NDArray[np.int64]
    incidents: tuple[Planted, ...]


def stream(rng: np.random.Generator, key: Key, arrivals: Arrivals, pool: Pool) -> Stream:
    """Plant incidents into arrivals, and give every message a text."""
    incidents = tuple(plant(rng, key))
    added = [_added(rng, key, incident) for incident in incidents]
    times = np.sort(np.concatenate([arrivals.times, *added]))
    shares = np.full(len(times), key.peace)
    for incident in incidents:
        begin, end = np.searchsorted(times, [incident.start_ms, incident.end_ms])
        shares[begin:end] = incident.share
    negative = rng.random(len(times)) < shares
    texts = rng.integers(0, len(pool.other), len(times)) + len(pool.negative)
    texts[negative] = rng.integers(0, len(pool.negative), int(negative.sum()))
    return Stream(key.name, arrivals, pool, times, texts, incidents)


def _added(rng: np.random.Generator, key: Key, incident: Planted) -> Times:
    """Return the times of what an incident adds: a Poisson process that follows the usual rate, thinned on its ramp."""
    first, last = (incident.start_ms - START_MS) // BUCKET_MS, (incident.end_ms - START_MS - 1) // BUCKET_MS
    counts = rng.poisson(key.usual[first : last + 1] * (incident.strength.multiple - 1))
    starts = START_MS + BUCKET_MS * np.repeat(np.arange(first, last + 1, dtype=np.int64), counts)
    times = starts + rng.integers(0, BUCKET_MS, len(starts))
    ramp_ms = (incident.end_ms - incident.start_ms) / 4 if incident.ramped else 1.0
    kept = rng.random(len(times)) < (times - incident.start_ms) / ramp_ms
    return np.asarray(times[kept & (times >= incident.start_ms) & (times < incident.end_ms)])


def signals(streams: Sequence[Stream]) -> Iterator[list[Signal]]:
    """Yield the signals of all streams in order of time, an hour at a time: a day of a busy key would fill the memory."""
    until_ms = START_MS + round(max(one.arrivals.days for one in streams) * DAY_MS)
    reads = [(*one.pool.negative, *one.pool.other) for one in streams]
    for start_ms in range(START_MS, until_ms, DAY_MS // 24):
        slices = [_slice(one, start_ms, start_ms + DAY_MS // 24) for one in streams]
        rows = [
            (at_ms, place, text)
            for place, (times, texts) in enumerate(slices)
            for at_ms, text in zip(times.tolist(), texts.tolist(), strict=True)
        ]
        rows.sort()
        yield [
            Signal(
                alert_key=streams[place].key,
                message_id="planted",
                label=reads[place][text].label,
                negative=reads[place][text].negative,
                score=reads[place][text].score,
                kind="chat",
                source=None,
                event_time_ms=at_ms,
                duplicate_of=None,
                excerpt="",
                model=_MODEL,
                origin=_ORIGIN,
            )
            for at_ms, place, text in rows
        ]


def _slice(one: Stream, start_ms: int, end_ms: int) -> tuple[Times, NDArray[np.int64]]:
    begin, end = np.searchsorted(one.times, [start_ms, end_ms])
    return one.times[begin:end], one.texts[begin:end]
