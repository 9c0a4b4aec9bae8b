"""What the Kafka contract suite runs against: the broker in memory, and a real Kafka with either group protocol."""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Any, Protocol

import confluent_kafka as ck
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from worker.adapters.kafka import AtLeastOnceSink, KafkaSink, KafkaSource, PlainReader
from worker.messages import OutRecord, Record, TopicPartition
from worker.ports import Sink, Source
from worker.settings import KafkaSettings
from worker.testing.broker import InMemoryAtLeastOnceSink, InMemoryBroker, InMemorySink, InMemorySource

WAIT_S = 40.0


class Recorder:
    """A listener that keeps what it hears, and does what it is told to."""

    def __init__(self, starts: Mapping[TopicPartition, int] | None = None) -> None:
        self.starts = dict(starts or {})
        self.assigned: set[TopicPartition] = set()
        self.heard: list[tuple[str, tuple[TopicPartition, ...]]] = []
        self.when_revoked: Callable[[Sequence[TopicPartition]], None] = lambda _partitions: None

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """See `ports.RebalanceListener`."""
        self.heard.append(("assigned", tuple(sorted(partitions))))
        self.assigned.update(partitions)
        return {partition: self.starts[partition] for partition in partitions if partition in self.starts}

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """See `ports.RebalanceListener`."""
        self.heard.append(("revoked", tuple(sorted(partitions))))
        self.when_revoked(partitions)
        self.assigned.difference_update(partitions)

    def on_lost(self, partitions: Sequence[TopicPartition]) -> None:
        """See `ports.RebalanceListener`."""
        self.heard.append(("lost", tuple(sorted(partitions))))
        self.assigned.difference_update(partitions)


class Member:
    """A source that is subscribed, with its listener and all that it has returned."""

    def __init__(self, source: Source, topic: str, listener: Recorder | None = None) -> None:
        self.source = source
        self.listener = listener or Recorder()
        self.records: list[Record] = []
        source.subscribe([topic], self.listener)

    @property
    def assigned(self) -> list[TopicPartition]:
        """Its partitions."""
        return sorted(self.listener.assigned)

    def poll(self, most: int = 100, timeout_s: float = 0.1) -> list[Record]:
        """Poll once, and see that nothing comes of a partition that is not assigned."""
        records = self.source.poll(most, timeout_s)
        assert len(records) <= most
        assert {record.topic_partition for record in records} <= self.listener.assigned
        self.records += records
        return records

    def read(self, count: int) -> list[Record]:
        """Poll until so many more have come; return those."""
        before = len(self.records)
        until(lambda: len(self.records) >= before + count, self)
        return self.records[before:]

    def values(self, partition: TopicPartition | None = None) -> list[bytes | None]:
        """The values returned so far, of one partition perhaps."""
        return [record.value for record in self.records if partition in {None, record.topic_partition}]


def until(reached: Callable[[], bool], *members: Member) -> None:
    """Poll these members in turn until it is so."""
    deadline = time.monotonic() + WAIT_S
    while not reached():
        assert time.monotonic() < deadline, [(member.listener.heard, member.values()) for member in members]
        for member in members:
            member.poll()


class Broker(Protocol):
    """What a test needs of a broker; `is_real` says whether time passes there."""

    is_real: bool

    def topic(self, partitions: int = 1) -> str:
        """A new topic."""
        ...

    def source(self, group: str) -> Source:
        """A new member-to-be of a group; closed at the end of the test."""
        ...

    def sink(self) -> Sink:
        """A new transactional producer; closed at the end of the test."""
        ...

    def produce(self, record: OutRecord, partition: int = 0) -> None:
        """Write outside any transaction."""
        ...

    def records(self, topic: str, count: int) -> list[Record]:
        """What a read_committed reader sees: waits for `count`, and takes what else is there."""
        ...

    def expire(self, topic: str, before: int, partition: int = 0) -> None:
        """Remove what lies before the offset, as retention does."""
        ...


def fill(broker: Broker, topic: str, count: int, partition: int = 0) -> None:
    """Produce values 0, 1, 2, ... with rising timestamps, 1,000 ms apart from 1,000 on."""
    for number in range(count):
        broker.produce(OutRecord(topic, None, b"%d" % number, (), 1_000 * (number + 1)), partition)


class MemoryBroker:
    """`worker.testing.broker`."""

    is_real = False

    def __init__(self, *, at_least_once: bool = False) -> None:
        self.broker = InMemoryBroker({})
        self._at_least_once = at_least_once

    def topic(self, partitions: int = 1) -> str:
        """See `Broker`."""
        name = f"t{len(self.broker.logs)}"
        self.broker.logs.update({TopicPartition(name, number): [] for number in range(partitions)})
        return name

    def source(self, group: str) -> Source:
        """See `Broker`."""
        return InMemorySource(self.broker, group)

    def sink(self) -> Sink:
        """See `Broker`."""
        return InMemoryAtLeastOnceSink(self.broker) if self._at_least_once else InMemorySink(self.broker)

    def produce(self, record: OutRecord, partition: int = 0) -> None:
        """See `Broker`."""
        self.broker.produce(record, partition)

    def records(self, topic: str, count: int) -> list[Record]:
        """See `Broker`."""
        found = self.broker.records(topic)
        assert len(found) >= count
        return found

    def expire(self, topic: str, before: int, partition: int = 0) -> None:
        """See `Broker`."""
        self.broker.expire(TopicPartition(topic, partition), before)


class RealBroker:
    """A Kafka at `bootstrap`, through the adapter. Topics and groups get names of their own; sinks are transactional or not."""

    is_real = True

    def __init__(self, bootstrap: str, stack: ExitStack, *, at_least_once: bool = False, **changes: Any) -> None:
        self._at_least_once = at_least_once
        self.settings = KafkaSettings(bootstrap_servers=bootstrap, session_timeout_s=6, max_poll_interval_s=10, **changes)
        self.own = uuid.uuid4().hex[:8]
        self.stack = stack
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        self._producer = ck.Producer({"bootstrap.servers": bootstrap, "log_level": 0, "linger.ms": 0})
        self._names = 0

    def name(self, word: str) -> str:
        """A name that nobody else uses."""
        self._names += 1
        return f"{word}-{self.own}-{self._names}"

    def topic(self, partitions: int = 1, **config: str) -> str:
        """See `Broker`."""
        name = self.name("contract")
        for future in self._admin.create_topics([NewTopic(name, partitions, 1, config=config)]).values():
            future.result(WAIT_S)
        self._until_led(name, partitions)
        return name

    def _until_led(self, topic: str, partitions: int) -> None:
        """The controller has made it; a broker hears of that a little later."""
        deadline = time.monotonic() + WAIT_S
        while True:
            found = self._admin.list_topics(topic, timeout=WAIT_S).topics[topic]
            if found.error is None and sum(place.leader >= 0 for place in found.partitions.values()) == partitions:
                return
            assert time.monotonic() < deadline, f"{topic} is not there"
            time.sleep(0.05)

    def source(self, group: str) -> Source:
        """See `Broker`."""
        return self.stack.enter_context(closing(KafkaSource(self.settings, f"{group}-{self.own}")))

    def sink(self, transactional_id: str | None = None) -> Sink:
        """See `Broker`."""
        if self._at_least_once:
            return self.stack.enter_context(closing(AtLeastOnceSink(self.settings)))
        return self.stack.enter_context(closing(KafkaSink(self.settings, transactional_id or self.name("txn"))))

    def produce(self, record: OutRecord, partition: int = 0) -> None:
        """See `Broker`."""
        self._producer.produce(
            record.topic,
            record.value,
            record.key,
            partition,
            headers=list(record.headers),
            timestamp=record.timestamp_ms or 0,
        )
        assert self._producer.flush(WAIT_S) == 0

    def records(self, topic: str, count: int) -> list[Record]:
        """See `Broker`."""
        found: list[Record] = []
        deadline = time.monotonic() + WAIT_S
        with closing(PlainReader(self.settings, [topic], from_beginning=True)) as reader:
            while len(found) < count:
                assert time.monotonic() < deadline, found
                found += reader.read(0.2)
            found += reader.read(0.5)
        return sorted(found, key=lambda record: (record.partition, record.offset))

    def expire(self, topic: str, before: int, partition: int = 0) -> None:
        """See `Broker`."""
        for done in self._admin.delete_records([ck.TopicPartition(topic, partition, before)]).values():
            done.result(WAIT_S)
