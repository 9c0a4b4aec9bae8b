"""The demo's own ends of Kafka and Redis. They share with the worker the address and the credentials, and no other code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import confluent_kafka as ck
import redis

from deploy.local.demo.errors import DemoError
from deploy.local.demo.ledger import Ledger, Position, Seen
from deploy.local.demo.plan import Planned

_TIMEOUT_S = 30.0
_READ_AT_ONCE = 500
_MESSAGE_MAX_BYTES = 16 * 1024 * 1024
Config = dict[str, Any]


class Feed:
    """An idempotent producer that books what it sends, and what became of it, in the ledger."""

    def __init__(self, config: Config, topics: dict[str, str], ledger: Ledger) -> None:
        more = {"enable.idempotence": True, "linger.ms": 5, "message.max.bytes": _MESSAGE_MAX_BYTES}
        self._producer = ck.Producer(config | more)
        self._topics = topics
        self._ledger = ledger

    def send(self, planned: Planned, at_s: float) -> None:
        """Queue a record; `at_s` is the moment that its latency counts from."""
        self._ledger.sent(planned, at_s)
        key = planned.id.encode() if planned.id is not None else None

        def delivered(error: ck.KafkaError | None, message: ck.Message) -> None:
            if error is not None:
                self._ledger.failed(planned, error.str())
            else:
                self._ledger.delivered(planned, _position(message))

        self._producer.produce(self._topics[planned.kind], planned.body, key, on_delivery=delivered)

    def serve(self) -> None:
        """Let delivery reports in."""
        self._producer.poll(0)

    def close(self) -> None:
        """Wait for what is queued.

        Raises:
            DemoError: Kafka did not take it in time.
        """
        if left := self._producer.flush(_TIMEOUT_S):
            raise DemoError(f"Kafka did not take {left} records within {_TIMEOUT_S:.0f} s")

    def drop(self) -> None:
        """Throw away what is queued, as after Ctrl-C."""
        self._producer.purge()
        self._producer.flush(0)


class Reader:
    """Reads whole topics with `isolation.level=read_committed`, in no group."""

    def __init__(self, config: Config, topics: Sequence[str]) -> None:
        self._consumer = ck.Consumer(
            config
            | {
                "group.id": "tidings-demo-reader",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.message.max.bytes": _MESSAGE_MAX_BYTES,
                "fetch.wait.max.ms": 20,
            }
        )
        known = self._consumer.list_topics(timeout=_TIMEOUT_S).topics
        if missing := [topic for topic in topics if topic not in known]:
            raise DemoError(f"no such topic: {', '.join(missing)}")
        partitions = [(topic, partition) for topic in topics for partition in known[topic].partitions]
        self._consumer.assign([ck.TopicPartition(*place, ck.OFFSET_BEGINNING) for place in partitions])

    def read(self, timeout_s: float) -> list[ck.Message]:
        """Return what arrives within `timeout_s` seconds.

        Raises:
            DemoError: Kafka answered with an error.
        """
        messages = self._consumer.consume(_READ_AT_ONCE, timeout_s)
        for message in messages:
            if (error := message.error()) is not None:
                raise DemoError(f"reading {message.topic()} failed: {error.str()}")
        return messages

    def close(self) -> None:
        """Drop the connection."""
        self._consumer.close()


def seen(message: ck.Message, at_s: float) -> Seen:
    """Return a record as the ledger books it."""
    headers = dict(cast("list[tuple[str, bytes | None]]", message.headers() or []))
    return Seen(str(message.topic()), message.key(), message.value(), headers, at_s)


class AlertStreams:
    """Reads the alert events from the Redis streams of all partitions of the signals topic."""

    def __init__(self, url: str, prefix: str, signals: str, partitions: int) -> None:
        self._client = redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5)
        self._prefix = prefix
        self._streams = [f"{prefix}:{{{signals}-{partition}}}:alerts" for partition in range(partitions)]

    def read(self) -> list[bytes]:
        """Return every event that the streams hold.

        Raises:
            DemoError: Redis does not answer.
        """
        return list(self._events())

    def _events(self) -> Iterator[bytes]:
        try:
            for stream in self._streams:
                entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", self._client.xrange(stream))
                yield from (fields[b"event"] for _, fields in entries)
        except redis.RedisError as error:
            raise DemoError(f"reading the alert streams failed: {error}") from error

    def clear(self) -> None:
        """Delete every key of the demo's prefix."""
        for key in self._client.scan_iter(f"{self._prefix}:*", count=1_000):
            self._client.delete(key)

    def close(self) -> None:
        """Drop the connection."""
        self._client.close()


def _position(message: ck.Message) -> Position:
    return Position(str(message.topic()), int(message.partition() or 0), int(message.offset() or 0))
