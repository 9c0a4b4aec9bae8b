"""Windows of one key in event time: a sparse ring of buckets, oldest first. Pure; every change makes a new value.

A bucket of width b that starts at s counts the messages of [s, s + b); only buckets with messages exist. A window is looked at
on bucket boundaries alone, so what it holds does not depend on when or in which order its messages came.
"""

from bisect import bisect_left
from collections.abc import Iterator
from operator import attrgetter

import msgspec

from worker.messages import ModelRef, Sample, Signal

SAMPLES_PER_BUCKET = 3
"""The most negative messages that a bucket keeps as evidence."""

_start = attrgetter("start_ms")


class Bucket(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The messages of one stretch of event time. `model` is the newest by name and version among those that scored them."""

    start_ms: int
    messages: int
    negatives: int
    samples: tuple[Sample, ...]
    model: ModelRef


Buckets = tuple[Bucket, ...]


def floor_to(time_ms: int, bucket_ms: int) -> int:
    """Return the last bucket boundary at or before `time_ms`."""
    return time_ms - time_ms % bucket_ms


def add(buckets: Buckets, signal: Signal, bucket_ms: int) -> Buckets:
    """Count a signal in the bucket of its event time."""
    start_ms = floor_to(signal.event_time_ms, bucket_ms)
    at = bisect_left(buckets, start_ms, key=_start)
    if at < len(buckets) and buckets[at].start_ms == start_ms:
        return (*buckets[:at], _grown(buckets[at], signal), *buckets[at + 1 :])
    return (*buckets[:at], _grown(Bucket(start_ms, 0, 0, (), signal.model), signal), *buckets[at:])


def _grown(bucket: Bucket, signal: Signal) -> Bucket:
    negative = signal.label == "negative"
    return Bucket(
        bucket.start_ms,
        bucket.messages + 1,
        bucket.negatives + negative,
        most_negative((*bucket.samples, _sample(signal))) if negative else bucket.samples,
        max(bucket.model, signal.model, key=lambda model: (model.name, model.version)),
    )


def _sample(signal: Signal) -> Sample:
    return Sample(signal.message_id, signal.excerpt, signal.score, signal.source, signal.event_time_ms, signal.origin)


def most_negative(samples: tuple[Sample, ...]) -> tuple[Sample, ...]:
    """Return the few of lowest score, in an order that does not depend on how they came."""
    return tuple(sorted(samples, key=_weight)[:SAMPLES_PER_BUCKET])


def _weight(sample: Sample) -> tuple[float, int, str, str, int, int]:
    origin = sample.origin
    return (sample.score, sample.event_time_ms, sample.message_id, origin.topic, origin.partition, origin.offset)


def within(buckets: Buckets, start_ms: int, end_ms: int) -> Buckets:
    """Return the buckets of the window `[start_ms, end_ms)`, both of them boundaries."""
    return buckets[bisect_left(buckets, start_ms, key=_start) : bisect_left(buckets, end_ms, key=_start)]


def since(buckets: Buckets, start_ms: int) -> Buckets:
    """Forget the buckets that start before `start_ms`."""
    return buckets[bisect_left(buckets, start_ms, key=_start) :]


def count(buckets: Buckets) -> int:
    """Return how many messages the buckets hold."""
    return sum(bucket.messages for bucket in buckets)


def boundaries(buckets: Buckets, length_ms: int, bucket_ms: int, span: tuple[int, int]) -> Iterator[int]:
    """Yield the boundaries in `(span[0], span[1]]` at which to look at windows of `length_ms`, in order.

    That is every boundary whose window holds messages, and the first of each run of those whose window is empty: to look at
    an empty window again changes nothing (`lifecycle` sees to that), and a key may have been silent for months.
    """
    at = span[0] + bucket_ms
    while at <= span[1]:
        yield at
        if not within(buckets, at - length_ms, at):
            later = bisect_left(buckets, at, key=_start)
            if later == len(buckets):
                return
            at = buckets[later].start_ms
        at += bucket_ms
