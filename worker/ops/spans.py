"""The spans of the records that a role has in hand: begun as a record is taken, ended as it is done.

Context is in the Kafka headers `traceparent` and `tracestate` (https://www.w3.org/TR/trace-context/). Spans are as in
https://opentelemetry.io/docs/specs/semconv/messaging/. Records that are not sampled cost a look at their headers.
"""

import random
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from worker.messages import Headers, Origin, Record, TopicPartition

MAX_OPEN = 10_000
"""Records traced at one time; further ones are not, so that memory stays bounded."""
MAX_KNOWN = 10_000
"""Signals remembered after they are done, for alerts that have them among their evidence."""
FIELDS = ("traceparent", "tracestate")
MESSAGING = {"messaging.system": "kafka"}
propagator = TraceContextTextMapPropagator()


class _HasOrigin(msgspec.Struct):
    origin: Origin


_origin_decoder = msgspec.json.Decoder(_HasOrigin)


class OpenSpans:
    """The spans of the records that a role has in hand, by partition and offset.

    Of records without a context `share` get a trace of their own; the others follow their producer's decision. Records may
    come on one thread and go on another: a lock keeps the two apart.
    """

    def __init__(self, tracer: Tracer, group: str, share: float, chance: Callable[[], float] = random.random) -> None:
        self.tracer = tracer
        self._group = group
        self._share = share
        self._chance = chance
        self._open: dict[TopicPartition, dict[int, Span]] = {}
        self._known: dict[Origin, SpanContext] = {}
        self._count = 0
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return self._count > 0 or bool(self._known)

    def begin(self, record: Record) -> None:
        """Begin the record's span, if it is sampled; one that is read again begins anew."""
        context = _context(record.headers)
        sampled = self._chance() < self._share if context is None else _is_sampled(context)
        if not sampled or self._count >= MAX_OPEN:
            return
        attributes = MESSAGING | {
            "messaging.operation.type": "process",
            "messaging.operation.name": "process",
            "messaging.destination.name": record.topic,
            "messaging.destination.partition.id": str(record.partition),
            "messaging.consumer.group.name": self._group,
        }
        span = self.tracer.start_span(f"process {record.topic}", context, SpanKind.CONSUMER, attributes)
        span.set_attribute("messaging.kafka.offset", record.offset)
        origin = origin_by_body(record.value)
        with self._lock:
            self._open.setdefault(record.topic_partition, {})[record.offset] = span
            self._count += 1
            if origin:
                self._remember(origin, span.get_span_context())

    def contexts(self, origins: Iterable[Origin]) -> list[SpanContext]:
        """Return the contexts of what is at these places, or was made from it, as far as it is traced; each once."""
        with self._lock:
            found = [context for origin in origins if (context := self._context(origin))]
        return list({context.span_id: context for context in found}.values()) if found else found

    def of(self, records: Iterable[Record]) -> list[Span]:
        """Return the spans of those of these records that are traced; asked for each batch, so without more than a look-up."""
        opened, found = self._open, []
        with self._lock:
            for record in records:
                spans = opened.get((record.topic, record.partition))  # type: ignore[call-overload]  # equal to a TopicPartition
                if spans and (span := spans.get(record.offset)):
                    found.append(span)
        return found

    def fail(self, origin: Origin | None, why: str) -> None:
        """Mark the span of the record at this place."""
        with self._lock:
            span = self._span(origin) if origin else None
        if span:
            span.set_status(Status(StatusCode.ERROR, why))

    def done(self, offsets: Mapping[TopicPartition, int]) -> None:
        """End the spans of what lies before these offsets."""
        with self._lock:
            for partition, offset in offsets.items():
                spans = self._open.get(partition, {})
                self._end(spans, [place for place in spans if place < offset])

    def drop(self, partitions: Iterable[TopicPartition], why: str) -> None:
        """End the spans of partitions whose records are not done here."""
        with self._lock:
            for partition in partitions:
                spans = self._open.pop(partition, {})
                for span in spans.values():
                    span.set_status(Status(StatusCode.ERROR, why))
                self._end(spans, list(spans))

    def _span(self, origin: Origin) -> Span | None:
        return self._open.get(TopicPartition(origin.topic, origin.partition), {}).get(origin.offset)

    def _context(self, origin: Origin) -> SpanContext | None:
        span = self._span(origin)
        return span.get_span_context() if span else self._known.get(origin)

    def _remember(self, origin: Origin, context: SpanContext) -> None:
        while len(self._known) >= MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[origin] = context

    def _end(self, spans: dict[int, Span], places: Sequence[int]) -> None:
        for place in places:
            spans.pop(place).end()
        self._count -= len(places)


def _context(headers: Headers) -> Context | None:
    """Return what the headers say of a trace; None where they say nothing."""
    carrier = {name: value.decode("ascii", "replace") for name, value in headers if name in FIELDS and value}
    return propagator.extract(carrier, Context()) if carrier else None


def _is_sampled(context: Context) -> bool:
    told = trace.get_current_span(context).get_span_context()
    return told.is_valid and told.trace_flags.sampled


def origin_by_body(body: bytes | None) -> Origin | None:
    """Return the place that a prediction, signal or review names; all else of it is skipped over."""
    try:
        return _origin_decoder.decode(body or b"").origin
    except msgspec.MsgspecError:
        return None
