"""The rules of `worker.ports.Source` and `Sink`, held by the broker in memory and by a real Kafka with both group protocols."""

import random
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from types import SimpleNamespace
from typing import Any

import confluent_kafka as ck
import pytest
from structlog.testing import capture_logs

from tests.conftest import Names
from tests.contract.kafka_brokers import Broker, Member, MemoryBroker, RealBroker, Recorder, fill, until
from worker.adapters.kafka import KafkaSource, PlainProducer, PlainReader, create_topics, inspect, require_topics
from worker.adapters.kafka.source import Membership
from worker.errors import AbortedError, FatalError, RetryableError, SettingsError
from worker.messages import OutRecord, TopicPartition
from worker.settings import KafkaSettings, Topics
from worker.testing.broker import InMemorySource

REAL = pytest.mark.real
GROUP = "g"


@pytest.fixture
def real(real_kafka_bootstrap: str) -> Iterator[RealBroker]:
    """The real Kafka, with the classic group protocol."""
    with ExitStack() as stack:
        yield RealBroker(real_kafka_bootstrap, stack)


@pytest.fixture(params=["memory", pytest.param("classic", marks=REAL), pytest.param("consumer", marks=REAL)])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """Each broker in turn."""
    if request.param == "memory":
        yield MemoryBroker()
        return
    with ExitStack() as stack:
        yield RealBroker(request.getfixturevalue("real_kafka_bootstrap"), stack, group_protocol=request.param)


IN_MEMORY = ("memory", "memory_at_least_once")
ON_KAFKA = ("classic", "consumer", "classic_at_least_once", "consumer_at_least_once")


@pytest.fixture(params=[*IN_MEMORY, *(pytest.param(name, marks=REAL) for name in ON_KAFKA)])
def writing(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """Each broker in turn, with either kind of sink: for rules that do not need a rollback."""
    where, _, doubly = request.param.partition("_")
    if where == "memory":
        yield MemoryBroker(at_least_once=bool(doubly))
        return
    with ExitStack() as stack:
        bootstrap = request.getfixturevalue("real_kafka_bootstrap")
        yield RealBroker(bootstrap, stack, at_least_once=bool(doubly), group_protocol=where)


@pytest.fixture(params=["classic", "consumer"])
def untransacted(request: pytest.FixtureRequest, real_kafka_bootstrap: str) -> Iterator[RealBroker]:
    """The real Kafka, written to without transactions."""
    with ExitStack() as stack:
        yield RealBroker(real_kafka_bootstrap, stack, at_least_once=True, group_protocol=request.param)


def out(value: bytes, topic: str) -> OutRecord:
    """A record to produce."""
    return OutRecord(topic, b"key", value)


def offsets_of(broker: Broker, topic: str, count: int) -> list[int]:
    """The offsets at which a reader of the topic finds records."""
    return [record.offset for record in broker.records(topic, count)]


ODD = [
    OutRecord("", b"k", b"v", (("h", b"1"),), 1_700_000_000_123),
    OutRecord("", None, b"v", (), 5),
    OutRecord("", b"", b"", (("empty", b""), ("none", None)), 5),
    OutRecord("", b"k", None, (("same", b"1"), ("same", b"2"), ("", b"\xff\x00")), 5),
    OutRecord("", b"\x00\xff", b"\xff\x00" * 1_000, (("\U0001f680", "é".encode()),), 5),
]


def test_records_arrive_as_they_were_sent(broker: Broker) -> None:
    """Key, value, headers and timestamp, None and empty told apart, in the order of their offsets."""
    topic = broker.topic()
    for record in ODD:
        broker.produce(OutRecord(topic, record.key, record.value, record.headers, record.timestamp_ms))
    records = Member(broker.source(GROUP), topic).read(len(ODD))
    assert [(r.key, r.value, r.headers, r.timestamp_ms) for r in records] == [
        (r.key, r.value, r.headers, r.timestamp_ms) for r in ODD
    ]
    assert [(r.topic, r.partition, r.offset) for r in records] == [(topic, 0, offset) for offset in range(len(ODD))]


def test_what_a_transaction_writes_arrives_as_it_was_sent(writing: Broker) -> None:
    """The same through a sink: this is the way of a dead letter."""
    topic, sink = writing.topic(), writing.sink()
    member = Member(writing.source(GROUP), writing.topic())
    until(lambda: bool(member.assigned), member)
    sink.commit(
        [OutRecord(topic, r.key, r.value, r.headers, r.timestamp_ms) for r in ODD],
        {member.assigned[0]: 0},
        member.source.group_metadata(),
    )
    seen = [(r.key, r.value, r.headers, r.timestamp_ms) for r in writing.records(topic, len(ODD))]
    assert seen == [(r.key, r.value, r.headers, r.timestamp_ms) for r in ODD]


def test_poll_returns_no_more_than_asked(broker: Broker) -> None:
    """In any number of polls nothing is skipped."""
    topic = broker.topic(2)
    fill(broker, topic, 7)
    fill(broker, topic, 7, partition=1)
    member = Member(broker.source(GROUP), topic)
    deadline = time.monotonic() + 40
    while len(member.records) < 14 and time.monotonic() < deadline:
        member.poll(3)
    for partition in range(2):
        assert member.values(TopicPartition(topic, partition)) == [b"%d" % number for number in range(7)]


def test_without_a_committed_offset_a_group_begins_at_the_start(broker: Broker) -> None:
    """Nothing that was sent before the first worker came is skipped."""
    topic = broker.topic()
    fill(broker, topic, 3)
    member = Member(broker.source(GROUP), topic)
    assert [record.offset for record in member.read(3)] == [0, 1, 2]
    assert member.source.committed(member.assigned) == {TopicPartition(topic, 0): None}


def test_a_restart_goes_on_at_the_committed_offset(writing: Broker) -> None:
    """The committed offset is the next one to read, not the last one read."""
    topic, answers = writing.topic(), writing.topic()
    fill(writing, topic, 5)
    first = Member(writing.source(GROUP), topic)
    first.read(5)
    writing.sink().commit([out(b"a", answers)], {TopicPartition(topic, 0): 3}, first.source.group_metadata())
    assert first.source.committed(first.assigned) == {TopicPartition(topic, 0): 3}
    first.source.close()
    second = Member(writing.source(GROUP), topic)
    assert [record.offset for record in second.read(2)] == [3, 4]
    assert [record.value for record in writing.records(answers, 1)] == [b"a"]


def test_groups_do_not_share_offsets(writing: Broker) -> None:
    """Another group reads everything."""
    topic = writing.topic()
    fill(writing, topic, 2)
    first = Member(writing.source(GROUP), topic)
    first.read(2)
    writing.sink().commit([], {TopicPartition(topic, 0): 2}, first.source.group_metadata())
    assert len(Member(writing.source("another"), topic).read(2)) == 2


def test_offsets_can_be_committed_without_records(writing: Broker) -> None:
    """Input may produce nothing, and is done all the same."""
    topic = writing.topic(2)
    member = Member(writing.source(GROUP), topic)
    until(lambda: len(member.assigned) == 2, member)
    writing.sink().commit([], {TopicPartition(topic, 1): 7}, member.source.group_metadata())
    assert member.source.committed(member.assigned) == {TopicPartition(topic, 0): None, TopicPartition(topic, 1): 7}


def fenced(broker: Broker, topic: str) -> tuple[Member, object, TopicPartition]:
    """A member, its group's metadata from before a second member came, and the partition that this one took over."""
    first = Member(broker.source(GROUP), topic)
    until(lambda: len(first.assigned) == 2, first)
    stale = first.source.group_metadata()
    second = Member(broker.source(GROUP), topic)
    until(lambda: len(first.assigned) == len(second.assigned) == 1, first, second)
    return first, stale, second.assigned[0]


def test_a_fenced_generation_commits_nothing(broker: Broker) -> None:
    """What was begun before a rebalance is rolled back: no record visible, no offset moved; the next transaction works."""
    topic, answers, sink = broker.topic(2), broker.topic(), broker.sink()
    fill(broker, topic, 3)
    first, stale, gone = fenced(broker, topic)
    with pytest.raises(AbortedError):
        sink.commit([out(b"ghost", answers)], {gone: 1}, stale)
    assert first.source.committed([gone]) == {gone: None}
    (mine,) = first.assigned
    sink.commit([out(b"real", answers)], {mine: 2}, first.source.group_metadata())
    assert first.source.committed([mine]) == {mine: 2}
    assert [record.value for record in broker.records(answers, 1)] == [b"real"]


def test_offsets_have_gaps(broker: Broker) -> None:
    """Markers and rolled back records take offsets that no reader sees; readers go past them."""
    topic, answers, sink = broker.topic(2), broker.topic(), broker.sink()
    first, stale, gone = fenced(broker, topic)
    sink.commit([out(b"0", answers), out(b"1", answers)], {}, first.source.group_metadata())
    with pytest.raises(AbortedError):
        sink.commit([out(b"ghost", answers)], {gone: 1}, stale)
    sink.commit([out(b"5", answers)], {}, first.source.group_metadata())
    found = broker.records(answers, 3)
    assert [record.value for record in found] == [b"0", b"1", b"5"]
    assert [record.offset for record in found[:2]] == [0, 1]
    assert found[2].offset > 3
    reader = Member(broker.source("readers"), answers)
    assert [record.offset for record in reader.read(3)] == [record.offset for record in found]


def test_after_a_rollback_the_same_records_come_again(writing: Broker) -> None:
    """Rewound to the committed offset, or to the start where there is none."""
    topic, sink = writing.topic(2), writing.sink()
    fill(writing, topic, 4)
    fill(writing, topic, 2, partition=1)
    member = Member(writing.source(GROUP), topic)
    member.read(6)
    sink.commit([], {TopicPartition(topic, 0): 3}, member.source.group_metadata())
    member.source.rewind(member.assigned)
    again = member.read(3)
    assert [(r.partition, r.offset) for r in sorted(again, key=lambda r: (r.partition, r.offset))] == [(0, 3), (1, 0), (1, 1)]


def test_seek(broker: Broker) -> None:
    """Reading goes on where it is told to, forwards and back; other partitions are not touched."""
    topic = broker.topic(2)
    fill(broker, topic, 5)
    fill(broker, topic, 1, partition=1)
    member = Member(broker.source(GROUP), topic)
    member.read(6)
    for offset in (1, 4):
        member.source.seek({TopicPartition(topic, 0): offset})
        assert [record.offset for record in member.read(5 - offset)] == list(range(offset, 5))
    assert len(member.values(TopicPartition(topic, 1))) == 1


def test_the_listener_says_where_to_start(writing: Broker) -> None:
    """Offsets that live elsewhere win over the group's; partitions it does not name start at the committed ones."""
    topic = writing.topic(2)
    fill(writing, topic, 4)
    fill(writing, topic, 4, partition=1)
    zero, one = TopicPartition(topic, 0), TopicPartition(topic, 1)
    first = Member(writing.source(GROUP), topic)
    first.read(8)
    writing.sink().commit([], {zero: 1, one: 3}, first.source.group_metadata())
    first.source.close()
    second = Member(writing.source(GROUP), topic, Recorder({zero: 2}))
    second.read(3)
    assert second.values(zero) == [b"2", b"3"]
    assert second.values(one) == [b"3"]


@pytest.mark.parametrize(
    ("timestamp_ms", "offset"), [(0, 0), (1_000, 0), (1_001, 1), (3_000, 2), (3_001, 3), (10**12, 3), (1 << 62, 3)]
)
def test_offsets_by_time(broker: Broker, timestamp_ms: int, offset: int) -> None:
    """The first offset at or after the time, the end offset where there is none."""
    topic = broker.topic(2)
    fill(broker, topic, 3)
    member = Member(broker.source(GROUP), topic)
    until(lambda: len(member.assigned) == 2, member)
    expected = {TopicPartition(topic, 0): offset, TopicPartition(topic, 1): 0}
    assert member.source.offsets_at(member.assigned, timestamp_ms) == expected


def test_a_paused_partition_is_silent(broker: Broker) -> None:
    """Polling goes on, other partitions too; resumed, it goes on where it stood."""
    topic = broker.topic(2)
    zero, one = TopicPartition(topic, 0), TopicPartition(topic, 1)
    member = Member(broker.source(GROUP), topic)
    until(lambda: len(member.assigned) == 2, member)
    member.source.pause([zero])
    fill(broker, topic, 3)
    fill(broker, topic, 3, partition=1)
    member.read(3)
    for _ in range(5):
        member.poll()
    assert (member.values(zero), len(member.values(one))) == ([], 3)
    member.source.resume([zero])
    member.read(3)
    assert member.values(zero) == [b"0", b"1", b"2"]


def test_pausing_nothing_is_allowed(broker: Broker) -> None:
    """A worker whose partitions all went has none to pause or to rewind."""
    member = Member(broker.source(GROUP), broker.topic())
    until(lambda: bool(member.assigned), member)
    member.source.pause([])
    member.source.resume([])
    member.source.rewind([])
    assert member.source.committed([]) == {}
    assert member.source.offsets_at([], 0) == {}


def test_paused_again_after_a_rebalance_it_stays_silent(broker: Broker) -> None:
    """Partitions come unpaused; a worker that is full pauses all it has, old and new, at once."""
    topic = broker.topic(2)
    first, second = Member(broker.source(GROUP), topic), Member(broker.source(GROUP), topic)
    until(lambda: len(first.assigned) == len(second.assigned) == 1, first, second)
    first.source.pause(first.assigned)
    second.source.close()
    until(lambda: len(first.assigned) == 2, first)
    first.source.pause(first.assigned)
    fill(broker, topic, 3)
    fill(broker, topic, 3, partition=1)
    for _ in range(5):
        first.poll()
    assert first.values() == []
    first.source.resume(first.assigned)
    assert len(first.read(6)) == 6


def test_what_went_away_paused_comes_back_unpaused(broker: Broker) -> None:
    """A worker that held back, went on without the partition, and has it again resumes nothing: it knows of no pause."""
    topic = broker.topic(2)
    first = Member(broker.source(GROUP), topic)
    until(lambda: len(first.assigned) == 2, first)
    first.source.pause(first.assigned)
    second = Member(broker.source(GROUP), topic)
    until(lambda: len(first.assigned) == len(second.assigned) == 1, first, second)
    first.source.resume(first.assigned)
    second.source.close()
    until(lambda: len(first.assigned) == 2, first)
    fill(broker, topic, 3)
    fill(broker, topic, 3, partition=1)
    assert len(first.read(6)) == 6


def test_members_share_the_partitions(writing: Broker) -> None:
    """Each record goes to one member; a member that leaves hands its partitions on, where it had committed."""
    topic, sink = writing.topic(2), writing.sink()
    first, second = Member(writing.source(GROUP), topic), Member(writing.source(GROUP), topic)
    until(lambda: len(first.assigned) == len(second.assigned) == 1, first, second)
    assert first.assigned != second.assigned
    fill(writing, topic, 3)
    fill(writing, topic, 3, partition=1)
    until(lambda: len(first.records) == len(second.records) == 3, first, second)
    (handed_on,) = second.assigned
    sink.commit([], {handed_on: 2}, second.source.group_metadata())
    second.source.close()
    until(lambda: len(first.values(handed_on)) == 1, first)
    assert first.values(handed_on) == [b"2"]
    assert second.listener.heard[-1] == ("revoked", (handed_on,))


def test_all_partitions_of_a_topic_are_told_whoever_has_them(broker: Broker) -> None:
    """In order, those of other members and of nobody too."""
    topic, member = broker.topic(3), Member(broker.source(GROUP), broker.topic())
    until(lambda: bool(member.assigned), member)
    assert member.source.partitions(topic) == [TopicPartition(topic, number) for number in range(3)]


def test_a_revoked_partition_is_still_ours_while_we_are_told(writing: Broker) -> None:
    """What is committed from within `on_revoked` counts: the next owner starts behind it."""
    topic, answers, sink = writing.topic(2), writing.topic(), writing.sink()
    fill(writing, topic, 4)
    fill(writing, topic, 4, partition=1)
    first = Member(writing.source(GROUP), topic)
    first.read(8)
    done = dict.fromkeys(first.assigned, 3)
    first.listener.when_revoked = lambda _gone: sink.commit([out(b"late", answers)], done, first.source.group_metadata())
    second = Member(writing.source(GROUP), topic)
    until(lambda: len(second.records) == 1, first, second)
    first.listener.when_revoked = lambda _gone: None  # or it would commit once more as it is closed, what is no longer its own
    assert second.values() == [b"3"]
    assert [record.value for record in writing.records(answers, 1)] == [b"late"]


def test_leaving_is_told_and_may_still_commit(writing: Broker) -> None:
    """`close` revokes, so that a worker that stops publishes what it has done."""
    topic, sink = writing.topic(), writing.sink()
    fill(writing, topic, 4)
    first = Member(writing.source(GROUP), topic)
    first.read(4)
    first.listener.when_revoked = lambda _: sink.commit([], {TopicPartition(topic, 0): 3}, first.source.group_metadata())
    first.source.close()
    assert first.listener.heard[-1] == ("revoked", (TopicPartition(topic, 0),))
    assert [record.value for record in Member(writing.source(GROUP), topic).read(1)] == [b"3"]


def test_a_rewind_within_a_rebalance_skips_nothing(broker: Broker) -> None:
    """Rolled back while being told of a rebalance: records fetched before come again, none of them out of turn."""
    topic = broker.topic(4)
    partitions = [TopicPartition(topic, number) for number in range(4)]
    for partition in partitions:
        fill(broker, topic, 50, partition.partition)
    first = Member(broker.source(GROUP), topic)
    until(lambda: len(first.records) >= 20, first)
    marks: list[int] = []

    def roll_back(gone: Sequence[TopicPartition]) -> None:
        first.source.rewind(sorted(first.listener.assigned - set(gone)))
        marks.append(len(first.records))

    first.listener.when_revoked = roll_back
    second = Member(broker.source(GROUP), topic)
    until(lambda: len(second.assigned) == 2, _small(first), second)
    until(lambda: len(first.records) - marks[0] >= 100 and len(second.records) == 100, first, second)
    for partition in first.assigned:
        again = [record.offset for record in first.records[marks[0] :] if record.topic_partition == partition]
        assert again == list(range(50))


class _Message:
    """A message as librdkafka hands it over."""

    def __init__(self, partition: int, offset: int) -> None:
        self.partition, self.offset = (lambda: partition), (lambda: offset)
        self.topic, self.error, self.headers = (lambda: "t"), (lambda: None), (lambda: None)
        self.key, self.value, self.timestamp = (lambda: None), (lambda: b"v"), (lambda: (1, 5))


class _Consumer:
    """A consumer that is told of a rebalance between the first message of a poll and the rest, as a real one may be."""

    def __init__(self, _config: dict[str, Any]) -> None:
        self.sought: list[tuple[int, int]] = []

    def subscribe(self, _topics: list[str], **callbacks: Any) -> None:
        """Keep the callbacks."""
        self.callbacks = callbacks
        callbacks["on_assign"](self, [ck.TopicPartition("t", partition) for partition in range(3)])

    def poll(self, _timeout_s: float) -> _Message:
        """The first."""
        return _Message(0, 40)

    def consume(self, _count: int, _timeout_s: float) -> list[_Message]:
        """The rest, fetched before and after partition 2 goes."""
        self.callbacks["on_revoke"](self, [ck.TopicPartition("t", 2)])
        return [_Message(0, 41), _Message(1, 7), _Message(2, 3)]

    def seek(self, partition: ck.TopicPartition) -> None:
        """Keep where to."""
        self.sought.append((partition.partition, partition.offset))

    def committed(self, partitions: list[ck.TopicPartition], timeout: float) -> list[ck.TopicPartition]:
        """Nothing is committed."""
        assert timeout > 0
        return partitions

    def incremental_assign(self, partitions: list[ck.TopicPartition]) -> None:
        """Nothing to do."""

    incremental_unassign = resume = incremental_assign


def test_what_was_fetched_before_a_rewind_is_not_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rolled back in the middle of a poll: records behind the new position would pass for its successors, and skip it.

    The one rule here that no real broker can be made to show at will.
    """
    monkeypatch.setattr(ck, "Consumer", _Consumer)
    source, listener = KafkaSource(KafkaSettings(), GROUP), Recorder()
    source.subscribe(["t"], listener)
    listener.when_revoked = lambda _gone: source.seek({TopicPartition("t", 0): 5})
    assert [(record.partition, record.offset) for record in source.poll(10, 0)] == [(1, 7)]
    assert source._consumer.sought == [(0, 5), (0, 5)]  # type: ignore[attr-defined]


class _Blocked(_Consumer):
    """A consumer whose committed offsets cannot be told at first: a transaction is open over partition 1."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self.asked = 0
        self.begun: list[tuple[int, int]] = []

    def committed(self, partitions: list[ck.TopicPartition], timeout: float) -> list[Any]:
        """The third time the transaction is over."""
        assert timeout > 0
        self.asked += 1
        error = None if self.asked > 2 else ck.KafkaError(ck.KafkaError.UNSTABLE_OFFSET_COMMIT)
        offsets = {0: (2, None), 1: (ck.OFFSET_INVALID if error else 7, error), 2: (ck.OFFSET_INVALID, None)}
        return [
            SimpleNamespace(topic="t", partition=n, offset=offsets[n][0], error=offsets[n][1]) for n in range(len(partitions))
        ]

    def incremental_assign(self, partitions: list[ck.TopicPartition]) -> None:
        """Keep where each begins."""
        self.begun = [(partition.partition, partition.offset) for partition in partitions]


def test_a_partition_whose_offset_cannot_be_told_yet_does_not_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins where the group turns out to stand; librdkafka itself may begin it anew when others join meanwhile.

    That it does so depends on its inner timing, which no real broker can be made to show at will.
    """
    monkeypatch.setattr(ck, "Consumer", _Blocked)
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    source = KafkaSource(KafkaSettings(), GROUP)
    source.subscribe(["t"], Recorder())
    assert source._consumer.begun == [(0, 2), (1, 7), (2, ck.OFFSET_BEGINNING)]  # type: ignore[attr-defined]


def _small(member: Member, most: int = 3) -> Member:
    """Let the member poll a few records at a time, so that some are left when the rebalance comes."""
    usual = member.poll
    member.poll = lambda most=most, timeout_s=0.0: usual(most, timeout_s)  # type: ignore[method-assign]
    return member


def test_a_lost_partition_is_told_as_lost(broker: Broker) -> None:
    """A member that was silent for too long finds its partitions gone; what it then commits is rolled back."""
    topic, answers, sink = broker.topic(2), broker.topic(), broker.sink()
    fill(broker, topic, 2)
    fill(broker, topic, 2, partition=1)
    first = Member(broker.source(GROUP), topic)
    first.read(4)
    stale, mine = first.source.group_metadata(), first.assigned
    second = Member(broker.source(GROUP), topic)
    if isinstance(broker, MemoryBroker):
        broker.broker.rebalance(GROUP, lost=True)
    until(lambda: len(second.values()) >= 2, second)
    with pytest.raises(AbortedError):
        sink.commit([out(b"ghost", answers)], dict.fromkeys(mine, 2), stale)
    until(lambda: any(what == "lost" for what, _ in first.listener.heard), first, second)
    until(lambda: len(first.assigned) == len(second.assigned) == 1, first, second)
    assert first.source.committed(mine) == dict.fromkeys(mine)


def test_closing_twice_does_no_harm(writing: Broker) -> None:
    """A stack that takes parts down may meet one that is down."""
    member, sink = Member(writing.source(GROUP), writing.topic()), writing.sink()
    until(lambda: bool(member.assigned), member)
    member.source.close()
    member.source.close()
    sink.close()
    sink.close()


def test_a_seek_holds_through_a_pause(broker: Broker) -> None:
    """Rewound and held back in either order, as a worker does that is full or whose model is away: nothing is passed over."""
    topic = broker.topic()
    zero = TopicPartition(topic, 0)
    fill(broker, topic, 6)
    member = Member(broker.source(GROUP), topic)
    member.read(6)
    for order in ("seek, pause", "pause, seek", "pause, resume, seek, pause"):
        member.poll()
        for step in order.split(", "):
            {"seek": lambda: member.source.seek({zero: 2}), "pause": lambda: member.source.pause([zero])}.get(
                step, lambda: member.source.resume([zero])
            )()
        before = len(member.records)
        for _ in range(3):
            member.poll()
        assert len(member.records) == before, order
        member.source.resume([zero])
        assert [record.offset for record in member.read(4)] == [2, 3, 4, 5], order


HOW = ("committed", "told", "sought")


def stands_at(broker: Broker, topic: str, offset: int, how: str) -> Member:
    """A member that is to read on at this offset: the group's, the listener's own, or one that it seeks."""
    zero = TopicPartition(topic, 0)
    if how == "committed":
        first = Member(broker.source(GROUP), topic)
        until(lambda: bool(first.assigned), first)
        broker.sink().commit([], {zero: offset}, first.source.group_metadata())
        first.source.close()
    member = Member(broker.source(GROUP), topic, Recorder({zero: offset} if how == "told" else {}))
    if how == "sought":
        until(lambda: bool(member.assigned), member)
        member.source.seek({zero: offset})
    return member


def expired(member: Member) -> int:
    """How many offsets it found gone."""
    assert isinstance(member.source, KafkaSource | InMemorySource)
    return member.source.expired


@pytest.mark.parametrize("how", HOW)
def test_an_offset_past_the_end_is_no_word_for_the_beginning(broker: Broker, how: str) -> None:
    """A log that lost its end, or a topic made anew, is not read again from its start: the error says what to do."""
    topic = broker.topic()
    fill(broker, topic, 3)
    with pytest.raises(FatalError, match=rf"{topic}-0 is to be read on at offset 4, but ends at 3") as told:
        until(lambda: False, stands_at(broker, topic, 4, how))
    assert not broker.is_real or "kafka-consumer-groups.sh --reset-offsets" in str(told.value)


@pytest.mark.parametrize("how", HOW)
def test_the_end_itself_is_a_place_to_read_on(broker: Broker, how: str) -> None:
    """A group that is done with all there is waits for what comes."""
    topic = broker.topic()
    fill(broker, topic, 3)
    member = stands_at(broker, topic, 3, how)
    until(lambda: bool(member.assigned), member)
    if how != "sought":  # nothing of what lies before was ever asked for
        assert member.poll() == []
    before = len(member.records)
    broker.produce(out(b"next", topic))
    member.read(1)
    assert [record.value for record in member.records[before:]] == [b"next"]


@pytest.mark.parametrize("how", HOW)
def test_what_expired_unread_is_told_and_counted(broker: Broker, how: str) -> None:
    """Retention overtook the worker: how much is lost is said at once, and reading goes on where the log begins."""
    topic = broker.topic()
    fill(broker, topic, 6)
    broker.expire(topic, 4)
    with capture_logs() as logged:
        member = stands_at(broker, topic, 1, how)
        until(lambda: expired(member) > 0, member)
    lines = [line for line in logged if line["event"] == "records expired unread"]
    assert lines == [
        {
            "event": "records expired unread",
            "log_level": "error",
            "partition": f"{topic}-0",
            "first": 1,
            "upto": 4,
            "offsets": 3,
        }
    ]
    until(lambda: member.values()[-2:] == [b"4", b"5"], member)
    assert expired(member) == 3


def test_what_expired_before_the_group_was_there_is_no_loss(broker: Broker) -> None:
    """A group without offsets begins where the log does, and so does one that is rewound."""
    topic = broker.topic()
    fill(broker, topic, 6)
    broker.expire(topic, 4)
    member = Member(broker.source(GROUP), topic)
    assert [record.offset for record in member.read(2)] == [4, 5]
    member.source.rewind(member.assigned)
    assert [record.offset for record in member.read(2)] == [4, 5]
    assert expired(member) == 0


def test_what_expires_while_paused_is_told_when_resumed(broker: Broker) -> None:
    """The partition stays paused meanwhile, the others go on, and afterwards it can be paused and sought as ever."""
    topic = broker.topic(2)
    zero, one = TopicPartition(topic, 0), TopicPartition(topic, 1)
    fill(broker, topic, 8)
    member = Member(broker.source(GROUP), topic)
    until(lambda: len(member.values(zero)) == 2, _small(member, most=1))
    member.source.pause([zero])
    broker.expire(topic, 6)
    fill(broker, topic, 2, partition=1)
    until(lambda: len(member.values(one)) == 2, member)
    assert len(member.values(zero)) == 2
    member.source.resume([zero])
    until(lambda: len(member.values(zero)) == 4, member)
    assert member.values(zero) == [b"0", b"1", b"6", b"7"]
    assert expired(member) == 4
    member.source.pause([zero])
    member.source.seek({zero: 3})
    for _ in range(3):
        member.poll()
    assert (len(member.values(zero)), expired(member)) == (4, 4)
    member.source.resume([zero])
    until(lambda: len(member.values(zero)) == 6, member)
    assert (member.values(zero)[4:], expired(member)) == ([b"6", b"7"], 7)


def test_a_seek_is_good_whether_or_not_the_loss_was_heard_of(broker: Broker) -> None:
    """The client has given the partition up and we do not know yet; paused, it stays so."""
    topic = broker.topic()
    zero = TopicPartition(topic, 0)
    fill(broker, topic, 6)
    broker.expire(topic, 4)
    member = stands_at(broker, topic, 1, "sought")
    for _ in range(20):  # time for the broker to answer
        member.source.offsets_at([zero], 0)
    member.source.pause([zero])
    member.source.seek({zero: 5})
    before = len(member.records)
    for _ in range(3):
        member.poll()
    assert len(member.records) == before
    member.source.resume([zero])
    assert [record.offset for record in member.read(1)] == [5]
    assert expired(member) == 0


def test_members_come_and_go_after_a_loss(broker: Broker) -> None:
    """A partition that was begun again is handed on as any other."""
    topic = broker.topic(2)
    for partition in range(2):
        fill(broker, topic, 6, partition)
        broker.expire(topic, 4, partition)
    first = Member(broker.source(GROUP), topic, Recorder({TopicPartition(topic, number): 1 for number in range(2)}))
    until(lambda: len(first.values()) == 4, first)
    first.listener.starts.clear()
    second = Member(broker.source(GROUP), topic)
    until(lambda: len(first.assigned) == len(second.assigned) == 1, first, second)
    until(lambda: len(second.values()) == 2, first, second)
    second.source.close()
    until(lambda: len(first.assigned) == 2, first)
    assert expired(first) == 6
    assert first.values(first.assigned[0])[:2] == [b"4", b"5"]


def test_without_transactions_nothing_is_committed_that_was_not_delivered(untransacted: RealBroker) -> None:
    """What could not be delivered is told, the offsets stay, and the rewound worker produces all of it again."""
    answers = untransacted.topic(1, **{"max.message.bytes": "20000"})
    member, sink = joined(untransacted), untransacted.sink()
    (mine,) = member.assigned
    large = out(random.Random(0).randbytes(100_000), answers)
    with pytest.raises(AbortedError, match=r"(?i)could not be delivered.*too large"):
        sink.commit([out(b"1", answers), large], {mine: 1}, member.source.group_metadata())
    assert member.source.committed([mine]) == {mine: None}
    sink.commit([out(b"1", answers), out(b"2", answers)], {mine: 1}, member.source.group_metadata())
    assert member.source.committed([mine]) == {mine: 1}
    assert {record.value for record in untransacted.records(answers, 2)} == {b"1", b"2"}


def test_without_transactions_offsets_of_a_partition_that_went_are_left_alone(untransacted: RealBroker) -> None:
    """Records were delivered, and come again from the partition's new owner; only what is still ours is committed."""
    topic, answers, sink = untransacted.topic(2), untransacted.topic(), untransacted.sink()
    first, _, gone = fenced(untransacted, topic)
    (mine,) = first.assigned
    sink.commit([out(b"1", answers)], {gone: 3, mine: 2}, first.source.group_metadata())
    assert first.source.committed([gone, mine]) == {gone: None, mine: 2}
    assert [record.value for record in untransacted.records(answers, 1)] == [b"1"]


def test_without_transactions_a_member_that_was_lost_commits_nothing(untransacted: RealBroker) -> None:
    """It was silent for too long and does not know yet: the group's generation fences it, and it has to rewind."""
    topic, answers, sink = untransacted.topic(), untransacted.topic(), untransacted.sink()
    fill(untransacted, topic, 2)
    first = Member(untransacted.source(GROUP), topic)
    first.read(2)
    second = Member(untransacted.source(GROUP), topic)
    until(lambda: len(second.records) == 2, second)
    with pytest.raises(AbortedError, match="offsets were not committed"):
        sink.commit([out(b"again", answers)], {TopicPartition(topic, 0): 2}, first.source.group_metadata())
    assert second.source.committed(second.assigned) == {TopicPartition(topic, 0): None}


def joined(real: RealBroker) -> Member:
    """A member of a group of a new topic."""
    member = Member(real.source(GROUP), real.topic())
    until(lambda: bool(member.assigned), member)
    return member


def test_an_open_transaction_over_the_offsets_is_waited_for(real: RealBroker) -> None:
    """A group that stands at 2 and whose last member died in a transaction to 4 goes on at 2, whoever joins meanwhile.

    Its offsets cannot be told before the broker has aborted that transaction, which is no word for "there are none".
    """
    topic = real.topic(2)
    partitions = [TopicPartition(topic, number) for number in range(2)]
    for partition in partitions:
        fill(real, topic, 5, partition.partition)
    member = Member(real.source(GROUP), topic)
    member.read(10)
    real.sink().commit([], dict.fromkeys(partitions, 2), member.source.group_metadata())
    config: dict[str, Any] = {"bootstrap.servers": real.settings.bootstrap_servers, "log_level": 0}
    dead = ck.Producer(config | {"transactional.id": real.name("dead"), "transaction.timeout.ms": 3_000})
    dead.init_transactions(30)
    dead.begin_transaction()
    over = [ck.TopicPartition(*partition, 4) for partition in partitions]
    group = member.source.group_metadata()
    assert isinstance(group, Membership)
    dead.send_offsets_to_transaction(over, group.metadata, 30)
    member.source.close()
    patient = KafkaSettings(bootstrap_servers=real.settings.bootstrap_servers, session_timeout_s=6)
    with ExitStack() as stack:
        first, second = (
            Member(stack.enter_context(closing(KafkaSource(patient, f"{GROUP}-{real.own}"))), topic) for _ in range(2)
        )
        until(lambda: first.assigned != [] and second.assigned != [], first, second)
        until(lambda: len(first.records) + len(second.records) >= 6, first, second)
        assert min(record.offset for record in [*first.records, *second.records]) == 2


def test_another_producer_of_the_same_name_fences(real: RealBroker) -> None:
    """Two processes with one transactional id: the older cannot write any more, and knows it."""
    answers, member = real.topic(), joined(real)
    first = real.sink("the-same-" + real.own)
    first.commit([out(b"1", answers)], {}, member.source.group_metadata())
    second = real.sink("the-same-" + real.own)
    with pytest.raises(FatalError):
        first.commit([out(b"2", answers)], {}, member.source.group_metadata())
    with pytest.raises(FatalError):
        first.commit([out(b"3", answers)], {}, member.source.group_metadata())
    second.commit([out(b"4", answers)], {}, member.source.group_metadata())
    assert [record.value for record in real.records(answers, 2)] == [b"1", b"4"]


@pytest.mark.parametrize("limit", ["broker", "client"])
def test_a_record_too_large_is_rolled_back_with_its_cause(real: RealBroker, limit: str) -> None:
    """Whether the topic or our own setting refuses it, the error says so, and the next transaction works."""
    answers, member, sink = real.topic(1, **{"max.message.bytes": "20000"}), joined(real), real.sink()
    size = 100_000 if limit == "broker" else real.settings.message_max_bytes + 1
    (mine,) = member.assigned
    noise = random.Random(0).randbytes(size)
    with pytest.raises(AbortedError, match=r"(?i)too large|size"):
        sink.commit([out(b"small", answers), out(noise, answers)], {mine: 1}, member.source.group_metadata())
    assert member.source.committed([mine]) == {mine: None}
    for attempt in range(3):  # librdkafka may need another rollback until its sequence numbers are in step again
        with suppress(AbortedError):
            sink.commit([out(b"next", answers)], {mine: 1}, member.source.group_metadata())
            break
        assert attempt < 2
    assert [record.value for record in real.records(answers, 1)] == [b"next"]


def test_a_topic_that_is_not_there_is_rolled_back(real: RealBroker) -> None:
    """Nothing of the transaction is visible elsewhere."""
    answers, member, sink = real.topic(), joined(real), real.sink()
    with pytest.raises(AbortedError):
        sink.commit([out(b"1", answers), out(b"2", "no such topic!")], {}, member.source.group_metadata())
    sink.commit([out(b"3", answers)], {}, member.source.group_metadata())
    assert [record.value for record in real.records(answers, 1)] == [b"3"]


def test_topics_are_made_once(real: RealBroker, names: Names) -> None:
    """What is missing is created with room for dead letters; a second time there is nothing to do."""
    settings = KafkaSettings(
        bootstrap_servers=real.settings.bootstrap_servers,
        input_topics={names.topic("news"): "news"},
        topics=Topics(
            predictions=names.topic("p"),
            signals=names.topic("s"),
            alerts=names.topic("a"),
            dead_letters=names.topic("d"),
            review=names.topic("r"),
            feedback=names.topic("f"),
            shadow=names.topic("sh"),
        ),
        partitions=3,
    )
    wanted = sorted(names.topic(name) for name in ("news", "p", "s", "a", "d", "r", "f", "sh"))
    before = inspect(settings)
    assert (before.brokers, sorted(before.missing)) == (1, wanted)
    assert create_topics(settings) == wanted
    assert create_topics(settings) == []
    after = inspect(settings)
    assert after.missing == []
    assert {(topic.partitions, topic.denied) for topic in after.topics} == {(3, ())}


def test_topics_are_required_and_not_made(real: RealBroker, names: Names) -> None:
    """What is missing is named, and is missing still."""
    there, missing = real.topic(), names.topic("missing")
    require_topics(real.settings, {there: "Read"})
    for _ in range(2):
        with pytest.raises(RetryableError, match=rf"no topic {re.escape(missing)}; .*--create-topics"):
            require_topics(real.settings, {there: "Read", missing: "Write"})


def test_a_cluster_that_is_away_is_a_matter_of_waiting() -> None:
    """The error names the address."""
    away = KafkaSettings(bootstrap_servers="127.0.0.1:1")
    with pytest.raises(RetryableError, match=r"127\.0\.0\.1:1"):
        require_topics(away, {"news": "Read"})


def test_a_consumer_tells_where_it_stands(real: RealBroker) -> None:
    """A broker is up, it is in its group; of its partition it knows the end, and that it has passed a transaction's marker."""
    member, sink = joined(real), real.sink()
    (mine,) = member.assigned
    sink.commit([out(b"1", mine.topic), out(b"2", mine.topic)], {}, member.source.group_metadata())
    source = member.source
    assert isinstance(source, KafkaSource)

    def caught_up() -> bool:
        told = source.statistics
        at = told.partitions.get(mine) if told else None
        return at is not None and (at.next_fetch, at.end, at.queued) == (3, 3, 0)

    until(caught_up, member)
    assert member.values() == [b"1", b"2"]
    assert source.statistics is not None
    assert source.statistics.brokers_up > 0
    assert source.statistics.in_group
    assert source.statistics.rebalances >= 1
    assert source.statistics.expired == 0
    real.expire(mine.topic, 2)
    member.source.seek({mine: 0})
    until(lambda: source.statistics is not None and source.statistics.expired == 2, member)


def test_a_plain_reader_sees_what_is_committed(real: RealBroker) -> None:
    """From the beginning everything but what was rolled back; from the end only what comes."""
    answers, sink = real.topic(), real.sink()
    first, stale, gone = fenced(real, real.topic(2))
    with pytest.raises(AbortedError):
        sink.commit([out(b"ghost", answers)], {gone: 1}, stale)
    sink.commit([out(b"1", answers)], {}, first.source.group_metadata())
    assert [record.value for record in real.records(answers, 1)] == [b"1"]
    with closing(PlainReader(real.settings, [answers], from_beginning=False)) as reader:
        assert list(reader.read(1.0)) == []
        sink.commit([out(b"2", answers)], {}, first.source.group_metadata())
        found: list[Any] = []
        while not found:
            found += reader.read(0.2)
    assert [record.value for record in found] == [b"2"]


def test_a_plain_producer_delivers_the_whole_record(real: RealBroker) -> None:
    """Key, value, headers and time, each once."""
    topic, producer = real.topic(), PlainProducer(real.settings)
    for record in ODD:
        producer.send(OutRecord(topic, record.key, record.value, record.headers, record.timestamp_ms))
    producer.flush()
    seen = [(r.key, r.value, r.headers, r.timestamp_ms) for r in real.records(topic, len(ODD))]
    assert seen == [(r.key, r.value, r.headers, r.timestamp_ms) for r in ODD]


@pytest.mark.parametrize("limit", ["broker", "client"])
def test_a_plain_producer_says_what_it_could_not_deliver(real: RealBroker, limit: str) -> None:
    """An error of ours, whoever found the record too large."""
    topic, producer = real.topic(1, **{"max.message.bytes": "20000"}), PlainProducer(real.settings)
    size = 100_000 if limit == "broker" else real.settings.message_max_bytes + 1

    def send() -> None:
        producer.send(out(b"x" * size, topic))
        producer.flush()

    with pytest.raises(RetryableError, match=r"(?i)too large|size"):
        send()


def test_reading_a_topic_that_is_not_there(real: RealBroker) -> None:
    """The message names it, and how to make it."""
    with pytest.raises(RetryableError, match=r"no such topic: nowhere; .*--create-topics"):
        PlainReader(real.settings, ["nowhere"], from_beginning=True)


def test_a_broker_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking says which brokers did not answer."""
    monkeypatch.setattr("worker.adapters.kafka.admin.TIMEOUT_S", 0.6)
    with pytest.raises(RetryableError, match=r"asking the brokers at 127.0.0.1:1 failed"):
        inspect(KafkaSettings(bootstrap_servers="127.0.0.1:1"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"session_timeout_s": 500}, "session.timeout.ms"),
        ({"max_poll_interval_s": 1, "session_timeout_s": 6}, "max.poll.interval.ms"),
        ({"security_protocol": "SSL", "ssl_ca_location": __file__}, "ssl.ca.location"),
    ],
)
def test_a_configuration_that_librdkafka_refuses(settings: dict[str, Any], said: str) -> None:
    """It is a wrong setting, told as one."""
    with pytest.raises(SettingsError, match=said):
        KafkaSource(KafkaSettings(**settings), GROUP)
