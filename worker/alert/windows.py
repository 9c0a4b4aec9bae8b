"""Windows of one key in event time: sparse buckets, oldest first. Pure; every change makes a new value.

A bucket of width b that starts at s counts the messages of [s, s + b); only buckets with messages exist. A window is looked at
on bucket boundaries alone, so what it holds does not depend on when or in which order its messages came. Once the watermark has
passed its end a bucket is closed, and goes into the `ring`.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

import msgspec

from worker.messages import ModelRef, Sample, Signal

SAMPLES_PER_BUCKET = 3
"""The most negative messages that a bucket keeps as evidence."""

_start = attrgetter("start_ms")


class Tally(NamedTuple):
    """Figures of some messages. Sums are of whole numbers, so that they do not depend on the order of the messages.

    `score` adds up their scores and `square` the squares of those, in thousandths and millionths; `worst` is the largest
    probability of `negative` among them, in millionths.
    """

    messages: int = 0
    negatives: int = 0
    score: int = 0
    square: int = 0
    worst: int = 0

    def __add__(self, other: "Tally") -> "Tally":  # type: ignore[override]
        """Return the figures of both."""
        return Tally(
            self.messages + other.messages,
            self.negatives + other.negatives,
            self.score + other.score,
            self.square + other.square,
            max(self.worst, other.worst),
        )


class Bucket(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The messages of one stretch of event time. `model` is the newest by name and version among those that scored them."""

    start_ms: int
    tally: Tally
    samples: tuple[Sample, ...]
    model: ModelRef


Buckets = tuple[Bucket, ...]


def floor_to(time_ms: int, bucket_ms: int) -> int:
    """Return the last bucket boundary at or before `time_ms`."""
    return time_ms - time_ms % bucket_ms


def add(buckets: Buckets, signal: Signal, bucket_ms: int) -> Buckets:
    """Count a signal in the bucket of its event time."""
    start_ms = floor_to(signal.event_time_ms, bucket_ms)
    if buckets and buckets[-1].start_ms == start_ms:  # nearly always
        return (*buckets[:-1], _grown(buckets[-1], signal))
    at = bisect_left(buckets, start_ms, key=_start)
    if at < len(buckets) and buckets[at].start_ms == start_ms:
        return (*buckets[:at], _grown(buckets[at], signal), *buckets[at + 1 :])
    return (*buckets[:at], _grown(Bucket(start_ms, Tally(), (), signal.model), signal), *buckets[at:])


def add_all(buckets: Buckets, signals: Sequence[Signal], bucket_ms: int) -> Buckets:
    """Count many signals, each in the bucket of its event time: the same as to add them one after the other, and quicker."""
    grown, by_start = {bucket.start_ms: bucket for bucket in buckets}, defaultdict[int, list[Signal]](list)
    for signal in signals:
        by_start[floor_to(signal.event_time_ms, bucket_ms)].append(signal)
    for start_ms, some in by_start.items():
        grown[start_ms] = _grown_by_all(grown.get(start_ms) or Bucket(start_ms, Tally(), (), some[0].model), some)
    return tuple(grown[start_ms] for start_ms in sorted(grown))


def _grown_by_all(bucket: Bucket, signals: Sequence[Signal]) -> Bucket:
    gloomy = [signal for signal in signals if signal.label == "negative"]
    scores = [round(signal.score * 1_000) for signal in signals]
    worst = round(max(signal.negative for signal in signals) * 1_000_000)
    tally = Tally(len(signals), len(gloomy), sum(scores), sum(score * score for score in scores), worst)
    models = {bucket.model, *[signal.model for signal in signals]}
    return Bucket(
        bucket.start_ms,
        bucket.tally + tally,
        most_negative((*bucket.samples, *map(_sample, gloomy))) if gloomy else bucket.samples,
        max(models, key=lambda model: (model.name, model.version)),
    )


def _grown(bucket: Bucket, signal: Signal) -> Bucket:
    start_ms, (messages, negatives, score, square, worst) = bucket.start_ms, bucket.tally
    samples, model, is_negative = bucket.samples, bucket.model, signal.label == "negative"
    added = round(signal.score * 1_000)
    figures = (messages + 1, negatives + is_negative, score + added, square + added * added)
    if is_negative and not (len(samples) == SAMPLES_PER_BUCKET and signal.score > samples[-1].score):
        samples = most_negative((*samples, _sample(signal)))
    if model != signal.model:
        model = max(model, signal.model, key=lambda model: (model.name, model.version))
    return Bucket(start_ms, Tally(*figures, max(worst, round(signal.negative * 1_000_000))), samples, model)


def _sample(signal: Signal) -> Sample:
    return Sample(
        signal.message_id,
        signal.excerpt,
        signal.score,
        signal.source,
        signal.event_time_ms,
        signal.origin,
        signal.similarity,
    )


def most_negative(samples: tuple[Sample, ...]) -> tuple[Sample, ...]:
    """Return the few of lowest score, in an order that does not depend on how they came."""
    return tuple(sorted(samples, key=weight_of)[:SAMPLES_PER_BUCKET])


def weight_of(sample: Sample) -> tuple[float, int, str, str, int, int]:
    """Return what samples are ordered by, the most negative first, of equal ones the newest."""
    origin = sample.origin
    return (sample.score, -sample.event_time_ms, sample.message_id, origin.topic, origin.partition, origin.offset)


def split(buckets: Buckets, at_ms: int) -> tuple[Buckets, Buckets]:
    """Return the buckets before the boundary `at_ms`, and those from it on."""
    index = bisect_left(buckets, at_ms, key=_start)
    return buckets[:index], buckets[index:]


def total(buckets: Buckets) -> Tally:
    """Return the figures of all messages in the buckets."""
    messages = negatives = score = square = worst = 0
    for bucket in buckets:
        tally = bucket.tally
        messages += tally[0]
        negatives += tally[1]
        score += tally[2]
        square += tally[3]
        worst = max(worst, tally[4])
    return Tally(messages, negatives, score, square, worst)
