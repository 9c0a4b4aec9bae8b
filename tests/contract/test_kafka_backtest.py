"""A backtest over a topic of signals, on a real Kafka."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.contract.kafka_brokers import RealBroker
from tests.unit.worker.alert.builders import rules, signal
from worker.backtest.inputs import opened
from worker.backtest.running import Plan, run
from worker.codec import control_record, encode_signal
from worker.errors import RetryableError
from worker.messages import OutRecord, Tick, TopicPartition

BAD = [signal(at) for at in (1, 2, 3, 4, 10)]


@pytest.fixture
def real(real_kafka_bootstrap: str) -> Iterator[RealBroker]:
    """A real Kafka."""
    with ExitStack() as stack:
        yield RealBroker(real_kafka_bootstrap, stack)


def test_a_topic_is_tested_up_to_its_end(real: RealBroker) -> None:
    """Each partition with its own watermark, ticks where they stand, bad records named; a second pass sees the same."""
    topic = real.topic(partitions=2)
    for one in BAD:
        real.produce(OutRecord(topic, None, encode_signal(one)), partition=0)
    tick = control_record(TopicPartition(topic, 0), Tick(60_000))
    real.produce(OutRecord(topic, None, tick.value, tick.headers), partition=0)
    for body in (encode_signal(signal(1_000, "positive", alert_key="topic:x")), b"no signal"):
        real.produce(OutRecord(topic, None, body), partition=1)
    with opened(topic, real.settings) as source:
        real.produce(OutRecord(topic, None, encode_signal(signal(2_000))), partition=0)
        first, second = run(source, Plan(rules(), None, 0)), run(source, Plan(rules(), None, 0))
    assert [event.state for event in first.outcome.events] == ["firing", "stale"]
    assert (first.outcome.signals, first.outcome.late.signals) == (6, 0)
    assert [fault.place for fault in first.faults.named] == [f"{topic}-1 offset 1"]
    assert second.outcome.events == first.outcome.events


def test_a_topic_that_is_not_there_is_told(real: RealBroker) -> None:
    """At once."""
    with pytest.raises(RetryableError, match="no such topic"), opened("nowhere", real.settings):
        pass
