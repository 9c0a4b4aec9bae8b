"""What the contract suite (tests/contract/test_kafka.py) does not say of the broker in memory: how it fails on purpose."""

from collections.abc import Mapping, Sequence
from typing import Literal

import pytest

from worker.errors import AbortedError, FatalError
from worker.messages import OutRecord, TopicPartition
from worker.testing.broker import GroupMetadata, InMemoryAtLeastOnceSink, InMemoryBroker, InMemorySink, InMemorySource

ZERO = TopicPartition("in", 0)


class Listener:
    """Hears and keeps."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, int]] = []

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Keep."""
        self.heard.append(("assigned", len(partitions)))
        return {}

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Keep."""
        self.heard.append(("revoked", len(partitions)))

    def on_lost(self, partitions: Sequence[TopicPartition]) -> None:
        """Keep."""
        self.heard.append(("lost", len(partitions)))


def member(broker: InMemoryBroker) -> tuple[InMemorySource, Listener]:
    """A member of the group `g`."""
    source, listener = InMemorySource(broker, "g"), Listener()
    source.subscribe(["in"], listener)
    return source, listener


def test_the_next_commit_can_be_rolled_back() -> None:
    """Once: nothing visible, no offset, offsets used up; the one after works."""
    broker = InMemoryBroker({"in": 1, "out": 1})
    source, _ = member(broker)
    source.poll(1, 0)
    sink = InMemorySink(broker)
    sink.fail_next = "abort"
    with pytest.raises(AbortedError):
        sink.commit([OutRecord("out", None, b"1")], {ZERO: 1}, source.group_metadata())
    assert (broker.records("out"), broker.committed("g"), sink.commits) == ([], {}, 0)
    sink.commit([OutRecord("out", None, b"2")], {ZERO: 1}, source.group_metadata())
    assert [(record.offset, record.value) for record in broker.records("out")] == [(2, b"2")]
    assert (broker.committed("g"), sink.commits) == ({ZERO: 1}, 1)


@pytest.mark.parametrize(("failure", "visible"), [("delivery", [b"1"]), ("commit", [b"1", b"2"])])
def test_without_transactions_what_was_written_stays(failure: Literal["delivery", "commit"], visible: list[bytes]) -> None:
    """Half of it or all of it is visible, and no offset has moved; done again, it comes twice."""
    broker = InMemoryBroker({"in": 1, "out": 1})
    source, _ = member(broker)
    source.poll(1, 0)
    sink = InMemoryAtLeastOnceSink(broker)
    sink.fail_next = failure
    records = [OutRecord("out", None, b"1"), OutRecord("out", None, b"2")]
    with pytest.raises(AbortedError):
        sink.commit(records, {ZERO: 1}, source.group_metadata())
    assert ([record.value for record in broker.records("out")], broker.committed("g"), sink.commits) == (visible, {}, 0)
    sink.commit(records, {ZERO: 1}, source.group_metadata())
    assert [record.value for record in broker.records("out")] == [*visible, b"1", b"2"]
    assert (broker.committed("g"), sink.commits) == ({ZERO: 1}, 1)


def test_the_next_commit_can_be_fatal() -> None:
    """Nothing of it takes effect."""
    broker = InMemoryBroker({"in": 1, "out": 1})
    source, _ = member(broker)
    sink = InMemorySink(broker)
    sink.fail_next = "fatal"
    with pytest.raises(FatalError):
        sink.commit([OutRecord("out", None, b"1")], {ZERO: 1}, source.group_metadata())
    assert (broker.records("out"), broker.committed("g")) == ([], {})


def test_an_old_generation_is_fenced() -> None:
    """Whoever does not yet know of a rebalance cannot commit."""
    broker = InMemoryBroker({"in": 1})
    source, _ = member(broker)
    source.poll(1, 0)
    old = source.group_metadata()
    broker.rebalance("g")
    with pytest.raises(AbortedError):
        broker.transact([], {ZERO: 1}, old)
    source.poll(1, 0)
    broker.transact([], {ZERO: 1}, source.group_metadata())
    assert broker.committed("g") == {ZERO: 1}


def test_metadata_of_another_broker_is_a_fault() -> None:
    """A test that mixes them up finds out."""
    with pytest.raises(FatalError, match="not of this broker"):
        InMemorySink(InMemoryBroker({"in": 1})).commit([], {ZERO: 1}, b"librdkafka's")


def test_a_partition_waits_for_its_owner_to_let_it_go() -> None:
    """As in cooperative rebalancing: two members never have one partition, unless the owner was lost."""
    broker = InMemoryBroker({"in": 2})
    for number in range(4):
        broker.produce(OutRecord("in", None, b"%d" % number), number % 2)
    first, heard = member(broker)
    assert len(first.poll(10, 0)) == 4
    second, _ = member(broker)
    assert second.poll(10, 0) == []
    first.poll(10, 0)
    assert [record.value for record in second.poll(10, 0)] == [b"1", b"3"]
    assert heard.heard == [("assigned", 2), ("revoked", 1), ("assigned", 0)]


def test_a_lost_partition_is_read_by_another_at_once() -> None:
    """The old owner hears of it after the new one has begun."""
    broker = InMemoryBroker({"in": 2})
    first, heard = member(broker)
    first.poll(10, 0)
    second, _ = member(broker)
    broker.rebalance("g", lost=True)
    broker.produce(OutRecord("in", None, b"x"), 1)
    assert [record.value for record in second.poll(10, 0)] == [b"x"]
    assert first.poll(10, 0) == []
    assert ("lost", 1) in heard.heard


def test_a_rebalance_resumes() -> None:
    """Nothing stays paused: the worst that a real client does."""
    broker = InMemoryBroker({"in": 1})
    source, _ = member(broker)
    source.poll(1, 0)
    source.pause([ZERO])
    assert source.paused == {ZERO}
    broker.rebalance("g")
    source.poll(1, 0)
    assert source.paused == frozenset()


def test_one_key_one_partition() -> None:
    """By key, always the same; timestamps default to the broker's clock."""
    broker = InMemoryBroker({"in": 8})
    assert len({broker.send("in", b"v", key=b"k") for _ in range(5)}) == 1
    assert {record.timestamp_ms for record in broker.records("in")} == {broker.now_ms}


def test_metadata_names_group_and_generation() -> None:
    """It changes with each rebalance that the member has heard of."""
    broker = InMemoryBroker({"in": 1})
    source, _ = member(broker)
    source.poll(1, 0)
    assert source.group_metadata() == GroupMetadata("g", 1)
