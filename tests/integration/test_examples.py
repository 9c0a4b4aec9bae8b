"""The programs of `examples/`, as they are, on the real stack: from a producer to everybody who reads what comes of it.

The same run is traced: OpenTelemetry's protocol is received here, and the trace of a message leads to its alert.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind

from deploy.local.stack import LocalStack
from tests.conftest import Names
from tests.integration.flow import ROOT, Flow, make_flow

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

EXAMPLES = ROOT / "examples"
FILES = {
    "watchlist.yaml": "entities:\n  - {name: Acme}\n",
    "rules.yaml": "rules:\n  - {name: outrage, detector: {type: single, threshold: 0.5, window: 60s, bucket: 1s}}\n",
}
ASKED = "inference.GRPCInferenceService/ModelInfer"
BAD = "Acme is terrible, dull and badly made; I hated every minute of it."


@pytest.fixture
def flow(stack: LocalStack, names: Names, tmp_path: Path) -> Flow:
    """Topics of this test's own, and no lateness to wait for."""
    env = {**stack.settings_env(), "TIDINGS_ALERT__ALLOWED_LATENESS_S": "0"}
    return make_flow(names, env, tmp_path, FILES)


def where(flow: Flow) -> dict[str, str]:
    """What the examples read from the environment."""
    told = {"KAFKA": flow.settings.kafka.bootstrap_servers, "REDIS": flow.settings.redis.url.get_secret_value()}
    return {**told, "PREFIX": flow.settings.redis.prefix, "GROUP": f"{flow.settings.kafka.group_prefix}-example"}


@contextmanager
def running(name: str, *arguments: str, env: Mapping[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """Run an example that prints JSON; it is gone afterwards."""
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    process = subprocess.Popen(command, env={**os.environ, **env}, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def lines(process: "subprocess.Popen[str]") -> list[dict[str, Any]]:
    """Wait for its end, and return what it printed."""
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return [json.loads(line) for line in out.splitlines()]


def example(name: str) -> ModuleType:
    """An example as a module."""
    spec = importlib.util.spec_from_file_location(f"example_{Path(name).stem}", EXAMPLES / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Collector:
    """Receives OTLP over HTTP."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                request = ExportTraceServiceRequest.FromString(body)
                collector.spans += [s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def env(self) -> dict[str, str]:
        """What sends a worker's spans here, soon."""
        port = self.server.server_address[1]
        own = {"TIDINGS_TRACING__ENABLED": "true", "TIDINGS_TRACING__ENDPOINT": f"http://127.0.0.1:{port}/v1/traces"}
        return {**own, "TIDINGS_TRACING__SHARE": "0", "OTEL_BSP_SCHEDULE_DELAY": "300"}

    def close(self) -> None:
        """Receive no more."""
        self.server.shutdown()
        self.server.server_close()

    def way_to(self, name: str) -> list[Any]:
        """The last span of this name, and those that it came from, the first of all first."""
        by_id = {span.span_id: span for span in self.spans}
        way = [next(span for span in reversed(self.spans) if span.name == name)]
        while (before := by_id.get(way[0].parent_span_id)) is not None:
            way.insert(0, before)
        return way


def test_from_a_producer_to_everybody_who_reads(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Predictions are read, the alert is heard of by group and on the screen, and its trace begins at the producer."""
    chat, topics = flow.input("chat"), flow.settings.kafka.topics
    produce = example("produce.py")
    provided = Provided()
    monkeypatch.setattr(produce, "trace", provided)
    with closing(Collector()) as collector:
        flow.env = {**flow.env, **collector.env}
        with (
            flow.worker() as worker,
            running("listen.py", "1", env=where(flow)) as screen,
            running("subscribe.py", "1", env=where(flow)) as subscriber,
            running("read_predictions.py", topics.predictions, "3", env=where(flow)) as reader,
        ):
            worker.until(worker.ready)
            for text in (BAD, "Acme again.", "Acme, a day later."):
                assert produce.main(chat, [text], flow.settings.kafka.bootstrap_servers) == 0
                threading.Event().wait(1.1)  # a bucket of the rule: what is decided is decided when one is over
            predictions, (shown,), (told,) = lines(reader), lines(screen), lines(subscriber)
            assert worker.terminate() == 0
        assert [one["entities"] for one in predictions] == [["Acme"]] * 3
        assert (shown["id"], shown["subject"]) == (told["id"], "entity:Acme")
        assert (told["state"], told["rule"]) == ("firing", "outrage")
        way = collector.way_to(f"create {topics.alerts}")
        expected = [f"process {chat}", f"create {topics.signals}", f"process {topics.signals}", f"create {topics.alerts}"]
        assert [span.name for span in way] == expected
        assert way[0].parent_span_id.hex() == f"{provided.sent[0].span_id:016x}"
        (asked,) = [one for one in collector.spans if one.name == ASKED and one.parent_span_id == way[0].span_id]
        (line,) = worker.lines("alert event")[:1]
        assert (line["trace_id"], line["span_id"]) == (way[-1].trace_id.hex(), way[-1].span_id.hex())
        keep([*way, asked], line)


class Provided:
    """OpenTelemetry's API as a producer has it that set its SDK up, without doing so for the whole process."""

    SpanKind = SpanKind

    def __init__(self) -> None:
        self.sent: list[Any] = []
        """The contexts of what was sent."""

    def get_tracer(self, name: str) -> Any:
        """A tracer whose spans are remembered."""
        tracer = TracerProvider().get_tracer(name)
        outer = self

        class Remembering:
            @contextmanager
            def start_as_current_span(self, *arguments: Any, **named: Any) -> Iterator[Any]:
                with tracer.start_as_current_span(*arguments, **named) as span:
                    outer.sent.append(span.get_span_context())
                    yield span

        return Remembering()


def keep(way: list[Any], line: Mapping[str, Any]) -> None:
    """Write the trace and the log line of its alert down for the docs, where they ask for it."""
    if path := os.environ.get("TRACE_FILE"):
        shown = [
            {
                "name": span.name,
                "span_id": span.span_id.hex(),
                "parent_span_id": span.parent_span_id.hex(),
                "trace_id": span.trace_id.hex(),
                "start_ms": span.start_time_unix_nano / 1e6,
                "ms": (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6,
                "attributes": {one.key: one.value.string_value or one.value.int_value for one in span.attributes},
            }
            for span in way
        ]
        Path(path).write_text(json.dumps([*shown, line], indent=2))


def test_a_producer_as_it_is_called(flow: Flow) -> None:
    """Lines on its standard input become messages, empty ones left out."""
    topic, text = flow.input("chat"), f"{BAD}\n\nAcme again.\n"
    command = [sys.executable, str(EXAMPLES / "produce.py"), topic]
    subprocess.run(command, env={**os.environ, **where(flow)}, input=text, text=True, check=True, timeout=60)
    records = flow.records(topic, 2)
    assert [json.loads(record.value or b"")["text"] for record in records] == [BAD, "Acme again."]


def test_a_producer_in_another_language(flow: Flow, tmp_path: Path) -> None:
    """Node.js with kafkajs: each line is a message that a worker can read."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("no Node.js here: examples/node is not run")
    shutil.copytree(EXAMPLES / "node", tmp_path / "node", ignore=shutil.ignore_patterns("node_modules"))
    command = ["npm", "install", "--no-audit", "--no-fund", "--prefer-offline"]
    installed = subprocess.run(command, cwd=tmp_path / "node", capture_output=True, text=True, check=False, timeout=120)
    if installed.returncode:
        pytest.skip(f"kafkajs cannot be had: {installed.stderr[-300:]}")
    topic = flow.input("chat")
    node = subprocess.run(
        ["node", "produce.mjs", topic],
        cwd=tmp_path / "node",
        env={**os.environ, **where(flow)},
        input=f"{BAD}\n\nAcme again.\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert node.returncode == 0, node.stderr
    records = flow.records(topic, 2)
    assert [json.loads(record.value or b"")["text"] for record in records] == [BAD, "Acme again."]
    assert {record.key for record in records} == {b"node"}
