"""One trace from producer to alert: the observed ports, which begin a span as a record is taken and end it as it is done.

Spans are `process` for a record, from the poll to its commit; `create` for a record made from it, whose context goes into the
header; `send` for a transaction, linked to all that it creates; and one for a request to the model. What has many causes has
the first as its parent and is linked to the others: a request has the messages of its batch, an alert its signals, the one that
weighed most before the others.

Records that are not sampled cost a look at their headers. The roles know nothing of it.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanKind, Status, StatusCode

from worker.codec import decode_alert_event
from worker.errors import DecodeError, ModelError
from worker.messages import AlertEvent, Headers, ModelRef, Origin, OutRecord, Record, TopicPartition
from worker.ops.observed import ObservedModel, ObservedSink, ObservedSource
from worker.ops.spans import FIELDS, MESSAGING, OpenSpans, origin_by_body, propagator
from worker.ops.watch import ModelWatch, RoleWatch
from worker.ports import Model, Sink, Source, SourceStatistics, TokenBatch

log = structlog.get_logger(__name__)
_METHOD = "inference.GRPCInferenceService/ModelInfer"


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
        attributes = MESSAGING | {"messaging.operation.type": "send", "messaging.operation.name": "send"}
        with self._spans.tracer.start_as_current_span("send", Context(), SpanKind.CLIENT, attributes, links) as sending:
            sending.set_attribute("messaging.batch.message_count", len(records))
            super().commit(records, offsets, group)

    def _marked(self, record: OutRecord, created: list[Span]) -> OutRecord:
        """Return the record with the context of a span of its own, if anything that it was made from is traced."""
        event = _alert_event(record) if record.headers else None
        samples = [sample.origin for sample in event.evidence.samples] if event else []
        origin = _origin_by_headers(record.headers) if record.headers else origin_by_body(record.value)
        causes = self._spans.contexts([*samples, origin] if origin else samples)
        if not causes:
            return record
        if any(name in FIELDS for name, _ in record.headers):  # a dead letter: its headers are the producer's, untouched
            self._spans.fail(origin, "dead letter")
            return record
        parent = trace.set_span_in_context(NonRecordingSpan(causes[0]), Context())
        attributes = MESSAGING | {"messaging.operation.type": "create", "messaging.destination.name": record.topic}
        links = [Link(context) for context in causes[1:]]
        name, tracer = f"create {record.topic}", self._spans.tracer
        with tracer.start_as_current_span(name, parent, SpanKind.PRODUCER, attributes, links) as span:
            if event:
                _tell_of_alert(event, span)
            created.append(span)
            carrier: dict[str, str] = {}
            propagator.inject(carrier)
        added = tuple((name, value.encode()) for name, value in carrier.items())
        return msgspec.structs.replace(record, headers=(*record.headers, *added))


class TracedModel(ObservedModel):
    """An `ObservedModel` with a span for each request that has traced messages among its texts.

    Its parent is the first of them, it is linked to the others, and they to it. Its context goes along, so that a Triton with
    `--trace-config mode=opentelemetry` goes on in the same trace. Attributes of a remote call are those of
    https://opentelemetry.io/docs/specs/semconv/rpc/; a model in this process has an internal span.

    Args:
        server: host:port of Triton, or another target of gRPC; None for a model in this process.
    """

    def __init__(
        self, model: Model, watch: tuple[RoleWatch, ModelWatch], spans: OpenSpans, ref: ModelRef, server: str | None
    ) -> None:
        super().__init__(model, *watch)
        self._spans = spans
        self._name = _METHOD if server else f"infer {ref.name}"
        self._kind = SpanKind.CLIENT if server else SpanKind.INTERNAL
        self._attributes: dict[str, str | int] = {"tidings.model.name": ref.name, "tidings.model.version": ref.version}
        self._attributes |= _remote(server) if server else {}

    def submit(self, batch: TokenBatch) -> "Future[NDArray[np.float32]]":
        """See `Model`."""
        causes = self._spans.of(_records(batch)) if self._spans else []
        if not causes:
            return super().submit(batch)
        span = self._begin(batch, causes)
        carrier: dict[str, str] = {}
        propagator.inject(carrier, trace.set_span_in_context(span, Context()))
        future = super().submit(msgspec.structs.replace(batch, headers=carrier))
        future.add_done_callback(lambda done: _end(span, done))
        return future

    def _begin(self, batch: TokenBatch, causes: Sequence[Span]) -> Span:
        parent = trace.set_span_in_context(causes[0], Context())
        texts, bucket = batch.input_ids.shape
        attributes = {**self._attributes, "tidings.batch.texts": texts, "tidings.batch.bucket": bucket}
        links = [Link(cause.get_span_context()) for cause in causes[1:]]
        span = self._spans.tracer.start_span(self._name, parent, self._kind, attributes, links)
        for cause in causes[1:]:
            cause.add_link(span.get_span_context())
        return span


def _records(batch: TokenBatch) -> list[Record]:
    """Return the records that its texts are of; the canary's is of none."""
    return [record for row in batch.rows if (record := getattr(row.item, "record", None)) is not None]


def _remote(server: str) -> dict[str, str | int]:
    host, _, port = server.rpartition(":")
    where: dict[str, str | int] = {"server.address": server}
    if port.isdigit():
        where = {"server.address": host, "server.port": int(port)}
    return {"rpc.system.name": "grpc", "rpc.method": _METHOD, **where}


def _end(span: Span, done: "Future[NDArray[np.float32]]") -> None:
    """End the span with its request, on whatever thread that ends on."""
    error = None if done.cancelled() else done.exception()
    if error is not None:
        span.set_attribute("error.type", error.reason if isinstance(error, ModelError) else type(error).__name__)
        span.set_status(Status(StatusCode.ERROR, str(error)))
    span.end()


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


def _origin_by_headers(headers: Headers) -> Origin | None:
    """Return the place that an alert event or a dead letter names."""
    told = {name: value for name, value in headers if name.startswith("tidings.") and value}
    try:
        return Origin(told["tidings.topic"].decode(), int(told["tidings.partition"]), int(told["tidings.offset"]))
    except (KeyError, ValueError):
        return None
