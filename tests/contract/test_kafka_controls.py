"""Control records on a real Kafka: into all partitions or into none."""

from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from tests.contract.kafka_brokers import RealBroker
from worker.adapters.kafka import KafkaControls
from worker.errors import RetryableError
from worker.messages import OutRecord, TopicPartition

pytestmark = pytest.mark.real
TOO_LARGE = b"x" * 2_000


@pytest.fixture
def broker(real_kafka_bootstrap: str) -> Iterator[RealBroker]:
    """The real Kafka."""
    with ExitStack() as stack:
        yield RealBroker(real_kafka_bootstrap, stack)


def into_each(topic: str, *values: bytes) -> list[OutRecord]:
    """A record for each partition, in order."""
    return [OutRecord(topic, b"", value, partition=number) for number, value in enumerate(values)]


def test_every_partition_has_its_record_or_none_has(broker: RealBroker) -> None:
    """What cannot be written whole is not there for a reader of committed records, and the next is."""
    topic = broker.topic(2, **{"max.message.bytes": "1000"})
    with closing(KafkaControls(broker.settings)) as controls:
        assert controls.partitions(topic) == [TopicPartition(topic, 0), TopicPartition(topic, 1)]
        with pytest.raises(RetryableError, match="writing control records"):
            controls.send(into_each(topic, b"lost", TOO_LARGE))
    with closing(KafkaControls(broker.settings)) as controls:  # one command, one producer
        controls.send(into_each(topic, b"first", b"second"))
    assert sorted((record.partition, record.value) for record in broker.records(topic, 2)) == [(0, b"first"), (1, b"second")]


def test_a_topic_that_is_not_there_is_told_with_what_to_do(broker: RealBroker) -> None:
    """By name."""
    with closing(KafkaControls(broker.settings)) as controls, pytest.raises(RetryableError, match=r"nowhere.*create-topics"):
        controls.partitions("nowhere")
