"""Requests to the model in the traces of the messages that they are made of."""

from collections.abc import Mapping

import numpy as np
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from tests.unit.worker.builders import MODEL
from tests.unit.worker.ops.builders import watch
from tests.unit.worker.ops.traced_builders import Bench, own, parent
from tests.unit.worker.score.role_builders import GROUP, PREDICTIONS
from worker.errors import ModelError, TidingsError
from worker.ops.spans import OpenSpans
from worker.ops.traced import TracedModel
from worker.ops.watch import ModelWatch
from worker.ports import TokenBatch

METHOD = "inference.GRPCInferenceService/ModelInfer"


@pytest.fixture
def bench() -> Bench:
    """Roles whose model keeps what is sent along."""
    return Bench()


@pytest.fixture
def sent(bench: Bench) -> list[Mapping[str, str] | None]:
    """The headers of each batch that came to the model."""
    told: list[Mapping[str, str] | None] = []

    def look(_call: int, batch: TokenBatch) -> TidingsError | None:
        told.append(batch.headers)
        return None

    bench.model.failure = look
    return told


def requests(bench: Bench) -> list[ReadableSpan]:
    """The spans of requests, in the order of their end."""
    return [span for span in bench.exporter.get_finished_spans() if span.name == METHOD]


def test_a_request_is_in_its_messages_trace(bench: Bench, sent: list[Mapping[str, str] | None]) -> None:
    """It says where it went, which model, how many texts and in which bucket; Triton is told of it."""
    bench.send()
    bench.score().work_off(bench.broker)
    (span,) = requests(bench)
    assert parent(span) == own(bench.spans()["process chat"]).span_id
    assert own(span).trace_id == own(bench.spans()["create chat"]).trace_id
    assert span.kind is SpanKind.CLIENT
    assert dict(span.attributes or {}) == {
        "rpc.system.name": "grpc",
        "rpc.method": METHOD,
        "server.address": "triton.sentiment",
        "server.port": 8001,
        "tidings.model.name": MODEL.name,
        "tidings.model.version": MODEL.version,
        "tidings.batch.texts": 1,
        "tidings.batch.bucket": 4,
    }
    (headers,) = sent
    assert (headers or {})["traceparent"].startswith(f"00-{own(span).trace_id:032x}-{own(span).span_id:016x}-0")


def test_a_batch_of_many_is_linked_to_each(bench: Bench) -> None:
    """The first traced message is the parent; the others are linked to the request, and it to them."""
    for text in ("Acme fell apart", "Acme came late", "Acme is broken"):
        bench.send(text, headers=() if "late" in text else None)
    bench.score().work_off(bench.broker)
    (span,) = requests(bench)
    first, other = [one for one in bench.exporter.get_finished_spans() if one.name == "process chat"]
    assert (span.attributes or {})["tidings.batch.texts"] == 3
    assert parent(span) == own(first).span_id
    assert [link.context.span_id for link in span.links] == [own(other).span_id]
    assert [link.context.span_id for link in other.links] == [own(span).span_id]


def test_what_is_not_traced_has_no_span(bench: Bench, sent: list[Mapping[str, str] | None]) -> None:
    """And nothing is sent along."""
    bench.send(headers=())
    bench.score().work_off(bench.broker)
    assert requests(bench) == []
    assert sent == [None]
    assert len(bench.broker.records(PREDICTIONS)) == 1


def test_a_request_that_fails_says_why(bench: Bench) -> None:
    """And the one that is made again has a span of its own."""
    bench.model.failure = lambda call, _batch: ModelError("no_answer", "not within 10 s") if call == 0 else None
    bench.send()
    worker = bench.score()
    worker.work_off(bench.broker)
    failed, answered = requests(bench)
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.status.description == "not within 10 s"
    assert (failed.attributes or {})["error.type"] == "no_answer"
    assert answered.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize(
    ("server", "kind", "name", "address"),
    [
        (None, SpanKind.INTERNAL, f"infer {MODEL.name}", None),
        ("ipv4:10.0.0.1:8001,10.0.0.2:8001", SpanKind.CLIENT, METHOD, "ipv4:10.0.0.1:8001,10.0.0.2"),
        ("unix:/run/triton", SpanKind.CLIENT, METHOD, "unix:/run/triton"),
    ],
)
def test_where_a_request_goes(bench: Bench, server: str | None, kind: SpanKind, name: str, address: str | None) -> None:
    """A model in this process is no remote call; a target of gRPC's other kinds is told as it is."""
    spans = OpenSpans(bench.tracer, GROUP, 1.0, lambda: 0.0)
    model = TracedModel(bench.model, (watch(), ModelWatch()), spans, MODEL, server)
    with bench.tracer.start_as_current_span("process chat") as cause:
        model._begin(TokenBatch(np.ones((1, 16), np.int64), np.ones((1, 16), np.int64)), [cause]).end()
    span = bench.spans()[name]
    assert span.kind is kind
    assert (span.attributes or {}).get("server.address") == address
