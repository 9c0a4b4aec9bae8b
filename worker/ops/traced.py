"""One trace from producer to alert: the observed ports, which begin a span as a record is taken and end it as it is done.

Context is in the Kafka headers `traceparent` and `tracestate` (https://www.w3.org/TR/trace-context/). Spans are as in
https://opentelemetry.io/docs/specs/semconv/messaging/: `process` for a record, from the poll to its commit; `create` for a
record made from it, whose context goes into the header; `send` for a transaction, linked to all that it creates. An alert has
many causes: its parent is the signal that weighed most of those traced, and it is linked to the others.

Records that are not sampled cost a look at their headers. The roles know nothing of it.
"""

import random
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from worker.codec import decode_alert_event
from worker.errors import DecodeError
from worker.messages import AlertEvent, Headers, Origin, OutRecord, Record, TopicPartition
from worker.ops.observed import ObservedSink, ObservedSource
from worker.ops.watch import RoleWatch
from worker.ports import Sink, Source, SourceStatistics

log = structlog.get_logger(__name__)
MAX_OPEN = 10_000
"""Records traced at one time; further ones are not, so that memory stays bounded."""
MAX_KNOWN = 10_000
"""Signals remembered after they are done, for alerts that have them among their evidence."""
_FIELDS = ("traceparent", "tracestate")
_MESSAGING = {"messaging.system": "kafka"}
_propagator = TraceContextTextMapPropagator()


class _HasOrigin(msgspec.Struct):
    origin: Origin


_origin_decoder = msgspec.json.Decoder(_HasOrigin)


class OpenSpans:
    """The spans of the records that a role has in hand, by partition and offset.

    Of records without a context `share` get a trace of their own; the others follow their producer's decision. Records come on
    the role's thread and go on that of the commit: a lock keeps the two apart.
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
        attributes = _MESSAGING | {
            "messaging.operation.type": "process",
            "messaging.operation.name": "process",
            "messaging.destination.name": record.topic,
            "messaging.destination.partition.id": str(record.partition),
            "messaging.consumer.group.name": self._group,
        }
        span = self.tracer.start_span(f"process {record.topic}", context, SpanKind.CONSUMER, attributes)
        span.set_attribute("messaging.kafka.offset", record.offset)
        with self._lock:
            self._open.setdefault(record.topic_partition, {})[record.offset] = span
            self._count += 1
            if origin := _origin_by_body(record.value):
                self._remember(origin, span.get_span_context())

    def contexts(self, origins: Iterable[Origin]) -> list[SpanContext]:
        """Return the contexts of what is at these places, or was made from it, as far as it is traced; each once."""
        with self._lock:
            found = [context for origin in origins if (context := self._context(origin))]
        return list({context.span_id: context for context in found}.values()) if found else found

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


class TracedSource(ObservedSource):
    """An `ObservedSource` that begins spans."""

    def __init__(
        self, source: Source, watch: RoleWatch, statistics: Callable[[], SourceStatistics | None], spans: OpenSpans
    ) -> None:
        super().__init__(source, watch, statistics)
        self._spans = spans

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """See `Source`."""
        records = super().poll(max_records, timeout_s)
        for record in records:
            self._spans.begin(record)
        return records

    def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        """See `Source`."""
        super().seek(offsets)
        self._spans.drop(offsets, "read again from an earlier offset")

    def rewind(self, partitions: Sequence[TopicPartition]) -> None:
        """See `Source`."""
        super().rewind(partitions)
        self._spans.drop(partitions, "read again from the committed offset")

    def went(self, partitions: Sequence[TopicPartition]) -> None:
        """See `ObservedSource`."""
        super().went(partitions)
        self._spans.drop(partitions, "the partition went to another worker")


class TracedSink(ObservedSink):
    """An `ObservedSink` that ends spans, and hands their context on."""

    def __init__(self, sink: Sink, watch: RoleWatch, spans: OpenSpans) -> None:
        super().__init__(sink, watch)
        self._spans = spans

    def commit(self, records: Sequence[OutRecord], offsets: Mapping[TopicPartition, int], group: object) -> None:
        """See `Sink`."""
        if not self._spans:
            super().commit(records, offsets, group)
            return
        created: list[Span] = []
        marked = [self._marked(record, created) for record in records]
        if created:
            self._send(marked, offsets, group, created)
        else:
            super().commit(marked, offsets, group)
        self._spans.done(offsets)

    def _send(
        self, records: Sequence[OutRecord], offsets: Mapping[TopicPartition, int], group: object, created: Sequence[Span]
    ) -> None:
        """Commit within a span; a log line written meanwhile bears its ids, and an error marks it."""
        links = [Link(span.get_span_context()) for span in created]
        attributes = _MESSAGING | {"messaging.operation.type": "send", "messaging.operation.name": "send"}
        with self._spans.tracer.start_as_current_span("send", Context(), SpanKind.CLIENT, attributes, links) as sending:
            sending.set_attribute("messaging.batch.message_count", len(records))
            super().commit(records, offsets, group)

    def _marked(self, record: OutRecord, created: list[Span]) -> OutRecord:
        """Return the record with the context of a span of its own, if anything that it was made from is traced."""
        event = _alert_event(record) if record.headers else None
        samples = [sample.origin for sample in event.evidence.samples] if event else []
        origin = _origin_by_headers(record.headers) if record.headers else _origin_by_body(record.value)
        causes = self._spans.contexts([*samples, origin] if origin else samples)
        if not causes:
            return record
        if any(name in _FIELDS for name, _ in record.headers):  # a dead letter: its headers are the producer's, untouched
            self._spans.fail(origin, "dead letter")
            return record
        parent = trace.set_span_in_context(NonRecordingSpan(causes[0]), Context())
        attributes = _MESSAGING | {"messaging.operation.type": "create", "messaging.destination.name": record.topic}
        links = [Link(context) for context in causes[1:]]
        name, tracer = f"create {record.topic}", self._spans.tracer
        with tracer.start_as_current_span(name, parent, SpanKind.PRODUCER, attributes, links) as span:
            if event:
                _tell_of_alert(event, span)
            created.append(span)
            carrier: dict[str, str] = {}
            _propagator.inject(carrier)
        added = tuple((name, value.encode()) for name, value in carrier.items())
        return msgspec.structs.replace(record, headers=(*record.headers, *added))


def _alert_event(record: OutRecord) -> AlertEvent | None:
    """Return the alert event that a record holds, if it holds one."""
    if not any(name == "tidings.sequence" for name, _ in record.headers):
        return None
    try:
        return decode_alert_event(record.value or b"")
    except DecodeError:
        return None


def _tell_of_alert(event: AlertEvent, span: Span) -> None:
    """Name the alert on the span and in the log, where the line bears the span's ids."""
    span.set_attributes(
        {"tidings.alert.id": event.alert_id, "tidings.alert.rule": event.rule, "tidings.alert.state": event.state}
    )
    log.info("alert event", alert_id=event.alert_id, rule=event.rule, alert_key=event.alert_key, state=event.state)


def _context(headers: Headers) -> Context | None:
    """Return what the headers say of a trace; None where they say nothing."""
    carrier = {name: value.decode("ascii", "replace") for name, value in headers if name in _FIELDS and value}
    return _propagator.extract(carrier, Context()) if carrier else None


def _is_sampled(context: Context) -> bool:
    told = trace.get_current_span(context).get_span_context()
    return told.is_valid and told.trace_flags.sampled


def _origin_by_headers(headers: Headers) -> Origin | None:
    """Return the place that an alert event or a dead letter names."""
    told = {name: value for name, value in headers if name.startswith("tidings.") and value}
    try:
        return Origin(told["tidings.topic"].decode(), int(told["tidings.partition"]), int(told["tidings.offset"]))
    except (KeyError, ValueError):
        return None


def _origin_by_body(body: bytes | None) -> Origin | None:
    """Return the place that a prediction, signal or review names; all else of it is skipped over."""
    try:
        return _origin_decoder.decode(body or b"").origin
    except msgspec.MsgspecError:
        return None
