"""One suite for every `History`: over the broker in memory, and over a real Kafka."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import confluent_kafka as ck
import pytest

from tests.conftest import Names
from tests.contract.kafka_brokers import Broker, MemoryBroker, RealBroker
from tests.unit.worker.alert.builders import event
from worker.adapters.kafka import KafkaHistory
from worker.codec import alert_record
from worker.errors import RetryableError
from worker.messages import OutRecord, TopicPartition
from worker.ports import History, Sink, StoredEvent
from worker.settings import KafkaSettings, Topics
from worker.testing.broker import GroupMetadata, InMemoryHistory


class Bench(NamedTuple):
    """A history, and the topics that it looks at."""

    history: History
    broker: Broker
    signals: str
    alerts: str

    def commit(self, sink: Sink, records: Sequence[OutRecord], offsets: Mapping[TopicPartition, int]) -> None:
        """Commit a transaction of a member of no group."""
        memory = isinstance(self.broker, MemoryBroker)
        source = self.broker.source("history")
        sink.commit(records, offsets, GroupMetadata("history", 0) if memory else source.group_metadata())


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.real)])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Each implementation in turn, with topics of its own, two partitions each."""
    if request.param == "memory":
        broker = MemoryBroker()
        signals, alerts = broker.topic(2), broker.topic(2)
        yield Bench(InMemoryHistory(broker.broker, alerts), broker, signals, alerts)
        return
    bootstrap = request.getfixturevalue("real_kafka_bootstrap")
    with ExitStack() as stack:
        real = RealBroker(bootstrap, stack)
        signals, alerts = real.topic(2), real.topic(2)
        settings = KafkaSettings(bootstrap_servers=bootstrap, topics=Topics(alerts=alerts))
        yield Bench(KafkaHistory(settings), real, signals, alerts)


def told(offset: int, sequence: int = 0, **fields: Any) -> StoredEvent:
    """An event of the signal at `offset`."""
    return StoredEvent(offset, sequence, event(at_ms=offset * 1_000 + sequence, **fields))


def test_signals_are_read_at_their_offsets(bench: Bench) -> None:
    """Just the records asked for: transaction markers, aborted records and what lies past the end are left out."""
    partition = TopicPartition(bench.signals, 0)
    sink = bench.broker.sink()
    for number in range(3):
        bench.broker.produce(OutRecord(bench.signals, None, b"%d" % number))
    bench.commit(sink, [OutRecord(bench.signals, b"key", b"in transaction")], {})
    for number in range(3):
        bench.broker.produce(OutRecord(bench.signals, None, b"then %d" % number))
    everything = bench.history.signals(partition, range(100))
    assert [record.value for record in everything][:3] == [b"0", b"1", b"2"]
    assert [record.value for record in everything][-3:] == [b"then 0", b"then 1", b"then 2"]
    assert [record.offset for record in bench.history.signals(partition, range(1, 3))] == [1, 2]
    assert bench.history.signals(partition, range(1, 1)) == []
    assert bench.history.signals(partition, range(50, 90)) == []


def test_alert_events_are_told_by_the_partition_that_caused_them(bench: Bench) -> None:
    """From all partitions of the topic, in order of their causes, each once, though it be on the topic twice."""
    p0, p1 = TopicPartition(bench.signals, 0), TopicPartition(bench.signals, 1)
    events = {p0: [told(3), told(3, 1), told(9, state="resolved")], p1: [told(4, alert_key="topic:x")]}
    for number, (partition, stored) in enumerate([(p0, events[p0][2]), *((p, e) for p in events for e in events[p])]):
        bench.broker.produce(alert_record(bench.alerts, partition, stored), number % 2)
    assert bench.history.alert_events([p0, p1]) == events
    assert bench.history.alert_events([p1]) == {p1: events[p1]}


def test_no_events_are_known_of_a_new_partition(bench: Bench) -> None:
    """An empty topic is an answer, not a wait."""
    partition = TopicPartition(bench.signals, 0)
    assert bench.history.alert_events([partition]) == {partition: []}
    assert bench.history.signals(partition, range(10)) == []


@pytest.mark.real
def test_records_of_others_on_the_alerts_topic_are_passed_over(real_kafka_bootstrap: str) -> None:
    """What has no cause in its headers, or is no alert at all, does not stop a rebuild."""
    with ExitStack() as stack:
        broker = RealBroker(real_kafka_bootstrap, stack)
        alerts, partition = broker.topic(), TopicPartition("signals", 0)
        good = alert_record(alerts, partition, told(1))
        for record in (OutRecord(alerts, None, b"{}"), OutRecord(alerts, b"k", None, good.headers), good):
            broker.produce(record)
        history = KafkaHistory(KafkaSettings(bootstrap_servers=real_kafka_bootstrap, topics=Topics(alerts=alerts)))
        assert history.alert_events([partition]) == {partition: [told(1)]}


@pytest.mark.real
def test_a_missing_topic_is_said(real_kafka_bootstrap: str, names: Names) -> None:
    """Not taken for one without events: that would send all alerts again."""
    settings = KafkaSettings(bootstrap_servers=real_kafka_bootstrap, topics=Topics(alerts=names.topic("none")))
    with pytest.raises(RetryableError, match="failed"):
        KafkaHistory(settings).alert_events([TopicPartition("signals", 0)])


@pytest.mark.real
def test_an_open_transaction_hides_what_comes_after(real_kafka_bootstrap: str) -> None:
    """Only committed records are history; the rest is not waited for."""
    with ExitStack() as stack:
        broker = RealBroker(real_kafka_bootstrap, stack)
        topic = broker.topic()
        broker.produce(OutRecord(topic, None, b"before"))
        producer = ck.Producer({"bootstrap.servers": real_kafka_bootstrap, "transactional.id": broker.name("open")})
        producer.init_transactions(30)
        producer.begin_transaction()
        producer.produce(topic, b"in the open", partition=0)
        assert producer.flush(30) == 0
        history = KafkaHistory(KafkaSettings(bootstrap_servers=real_kafka_bootstrap))
        assert [record.value for record in history.signals(TopicPartition(topic, 0), range(10))] == [b"before"]
        producer.abort_transaction(30)
