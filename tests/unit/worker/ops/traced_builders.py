"""Both roles over the broker in memory, traced, with what they export."""

import json
from typing import Any

import msgspec
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tests.unit.worker.alert.builders import rules
from tests.unit.worker.builders import MODEL, body
from tests.unit.worker.ops.builders import watch
from tests.unit.worker.score.role_builders import DEAD, GROUP, INPUTS, PREDICTIONS, SIGNALS, Worker
from worker.alert.loading import AlertOptions, AlertPorts
from worker.alert.relay import Relay
from worker.alert.role import AlertRole
from worker.messages import Headers
from worker.ops.spans import OpenSpans
from worker.ops.traced import TracedModel, TracedSink, TracedSource
from worker.ops.watch import ModelWatch
from worker.testing.alert_store import InMemoryAlertStore
from worker.testing.broker import InMemoryBroker, InMemoryHistory, InMemorySink, InMemorySource
from worker.testing.model import FakeModel

ALERTS = "sentiment.alerts"
SERVER = "triton.sentiment:8001"
RULE = "rules:\n  - {name: outrage, detector: {type: single, threshold: 0.9}}\n"


class Bench:
    """Both roles, traced, with what they export."""

    def __init__(self, share: float = 0.0) -> None:
        self.exporter, provider = InMemorySpanExporter(), TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer: Tracer = provider.get_tracer("test")
        self.share = share
        self.model = FakeModel(lambda _: [9.0, 0.0, 0.0])
        self.broker = InMemoryBroker({**INPUTS, PREDICTIONS: 1, SIGNALS: 1, DEAD: 1, ALERTS: 1})

    def send(self, text: str = "Acme fell apart", headers: Headers | None = None) -> None:
        """Produce a message as a traced producer does, or with these headers."""
        carrier: dict[str, str] = {}
        with self.tracer.start_as_current_span("create chat", kind=SpanKind.PRODUCER):
            TraceContextTextMapPropagator().inject(carrier)
        told = tuple((name, value.encode()) for name, value in carrier.items())
        value = body(text, id="m1", published_at=1_700_000_000_000)
        self.broker.send("chat", value if text else b"no JSON", headers=told if headers is None else headers)

    def score(self, sink: InMemorySink | None = None) -> Worker:
        """A score role that finds everything negative."""
        spans = OpenSpans(self.tracer, GROUP, self.share, lambda: 0.5)
        worker = Worker(self.broker, self.model, TracedSink(sink or InMemorySink(self.broker), watch(), spans))
        worker.role._inference.succeed(TracedModel(worker.model, (watch(), ModelWatch()), spans, MODEL, SERVER))
        source = TracedSource(worker.source, watch(), lambda: None, spans)
        worker.role._ports = msgspec.structs.replace(worker.role._ports, source=source)
        worker.role.start()
        return worker

    def alert(self) -> AlertRole:
        """An alert role that alerts on every severe message."""
        spans, store = OpenSpans(self.tracer, "alert", 0.0), InMemoryAlertStore()
        source = TracedSource(InMemorySource(self.broker, "alert"), watch("alert"), lambda: None, spans)
        sink = TracedSink(InMemorySink(self.broker), watch("alert"), spans)
        options = AlertOptions(allowed_lateness_ms=0, wall_clock=lambda: 1_700_000_001.0)
        return AlertRole(AlertPorts(source, store, InMemoryHistory(self.broker)), Relay(sink, store), rules(RULE), options)

    def work(self) -> None:
        """Let everything through."""
        self.score().work_off(self.broker)
        self.broker.send(SIGNALS, self._later())
        self.alert().run_until_idle()

    def _later(self) -> bytes:
        """A signal of a minute later: the watermark moves by what comes."""
        told = json.loads(self.broker.records(SIGNALS)[0].value or b"")
        return json.dumps(
            {**told, "event_time_ms": told["event_time_ms"] + 60_000, "negative": 0.0, "label": "positive"}
        ).encode()

    def spans(self) -> dict[str, ReadableSpan]:
        """What was exported, by name; of the last of a name."""
        return {span.name: span for span in self.exporter.get_finished_spans()}


def parent(span: ReadableSpan) -> int:
    """The parent's id."""
    assert span.parent is not None
    return span.parent.span_id


def own(span: ReadableSpan) -> Any:
    """The span's own context."""
    assert span.context is not None
    return span.context
