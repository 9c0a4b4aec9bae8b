"""Windows of one key in event time: a sparse ring of buckets, oldest first. Pure; every change makes a new value.

A bucket of width b that starts at s counts the messages of [s, s + b); only buckets with messages exist. A window is looked at
on bucket boundaries alone, so what it holds does not depend on when or in which order its messages came.
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


def spans(window: Buckets, end_ms: int, spans_ms: Sequence[int]) -> tuple[Tally, ...]:
    """Return the figures of the last `spans_ms` before `end_ms`, the longest first; each bucket is added up once."""
    found, tally, upto = list[Tally](), Tally(), len(window)
    for span_ms in reversed(spans_ms):
        first = bisect_left(window, end_ms - span_ms, key=_start)
        tally, upto = total(window[first:upto]) + tally, first
        found.append(tally)
    return tuple(reversed(found))


def hold(buckets: Buckets, messages: int) -> bool:
    """Tell whether the buckets hold so many messages."""
    for bucket in reversed(buckets):
        messages -= bucket.tally[0]
        if messages <= 0:
            return True
    return messages <= 0


def last_seen(buckets: Buckets, seen_ms: int, at_ms: int, bucket_ms: int) -> int:
    """Return the end of the last bucket with messages before the boundary `at_ms`; of those before these it was `seen_ms`."""
    index = bisect_left(buckets, at_ms, key=_start)
    return max(seen_ms, buckets[index - 1].start_ms + bucket_ms) if index else seen_ms


class Looks(NamedTuple):
    """When to look: at every boundary up to `until_ms`, until a key was silent for `patience_ms`; 0: where messages are."""

    bucket_ms: int
    patience_ms: int
    until_ms: int


def next_look(buckets: Buckets, seen_ms: int, at_ms: int, looks: Looks) -> int | None:
    """Return the boundary after `at_ms` at which to look next, None if there is none by then.

    `seen_ms`: see `last_seen`. After `patience_ms` without a message nothing is left to change: to look again would change
    nothing (`lifecycle` and `detectors` see to that), so the rest of the silence, which may last months, is passed over.
    """
    index = bisect_left(buckets, at_ms, key=_start)
    if at_ms - last_seen(buckets, seen_ms, at_ms, looks.bucket_ms) >= looks.patience_ms:
        if index == len(buckets):
            return None
        at_ms = buckets[index].start_ms
    at_ms += looks.bucket_ms
    return at_ms if at_ms <= looks.until_ms else None
