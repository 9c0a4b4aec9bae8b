"""One trace from producer to alert, over the broker in memory, read from OpenTelemetry's in-memory exporter."""

import json
import sys
from collections.abc import Iterator
from itertools import pairwise

import pytest
import structlog
from opentelemetry.trace import StatusCode

from tests.unit.worker.ops.traced_builders import ALERTS, Bench, own, parent
from tests.unit.worker.score.role_builders import DEAD, GROUP, PREDICTIONS, SIGNALS
from worker.errors import SettingsError
from worker.messages import Headers, Record, TopicPartition
from worker.ops import log as logs
from worker.ops import spans as open_spans
from worker.ops import traced
from worker.ops.spans import OpenSpans
from worker.ops.tracing import exporting
from worker.settings import LogSettings
from worker.testing.broker import InMemorySink
from worker.wire import TracingSettings


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Iterator[pytest.CaptureFixture[str]]:
    """Logs as a worker writes them."""
    logs.configure(LogSettings(format="json"))
    yield capsys
    structlog.reset_defaults()


def test_one_trace_from_producer_to_alert(monkeypatch: pytest.MonkeyPatch, logged: pytest.CaptureFixture[str]) -> None:
    """Each step is the parent of the next, all in the producer's trace; the alert's record and log line bear its ids."""
    logs.configure(LogSettings(format="json"))
    monkeypatch.setattr(traced, "log", structlog.get_logger())
    bench = Bench()
    bench.send()
    bench.work()
    spans = bench.spans()
    chain = ["create chat", "process chat", f"create {SIGNALS}", f"process {SIGNALS}", f"create {ALERTS}"]
    for before, after in pairwise(chain):
        assert parent(spans[after]) == own(spans[before]).span_id
    assert {own(spans[name]).trace_id for name in chain} == {own(spans["create chat"]).trace_id}
    alert = own(spans[f"create {ALERTS}"])
    header = dict(bench.broker.records(ALERTS)[0].headers)["traceparent"]
    assert (header or b"").startswith(f"00-{alert.trace_id:032x}-{alert.span_id:016x}-0".encode())
    line = next(json.loads(line) for line in logged.readouterr().err.splitlines() if '"alert event"' in line)
    assert (line["trace_id"], line["span_id"]) == (f"{alert.trace_id:032x}", f"{alert.span_id:016x}")
    assert line["alert_id"] == (spans[f"create {ALERTS}"].attributes or {})["tidings.alert.id"]


def test_a_transaction_is_linked_to_what_it_sends() -> None:
    """One span for the batch, with the messages' as links, as OpenTelemetry has it for messaging."""
    bench = Bench()
    bench.send()
    bench.score().work_off(bench.broker)
    spans = bench.spans()
    created = {own(spans[f"create {topic}"]).span_id for topic in (PREDICTIONS, SIGNALS)}
    assert {link.context.span_id for link in spans["send"].links} == created
    assert spans["send"].parent is None
    attributes = dict(spans["process chat"].attributes or {})
    assert {attributes[f"messaging.{name}"] for name in ("system", "destination.name", "kafka.offset")} == {"kafka", "chat", 0}


@pytest.mark.parametrize(
    ("headers", "share", "traced_"),
    [
        ((), 0.0, False),
        ((), 0.6, True),
        ((("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"),), 0.6, False),
        ((("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),), 0.0, True),
        ((("traceparent", b"\xff\xfe"),), 0.0, False),
        ((("traceparent", None),), 0.0, False),
    ],
)
def test_who_is_traced(headers: Headers, share: float, traced_: bool) -> None:
    """With a context, what its flag says; without one, a share; whatever stands in the header, the message goes on."""
    bench = Bench(share)
    bench.send(headers=headers)
    bench.score().work_off(bench.broker)
    assert ("process chat" in bench.spans()) == traced_
    added = [name for name, _ in bench.broker.records(PREDICTIONS)[0].headers]
    assert added == (["traceparent"] if traced_ else [])


def test_a_dead_letter_keeps_its_producers_context() -> None:
    """Its headers are as they came, so that a replay goes on in the same trace; its span is marked."""
    bench = Bench()
    bench.send("")
    bench.score().work_off(bench.broker)
    spans = bench.spans()
    headers = [value for name, value in bench.broker.records(DEAD)[0].headers if name == "traceparent"]
    assert [f"-{own(spans['create chat']).span_id:016x}-".encode() in (value or b"") for value in headers] == [True]
    assert spans["process chat"].status.status_code is StatusCode.ERROR


def test_an_abort_ends_the_span_and_the_next_try_has_another() -> None:
    """The transaction's span tells of the error; nothing stays open."""
    bench, sink = Bench(), InMemorySink(Bench().broker)
    sink = InMemorySink(bench.broker)
    sink.fail_next = "abort"
    bench.send()
    worker = bench.score(sink)
    worker.work_off(bench.broker)
    told = [(span.name, span.status.status_code) for span in bench.exporter.get_finished_spans()]
    assert told.count(("send", StatusCode.ERROR)) == 1
    assert [code for name, code in told if name == "process chat"] == [StatusCode.ERROR, StatusCode.UNSET]
    assert len(bench.broker.records(PREDICTIONS)) == 1


def test_what_is_open_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Further records are not traced, until others are done."""
    monkeypatch.setattr(open_spans, "MAX_OPEN", 1)
    spans, p0 = OpenSpans(Bench().tracer, GROUP, 1.0, lambda: 0.0), TopicPartition("chat", 0)
    for offset in (0, 1):
        spans.begin(Record(*p0, offset, None, b"", 0))
    spans.done({p0: 1})
    assert spans._count == 0
    spans.begin(Record(*p0, 2, None, b"", 0))
    assert spans._count == 1


def test_off_means_off() -> None:
    """No tracer, and nothing of OpenTelemetry's SDK is even loaded for it."""
    before = set(sys.modules)
    with exporting(TracingSettings()) as tracer:
        assert tracer is None
    assert {name for name in set(sys.modules) - before if name.startswith("opentelemetry")} == set()


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracing that is asked for and cannot be had is no silent nothing."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(SettingsError, match=r"pip install 'tidings\[tracing\]'"), exporting(TracingSettings(enabled=True)):
        pass
