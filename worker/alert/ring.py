"""The closed buckets of one key, and what they come to over the spans that a rule looks back. Pure; changes make a new value.

What a look costs does not grow with the number of buckets in a window, or hardly: see `Ring.samples`. Sums are carried along as
buckets come and go; of single messages, the worst and the evidence, only what can still matter is kept; and the buckets
themselves are packed in rows, which are copied but never walked.
"""

from bisect import insort
from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

import msgspec

from worker.alert.windows import SAMPLES_PER_BUCKET, Buckets, Tally, total, weight_of
from worker.messages import ModelRef, Sample

_row = Struct("<qIIqQ")
"""Start, messages, negatives, score and square of a bucket."""
_NONE_MS = 1 << 62
"""When the oldest bucket of a span without any starts."""


class Span(NamedTuple):
    """The index of the row of its oldest bucket and when that starts, and how its buckets add up."""

    first: int = 0
    oldest_ms: int = _NONE_MS
    messages: int = 0
    negatives: int = 0
    score: int = 0
    square: int = 0


class Peak(NamedTuple):
    """The start of a bucket and its `worst`, which none that is newer reaches."""

    start_ms: int
    worst: int


class Ring(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Closed buckets, oldest first, with the spans that end with them, the longest first.

    `samples` has, the newest bucket first, each sample that fewer than three of its own and newer buckets outweigh: any other
    will be outweighed in every window that it is yet in. That are about 3 ln(buckets), but up to three a bucket while the worst
    message of each is less bad than that of the bucket before. `model` is that of the newest bucket.
    """

    rows: bytes = b""
    spans: tuple[Span, ...] = ()
    peaks: tuple[Peak, ...] = ()
    samples: tuple[Sample, ...] = ()
    model: ModelRef | None = None


EMPTY = Ring()


def close(ring: Ring, buckets: Buckets, end_ms: int, spans_ms: Sequence[int]) -> Ring:
    """Take in `buckets`, all of them newer, and let go of what lies before the spans of these lengths that end at `end_ms`."""
    if not buckets and intact_until(ring, spans_ms) >= end_ms:
        return ring
    rows, spans = ring.rows, ring.spans or (Span(),) * len(spans_ms)
    if buckets:
        rows += b"".join([_row.pack(bucket.start_ms, *bucket.tally[:4]) for bucket in buckets])
        added, added_ms = total(buckets), buckets[0].start_ms
        spans = tuple([_grown(span, added, added_ms) for span in spans])
    spans = tuple([_slid(rows, span, end_ms - span_ms) for span, span_ms in zip(spans, spans_ms, strict=True)])
    if not spans[0].messages:
        return EMPTY
    if gone := spans[0].first:
        rows, spans = rows[gone * _row.size :], tuple([Span(first - gone, *rest) for first, *rest in spans])
    start_ms = end_ms - spans_ms[0]
    peaks, samples = _peaks(ring.peaks, buckets, start_ms), _samples(ring.samples, buckets, start_ms)
    return Ring(rows, spans, peaks, samples, buckets[-1].model if buckets else ring.model)


def tallies(ring: Ring, end_ms: int, spans_ms: Sequence[int]) -> tuple[Tally, ...]:
    """Return the figures of the spans of these lengths, for which and for whose end the ring was closed."""
    if not ring.spans:
        return (Tally(),) * len(spans_ms)
    found, peaks = list[Tally](), iter(ring.peaks)
    peak = next(peaks)  # the longest span has one
    for (_, _, messages, negatives, score, square), span_ms in zip(ring.spans, spans_ms, strict=True):
        while messages and peak.start_ms < end_ms - span_ms:
            peak = next(peaks)
        found.append(Tally(messages, negatives, score, square, peak.worst if messages else 0))
    return tuple(found)


def messages(ring: Ring) -> int:
    """Return how many messages the longest span holds."""
    return ring.spans[0].messages if ring.spans else 0


def intact_until(ring: Ring, spans_ms: Sequence[int]) -> int:
    """Return the last boundary at which all buckets are in their spans yet; if there are none, the end of time."""
    return min([span.oldest_ms + span_ms for span, span_ms in zip(ring.spans, spans_ms, strict=False)], default=_NONE_MS)


def _grown(span: Span, tally: Tally, start_ms: int) -> Span:
    """Return the span with what came at its end, from `start_ms` on."""
    first, oldest_ms, messages, negatives, score, square = span
    figures = (messages + tally.messages, negatives + tally.negatives, score + tally.score, square + tally.square)
    return Span(first, min(oldest_ms, start_ms), *figures)


def _slid(rows: bytes, span: Span, start_ms: int) -> Span:
    """Return the span without the buckets that begin before `start_ms`."""
    first, oldest_ms, messages, negatives, score, square = span
    if oldest_ms >= start_ms:
        return span
    while oldest_ms < start_ms:
        _, *gone = _row.unpack_from(rows, first * _row.size)
        messages, negatives, score, square = messages - gone[0], negatives - gone[1], score - gone[2], square - gone[3]
        first += 1
        oldest_ms = _row.unpack_from(rows, first * _row.size)[0] if first * _row.size < len(rows) else _NONE_MS
    return Span(first, oldest_ms, messages, negatives, score, square)


def _peaks(peaks: tuple[Peak, ...], buckets: Buckets, start_ms: int) -> tuple[Peak, ...]:
    for bucket in buckets:
        kept = len(peaks)
        while kept and peaks[kept - 1].worst <= bucket.tally.worst:
            kept -= 1
        peaks = (*peaks[:kept], Peak(bucket.start_ms, bucket.tally.worst))
    return peaks if peaks[0].start_ms >= start_ms else tuple([peak for peak in peaks if peak.start_ms >= start_ms])


def _samples(samples: tuple[Sample, ...], buckets: Buckets, start_ms: int) -> tuple[Sample, ...]:
    for bucket in buckets:
        if bucket.samples:
            samples = _still_telling((*bucket.samples, *samples))
    while samples and samples[-1].event_time_ms < start_ms:
        samples = samples[:-1]
    return samples


def _still_telling(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """Leave out, of samples given newest bucket first, those that as many as an event shows outweigh already."""
    kept, heaviest = list[Sample](), list[tuple[float, int, str, str, int, int]]()
    for sample in samples:
        weight = weight_of(sample)
        if len(heaviest) < SAMPLES_PER_BUCKET or weight < heaviest[-1]:
            kept.append(sample)
            insort(heaviest, weight)
            del heaviest[SAMPLES_PER_BUCKET:]
    return tuple(kept)
