"""Reading a topic up to its end as of now, and sending records again, on a real Kafka."""

from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from tests.contract.kafka_brokers import RealBroker
from tests.support.raw_headers import produce_with_header
from worker.adapters.kafka import Resender, TopicSnapshot
from worker.adapters.kafka.source import UNREADABLE_HEADERS
from worker.errors import RetryableError
from worker.messages import OutRecord, Record

HEADERS = (("h", b"\xff"), ("none", None), ("", b""), ("h", b"again"))
OLD_MS = 1_500_000_000_000


@pytest.fixture
def real(real_kafka_bootstrap: str) -> Iterator[RealBroker]:
    """A real Kafka."""
    with ExitStack() as stack:
        yield RealBroker(real_kafka_bootstrap, stack)


def snapshot(real: RealBroker, topic: str) -> TopicSnapshot:
    """The topic as it is now; closed at the end of the test."""
    return real.stack.enter_context(closing(TopicSnapshot(real.settings, topic)))


def values(records: Iterator[Record]) -> list[bytes | None]:
    """Their values."""
    return [record.value for record in records]


def committed(real: RealBroker, topic: str, *bodies: bytes) -> None:
    """Write in one transaction, as the worker does, which leaves a marker at the end."""
    source = real.source("group")
    sink = real.sink()
    sink.commit([OutRecord(topic, None, body) for body in bodies], {}, source.group_metadata())


@pytest.mark.parametrize("in_transaction", [False, True])
def test_a_snapshot_ends_where_the_topic_ended(real: RealBroker, in_transaction: bool) -> None:
    """What comes later is not seen; reading ends although the last offset may be a marker, and whether or not more came."""
    topic = real.topic()

    def write(*bodies: bytes) -> None:
        if in_transaction:
            committed(real, topic, *bodies)
        else:
            for body in bodies:
                real.produce(OutRecord(topic, None, body))

    write(b"1", b"2")
    quiet, before = snapshot(real, topic), snapshot(real, topic)
    assert values(quiet.records()) == [b"1", b"2"]
    write(b"3")
    assert values(before.records()) == [b"1", b"2"]
    assert values(before.records()) == [b"1", b"2"], "a second pass sees the same"
    assert values(snapshot(real, topic).records()) == [b"1", b"2", b"3"]


def test_a_snapshot_goes_by_partition_and_offset(real: RealBroker) -> None:
    """An empty partition holds nothing up; how far it is adds up to the whole."""
    topic, passed = real.topic(3), list[int]()
    for number, partition in enumerate([2, 0, 2, 0]):
        real.produce(OutRecord(topic, None, b"%d" % number), partition)
    whole = snapshot(real, topic)
    assert values(whole.records(passed=passed.append)) == [b"1", b"3", b"0", b"2"]
    assert sum(passed) == whole.offsets == 4


def test_a_snapshot_begins_at_a_time(real: RealBroker) -> None:
    """At the first record that is not older; a time in the future has none."""
    topic = real.topic()
    for number in range(5):
        real.produce(OutRecord(topic, None, b"%d" % number, (), 1_000 * (number + 1)))
    assert values(snapshot(real, topic).records(since_ms=3_000)) == [b"2", b"3", b"4"]
    assert values(snapshot(real, topic).records(since_ms=9_000)) == []
    assert len(values(snapshot(real, topic).records(since_ms=-(10**30)))) == 5
    assert values(snapshot(real, topic).records(since_ms=10**15)) == []


def test_one_record_by_its_place(real: RealBroker) -> None:
    """In any order; a marker, the end and a partition that is not there hold none."""
    topic = real.topic(2)
    real.produce(OutRecord(topic, b"k", b"0", HEADERS, OLD_MS), 1)
    real.produce(OutRecord(topic, None, b"1"), 1)
    there = snapshot(real, topic)
    assert [there.record(1, 1), there.record(0, 0), there.record(1, 2), there.record(9, 0)][1:] == [None, None, None]
    assert there.record(1, 0) == Record(topic, 1, 0, b"k", b"0", OLD_MS, HEADERS)
    assert there.record(1, 1) is not None
    marked = real.topic()
    committed(real, marked, b"1")
    assert snapshot(real, marked).record(0, 1) is None


def test_a_topic_that_is_not_there(real: RealBroker) -> None:
    """The message names it."""
    with pytest.raises(RetryableError, match="no such topic: nowhere"):
        TopicSnapshot(real.settings, "nowhere")


def test_records_are_sent_to_their_partition_with_all_they_had(real: RealBroker) -> None:
    """Key, time and headers; without a partition the key decides, the same one each time."""
    topic, resender = real.topic(4), Resender(real.settings)
    for partition in (3, 0):
        resender.send(f"p{partition}", OutRecord(topic, b"k", b"%d" % partition, HEADERS, OLD_MS), partition)
    for number in range(5):
        resender.send(f"n{number}", OutRecord(topic, b"k", b"by key"), None)
    resender.flush()
    assert (resender.delivered, resender.failed, resender.failures) == (7, 0, {})
    found = real.records(topic, 7)
    kept = {r.partition: (r.key, r.value, r.headers, r.timestamp_ms) for r in found if r.value != b"by key"}
    assert kept == {p: (b"k", b"%d" % p, HEADERS, OLD_MS) for p in (3, 0)}
    assert len({r.partition for r in found if r.value == b"by key"}) == 1


def test_what_cannot_be_delivered_is_named_and_the_rest_goes_on(real: RealBroker) -> None:
    """Too large for the client, too large for the topic, no such partition: each by its name, and why."""
    topic = real.topic(1, **{"max.message.bytes": "20000"})
    resender = Resender(real.settings)
    resender.send("client", OutRecord(topic, None, b"x" * (real.settings.message_max_bytes + 1)), 0)
    resender.send("broker", OutRecord(topic, None, b"x" * 100_000), 0)
    resender.flush()
    resender.send("good", OutRecord(topic, None, b"x"), 0)
    resender.flush()
    assert (resender.delivered, resender.failed, set(resender.failures)) == (1, 2, {"client", "broker"})
    assert all("too large" in why.lower() or "size" in why.lower() for why in resender.failures.values())


def test_partitions_of_a_topic(real: RealBroker) -> None:
    """None, where there is no such topic; asking does not make it."""
    topic, resender = real.topic(3), Resender(real.settings)
    assert [resender.partitions(name) for name in (topic, "nowhere", topic, "nowhere")] == [3, 0, 3, 0]


def test_a_header_name_that_is_no_utf8_ends_nothing(real: RealBroker) -> None:
    """The binding cannot read such headers (SystemError); the record is delivered all the same, and says so."""
    topic = real.topic()
    for number in range(10):  # CPython calls differently once it is warm, and lets the error through elsewhere
        for name in (b"\xff\xfe", b"name"):
            produce_with_header(real.settings.bootstrap_servers, topic, b"%d" % number, name)
    expected = [headers for _ in range(10) for headers in ((UNREADABLE_HEADERS,), (("name", b"v"),))]
    assert [record.headers for record in snapshot(real, topic).records()] == expected
    assert [record.headers for record in real.records(topic, 20)] == expected
