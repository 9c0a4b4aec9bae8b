"""What an independent onlooker sees of a run: read_committed consumers without a group, and a subscriber of the Redis streams.

Nothing here uses the worker's adapters; the values are `worker.messages.Record` because that is what the verifier compares.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

import confluent_kafka as ck
import redis
from confluent_kafka import KafkaException

from tests.chaos.outcome import StreamEntry
from worker.messages import Record

Place = tuple[str, int, int]
"""Topic, partition and offset of an input message."""
_Entry = tuple[bytes, dict[bytes, bytes]]
_POLL_S = 0.2
_STREAM_EVERY_S = 0.25
_PAGE = 500


@dataclass(frozen=True)
class TopicNames:
    """The topics, the group prefix and the key prefix of one run."""

    run: str
    news: str = field(init=False)
    chat: str = field(init=False)
    predictions: str = field(init=False)
    signals: str = field(init=False)
    alerts: str = field(init=False)
    dead_letters: str = field(init=False)

    def __post_init__(self) -> None:
        """Derive every name from the run's."""
        for name in ("news", "chat", "predictions", "signals", "alerts"):
            object.__setattr__(self, name, f"{self.run}.{name}")
        object.__setattr__(self, "dead_letters", f"{self.run}.dead-letters")

    @property
    def inputs(self) -> dict[str, str]:
        """Input topic by kind."""
        return {"news": self.news, "chat": self.chat}

    @property
    def all(self) -> tuple[str, ...]:
        """Every topic."""
        return (self.news, self.chat, self.predictions, self.signals, self.alerts, self.dead_letters)

    def neutral(self, body: bytes) -> bytes:
        """The bytes without the run's name in topic names, so that two runs can be compared byte for byte."""
        return body.replace(f"{self.run}.".encode(), b"")


class Onlooker:
    """Reads predictions, dead letters, alerts and signals as they are committed, and says which inputs are accounted for."""

    def __init__(self, bootstrap: str, names: TopicNames) -> None:
        self._names = names
        self._bootstrap = bootstrap
        self._stop = threading.Event()
        self.accounted: set[Place] = set()
        self._events: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.repeats: Counter[str] = Counter()
        """Per topic, predictions of an input and alert events that were there before."""
        self.signal_ends: dict[int, int] = {}
        self.last_news_at = time.monotonic()
        self._thread = threading.Thread(target=self._read, name="onlooker", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        self._thread.join(10)

    def _read(self) -> None:
        names = self._names
        consumer = _reading(self._bootstrap, [names.predictions, names.dead_letters, names.alerts, names.signals])
        with contextlib.closing(consumer):
            while not self._stop.is_set():
                for message in consumer.consume(500, _POLL_S):
                    if message.error() is None:
                        self._take(message)

    def _take(self, message: ck.Message) -> None:
        topic = message.topic() or ""
        self.counts[topic] += 1
        self.last_news_at = time.monotonic()
        if topic == self._names.predictions:
            origin = json.loads(message.value() or b"{}")["origin"]
            place = (origin["topic"], origin["partition"], origin["offset"])
            self.repeats[topic] += place in self.accounted
            self.accounted.add(place)
        elif topic == self._names.alerts:
            event = json.loads(message.value() or b"{}")["id"]
            self.repeats[topic] += event in self._events
            self._events.add(event)
        elif topic == self._names.dead_letters:
            self.accounted.add(_origin(message))
        elif topic == self._names.signals:
            partition = message.partition() or 0
            self.signal_ends[partition] = max(self.signal_ends.get(partition, 0), (message.offset() or 0) + 1)


def _origin(message: ck.Message) -> Place:
    headers = dict(_headers(message))
    return (
        (headers.get("tidings.topic") or b"").decode(),
        int(headers.get("tidings.partition") or -1),
        int(headers.get("tidings.offset") or -1),
    )


def _headers(message: ck.Message) -> list[tuple[str, bytes | None]]:
    return cast("list[tuple[str, bytes | None]]", message.headers() or [])


def read_all(bootstrap: str, topic: str, neutral: Callable[[bytes], bytes]) -> list[Record]:
    """Read a topic from its beginning to its present end, committed records only, in the order of partition and offset.

    `neutral` is applied to values and header values.
    """
    consumer = _reading(bootstrap, [topic], eof=True)
    found: list[Record] = []
    with contextlib.closing(consumer):
        left = {p.partition for p in consumer.assignment()}
        while left:
            for message in consumer.consume(1_000, 1.0):
                error = message.error()
                if error is None:
                    found.append(_record(message, neutral))
                elif error.code() == ck.KafkaError._PARTITION_EOF:
                    left.discard(message.partition())
                elif not error.retriable():
                    raise KafkaException(error)
    return sorted(found, key=lambda record: (record.partition, record.offset))


def read_from(bootstrap: str, topic: str, partition: int, offset: int) -> list[Record]:
    """Read a partition from an offset on to its present end.

    Raises:
        KafkaException: it could not be read to its end.
    """
    consumer = ck.Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "onlooker", "enable.partition.eof": True, "log_level": 0}
    )
    found: list[Record] = []
    with contextlib.closing(consumer):
        consumer.assign([ck.TopicPartition(topic, partition, offset)])
        while (message := consumer.poll(10.0)) is not None:
            error = message.error()
            if error is None:
                found.append(_record(message, lambda body: body))
            elif error.code() == ck.KafkaError._PARTITION_EOF:
                return found
            elif not error.retriable():
                raise KafkaException(error)
    raise KafkaException(ck.KafkaError(ck.KafkaError._TIMED_OUT))


def _record(message: ck.Message, neutral: Callable[[bytes], bytes]) -> Record:
    headers = tuple((name, neutral(value) if value is not None else None) for name, value in _headers(message))
    key, value = message.key(), message.value()
    return Record(
        neutral((message.topic() or "").encode()).decode(),
        message.partition() or 0,
        message.offset() or 0,
        neutral(key) if key is not None else None,
        neutral(value) if value is not None else None,
        message.timestamp()[1],
        headers,
    )


def _reading(bootstrap: str, topics: Sequence[str], *, eof: bool = False) -> ck.Consumer:
    consumer = ck.Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "onlooker",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": eof,
            "auto.offset.reset": "earliest",
            "log_level": 0,
            "fetch.wait.max.ms": 100,
            "reconnect.backoff.max.ms": 1_000,
        }
    )
    known = consumer.list_topics(timeout=30).topics
    partitions = [(topic, partition) for topic in topics for partition in known[topic].partitions]
    consumer.assign([ck.TopicPartition(*partition, ck.OFFSET_BEGINNING) for partition in partitions])
    return consumer


def relay_positions(bootstrap: str, group: str, topic: str, partitions: int) -> dict[int, int]:
    """The group's committed offset per partition; -1 or less where there is none.

    Raises:
        KafkaException: the cluster did not answer.
    """
    consumer = ck.Consumer({"bootstrap.servers": bootstrap, "group.id": group, "log_level": 0})
    with contextlib.closing(consumer):
        asked = [ck.TopicPartition(topic, number) for number in range(partitions)]
        return {answer.partition: answer.offset for answer in consumer.committed(asked, timeout=10)}


class Subscriber:
    """Follows every alert stream as a subscriber would: from the last id that it saw, on whichever Redis serves."""

    def __init__(self, url: Callable[[], str], names: TopicNames, partitions: int) -> None:
        self._url = url
        self._names = names
        self._streams = [stream_key(names, number) for number in range(partitions)]
        self._last = dict.fromkeys(self._streams, "0-0")
        self._stop = threading.Event()
        self.seen: list[StreamEntry] = []
        self._thread = threading.Thread(target=self._follow, name="subscriber", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop following."""
        self._stop.set()
        self._thread.join(10)

    def _follow(self) -> None:
        while not self._stop.wait(_STREAM_EVERY_S):
            with contextlib.suppress(redis.RedisError, OSError), contextlib.closing(_client(self._url())) as client:
                url = self._url()
                while not self._stop.wait(_STREAM_EVERY_S) and self._url() == url:
                    self._read(client)

    def _read(self, client: redis.Redis) -> None:
        answer = cast("list[tuple[bytes, list[_Entry]]]", client.xread(dict(self._last), count=_PAGE) or [])  # type: ignore[arg-type]
        for stream, entries in answer:
            name = stream.decode()
            for entry_id, fields in entries:
                self._last[name] = entry_id.decode()
                self.seen.append(_entry(self._names, name, entry_id, fields))


def read_streams(url: str, names: TopicNames, partitions: int) -> dict[str, list[StreamEntry]]:
    """Every alert stream as a whole, by its name without the run's."""
    with contextlib.closing(_client(url)) as client:
        keys = [stream_key(names, number) for number in range(partitions)]
        whole = {key: cast("list[_Entry]", client.xrange(key) or []) for key in keys}
    return {
        names.neutral(key.encode()).decode(): [_entry(names, key, entry_id, fields) for entry_id, fields in entries]
        for key, entries in whole.items()
    }


def stream_key(names: TopicNames, partition: int) -> str:
    """The key of a partition's alert stream."""
    return f"{names.run}.redis:{{{names.signals}-{partition}}}:alerts"


def _entry(names: TopicNames, stream: str, entry_id: bytes, fields: dict[bytes, bytes]) -> StreamEntry:
    return StreamEntry(names.neutral(stream.encode()).decode(), entry_id.decode(), names.neutral(fields[b"event"]))


def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=3, socket_connect_timeout=1)
