"""Send lines of text to Tidings: `echo "Acme is down again" | python produce.py chat`.

Idempotent and with all replicas' acknowledgement, so that the client's own retries neither lose nor double a message. With
OpenTelemetry installed and set up, each message begins a trace that goes on to the alert.
"""

import json
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from confluent_kafka import KafkaError, Producer

try:
    from opentelemetry import trace
    from opentelemetry.propagate import inject
except ImportError:  # then there are no traces
    inject = trace = None  # type: ignore[assignment]


def main(topic: str, lines: Iterable[str], kafka: str) -> int:
    """Send every line as a message of its own; return how many Kafka did not take."""
    failed: list[str] = []
    producer = Producer({"bootstrap.servers": kafka, "enable.idempotence": True, "acks": "all", "linger.ms": 5})
    for line in filter(None, map(str.strip, lines)):
        message = {"id": str(uuid.uuid4()), "text": line, "source": "example", "published_at": int(time.time() * 1000)}
        send(producer, topic, message, lambda error, _: failed.append(str(error)) if error else None)
        producer.poll(0)
    failed += ["no answer within 30 s"] * producer.flush(30)
    for error in failed:
        print(f"not delivered: {error}", file=sys.stderr)
    return len(failed)


def send(producer: Producer, topic: str, message: dict[str, Any], told: Callable[[KafkaError | None, Any], None]) -> None:
    """Hand one message to the client, with the trace's context in its headers. One key keeps a source's messages in order."""
    headers: dict[str, str] = {}
    with span(topic):
        if inject is not None:
            inject(headers)
        body = json.dumps(message).encode()
        producer.produce(topic, body, key=message["source"], headers=list(headers.items()), on_delivery=told)


def span(topic: str) -> AbstractContextManager[Any]:
    """Begin a span, if there is anybody to tell."""
    if trace is None:
        return nullcontext()
    return trace.get_tracer("example").start_as_current_span(f"create {topic}", kind=trace.SpanKind.PRODUCER)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "chat", sys.stdin, os.environ.get("KAFKA", "127.0.0.1:9092")) > 0)
