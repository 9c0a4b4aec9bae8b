"""A real consumer that stops fetching, as librdkafka sometimes does without a word, is begun again where it stood."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

import confluent_kafka as ck
import pytest
from structlog.testing import capture_logs

from tests.contract.kafka_brokers import Member, RealBroker, fill, until
from worker.adapters.kafka import KafkaSource
from worker.adapters.kafka.standstill import Standstill
from worker.errors import FatalError
from worker.messages import OutRecord

pytestmark = pytest.mark.real
GROUP = "g"


@pytest.fixture
def classic(real_kafka_bootstrap: str) -> Iterator[RealBroker]:
    """The real Kafka, with the classic group protocol."""
    with ExitStack() as stack:
        yield RealBroker(real_kafka_bootstrap, stack)


@pytest.fixture(params=["classic", "consumer"])
def broker(request: pytest.FixtureRequest, real_kafka_bootstrap: str) -> Iterator[RealBroker]:
    """The real Kafka, with either group protocol."""
    with ExitStack() as stack:
        yield RealBroker(real_kafka_bootstrap, stack, group_protocol=request.param)


def watched(broker: RealBroker, topic: str) -> tuple[Member, KafkaSource]:
    """A member that has read three records of the topic and is looked at often, as librdkafka tells where it is: every 2 s."""
    fill(broker, topic, 3)
    source = broker.source(GROUP)
    assert isinstance(source, KafkaSource)
    source._standstill = Standstill(silent_s=0.5, every_s=1.2)
    member = Member(source, topic)
    member.read(3)
    return member, source


def stop_fetching(source: KafkaSource, topic: str) -> None:
    """Let librdkafka fetch no more without its owner's knowledge: what a lost `resume` comes to."""
    source._consumer.pause([ck.TopicPartition(topic, 0)])


def poll_for(seconds: float, member: Member) -> None:
    """Poll for so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        member.poll()


def test_what_stands_still_is_begun_again_and_nothing_is_lost_or_doubled(broker: RealBroker) -> None:
    """It is said and counted, and all comes once and in order."""
    topic = broker.topic()
    member, source = watched(broker, topic)
    stop_fetching(source, topic)
    fill(broker, topic, 4)
    with capture_logs() as logged:
        until(lambda: len(member.records) >= 7, member)
    told = [line for line in logged if line["event"] == "partition stands still, begun again"]
    assert [(line["partition"], line["offset"]) for line in told] == [(f"{topic}-0", 3)]
    assert [record.offset for record in member.records] == list(range(7))
    until(lambda: source.statistics is not None and source.statistics.standstills == 1, member)


def test_a_partition_without_news_is_left_alone(broker: RealBroker) -> None:
    """What ends in the marker of a transaction, or in one that was rolled back, is read to its end though no record came."""
    topic = broker.topic()
    member, source = watched(broker, topic)
    sink = broker.sink()
    sink.commit([OutRecord(topic, b"k", b"last")], {member.assigned[0]: 3}, source.group_metadata())
    until(lambda: len(member.records) >= 4, member)
    with capture_logs() as logged:
        poll_for(8, member)
    assert not [line for line in logged if "stands still" in line["event"]]
    assert source.standstills == 0


def test_a_partition_that_we_have_paused_is_left_alone(classic: RealBroker) -> None:
    """However much is there to read."""
    topic = classic.topic()
    member, source = watched(classic, topic)
    source.pause(member.assigned)
    fill(classic, topic, 4)
    poll_for(5, member)
    assert (source.standstills, len(member.records)) == (0, 3)
    source.resume(member.assigned)
    until(lambda: len(member.records) >= 7, member)


def test_where_beginning_again_does_not_help_the_process_ends(classic: RealBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new client may do what this one does not: whoever runs the worker starts it anew."""
    topic = classic.topic()
    member, source = watched(classic, topic)
    monkeypatch.setattr(source, "_begin_again", lambda *_: stop_fetching(source, topic))
    stop_fetching(source, topic)
    fill(classic, topic, 4)
    with pytest.raises(FatalError, match=rf"{topic}-0 stands still at 3 of 7.*start anew"):
        until(lambda: False, member)
