from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.unit.worker.alert.builders import event
from worker.alert.relay import Relay, RelayOptions
from worker.codec import control_record, decode_alert_event, is_control
from worker.errors import FatalError, RetryableError
from worker.messages import Tick, TopicPartition
from worker.ports import AlertCommit, StoredEvent, StreamPart
from worker.testing.alert_store import InMemoryAlertStore
from worker.testing.broker import GroupMetadata, InMemoryBroker, InMemorySink

P0, P1 = TopicPartition("sentiment.signals", 0), TopicPartition("sentiment.signals", 1)
GROUP = GroupMetadata("tidings-alert", 0)


class Bench:
    """A relay between a store and a broker, with the partitions assigned at nought."""

    def __init__(self, max_events: int = 500, store: InMemoryAlertStore | None = None, jitter: float = 0.0) -> None:
        self.broker = InMemoryBroker({"sentiment.signals": 2, "sentiment.alerts": 1})
        self.sink, self.store = InMemorySink(self.broker), store or InMemoryAlertStore()
        self.relay = Relay(self.sink, self.store, RelayOptions(max_events=max_events), lambda: jitter)
        self.relay.assign({P0: None, P1: None})

    def store_events(self, *offsets: int, upto: int, partition: TopicPartition = P0, **fields: Any) -> None:
        """Commit events of signals at these offsets and tell the relay."""
        known = self.store.load(partition)
        self.store.commit(
            AlertCommit(
                partition=partition,
                expected_offset=known.next_offset if known else None,
                next_offset=upto,
                max_event_time_ms=0,
                states={},
                due={},
                events=tuple(StoredEvent(offset, 0, event(at_ms=offset, **fields)) for offset in offsets),
            )
        )
        self.relay.announce(partition)

    def relayed(self) -> list[int]:
        """The `at_ms` of the events on `sentiment.alerts`."""
        records = self.broker.records("sentiment.alerts")
        return [decode_alert_event(record.value or b"").at_ms for record in records]

    def position(self, partition: TopicPartition = P0) -> int | None:
        """The group's committed offset."""
        return self.broker.committed("tidings-alert").get(partition)


def test_events_and_position_go_together() -> None:
    """Each event once, in order, as CloudEvents under the alert key; the position is what was reached."""
    bench = Bench()
    bench.store_events(3, 7, upto=9)
    assert bench.relay.pump({P0: 9}, GROUP, 0) == 2
    assert (bench.relayed(), bench.position()) == ([3, 7], 9)
    record = bench.broker.records("sentiment.alerts")[0]
    assert record.key == b"entity:acme"
    cause = {"topic": b"sentiment.signals", "partition": b"0", "offset": b"3", "sequence": b"0"}
    assert dict(record.headers) == {
        "content-type": b"application/cloudevents+json; charset=UTF-8",
        **{f"tidings.{name}": value for name, value in cause.items()},
    }
    assert bench.relay.pump({P0: 9}, GROUP, 100) == 0
    assert (bench.relayed(), bench.sink.commits) == ([3, 7], 1)


def test_abort_moves_nothing_and_is_made_good() -> None:
    """A transaction that is rolled back leaves position and memory as they were; the next call does it all again."""
    bench = Bench()
    bench.store_events(3, upto=5)
    bench.sink.fail_next = "abort"
    assert bench.relay.pump({P0: 5}, GROUP, 0) == 0
    assert (bench.relayed(), bench.position()) == ([], None)
    assert bench.relay.pump({P0: 5}, GROUP, 0) == 1
    assert (bench.relayed(), bench.position()) == ([3], 5)


def test_what_fails_is_tried_ever_less_often() -> None:
    """After 0.1 s doubling to 5 s, less jitter; what works after all ends that."""
    bench = Bench(jitter=1.0)
    bench.store_events(3, upto=5)
    with capture_logs() as lines:
        for tick in range(2_500):
            bench.sink.fail_next = "abort"
            bench.relay.pump({P0: 5}, GROUP, tick / 100)
    assert [line["attempt"] for line in lines] == list(range(1, 11))
    assert {(line["event"], line["log_level"]) for line in lines} == {("relay postponed", "warning")}
    assert {line["error"] for line in lines} == {"the group has gone on to another generation"}
    assert [line["pause_s"] for line in lines] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0, 5.0], "25 s hold so many tries"
    bench.sink.fail_next = None
    assert bench.relay.pump({P0: 5}, GROUP, 40.0) == 1
    bench.store_events(7, upto=9)
    bench.sink.fail_next = "abort"
    assert [bench.relay.pump({P0: 9}, GROUP, now_s) for now_s in (40.0, 40.05, 40.1)] == [0, 0, 1]


def test_hurry_moves_the_position_at_once() -> None:
    """Where the position is far behind although there were no events, nobody waits for the second to be over."""
    bench = Bench()
    bench.store_events(upto=40)
    bench.relay.pump({P0: 10}, GROUP, 0.0)
    assert bench.relay.behind({P0: 40, P1: 3}) == 30 + 3
    bench.relay.hurry()
    bench.relay.pump({P0: 40}, GROUP, 0.1)
    assert (bench.position(), bench.relay.behind({P0: 40})) == (40, 0)


def test_nobody_is_behind_in_what_is_not_his_or_lies_past_the_store() -> None:
    """A partition that was let go does not count, nor one that is being rebuilt below its position."""
    bench = Bench()
    bench.relay.assign({P0: 50})
    bench.relay.forget([P1])
    assert bench.relay.behind({P0: 20, P1: 1_000}) == 0


def test_a_fenced_producer_is_fatal() -> None:
    """Another process has our transactional id: stop."""
    bench = Bench()
    bench.store_events(3, upto=5)
    bench.sink.fail_next = "fatal"
    with pytest.raises(FatalError):
        bench.relay.pump({P0: 5}, GROUP, 0)


def test_without_events_the_position_moves_once_a_second() -> None:
    """Lag tooling sees the truth, at the price of one transaction a second."""
    bench = Bench()
    bench.store_events(upto=40)
    for now_s, upto in ((0.0, 10), (0.5, 20), (0.9, 30)):
        bench.relay.pump({P0: upto}, GROUP, now_s)
        assert bench.position() == 10
    bench.relay.pump({P0: 40}, GROUP, 1.0)
    assert bench.position() == 40
    assert bench.sink.commits == 2


def test_nothing_new_commits_nothing() -> None:
    """An idle partition costs no transaction."""
    bench = Bench()
    bench.relay.pump({P0: 0, P1: 0}, GROUP, 0)
    bench.relay.pump({}, GROUP, 5)
    assert bench.sink.commits == 0


def test_one_transaction_for_all_partitions() -> None:
    """Partitions share it, with or without events."""
    bench = Bench()
    bench.store_events(3, upto=5)
    bench.store_events(4, upto=6, partition=P1)
    assert bench.relay.pump({P0: 5, P1: 6}, GROUP, 0) == 2
    assert (bench.position(P0), bench.position(P1), bench.sink.commits) == (5, 6, 1)


@pytest.mark.parametrize(("at_once", "expected"), [(2, [(2, 3), (4, 5), (5, 9)]), (3, [(3, 4), (5, 9)])])
def test_a_long_stream_is_relayed_in_parts(at_once: int, expected: list[tuple[int, int]]) -> None:
    """At most so many events at a time, without waiting for news in between."""
    bench = Bench(max_events=at_once)
    bench.store_events(1, 2, 3, 4, 5, upto=9)
    reached = []
    while bench.relay.pump({P0: 9}, GROUP, 0):
        reached.append((len(bench.relayed()), bench.position()))
    assert reached == expected


def test_it_goes_on_from_the_committed_position() -> None:
    """On assignment, events before the position are on `sentiment.alerts` already; those after it may not be."""
    bench = Bench()
    bench.store_events(1, 2, 3, upto=9)
    bench.relay.assign({P0: 2})
    bench.relay.pump({P0: 9}, GROUP, 0)
    assert bench.relayed() == [2, 3]


def test_a_rebuild_below_the_position_waits() -> None:
    """While the store is behind the position, there is nothing to relay and the position does not go back."""
    bench = Bench()
    bench.relay.assign({P0: 50})
    bench.relay.pump({P0: 20}, GROUP, 0)
    assert bench.position() is None


def test_the_position_stays_where_the_store_stands() -> None:
    """A store that fell back lacks events that we were told of: to move past them would lose them. What it has is relayed."""
    bench = Bench()
    bench.store_events(3, upto=5)
    bench.relay.pump({P0: 9}, GROUP, 0)
    assert (bench.relayed(), bench.position()) == ([3], 5)
    bench.relay.pump({P0: 9}, GROUP, 10)
    assert (bench.position(), bench.sink.commits) == (5, 1)
    bench.store_events(7, upto=9)
    bench.relay.pump({P0: 9}, GROUP, 20)
    assert (bench.relayed(), bench.position()) == ([3, 7], 9)


def test_the_position_never_goes_back() -> None:
    """Where the store fell back behind it: what lies between would be sent twice."""
    bench = Bench()
    bench.relay.assign({P0: 7})
    bench.store_events(3, upto=5)
    assert bench.relay.pump({P0: 9}, GROUP, 0) == 0
    assert (bench.position(), bench.sink.commits) == (None, 0)


def test_a_store_that_lost_all_holds_the_position() -> None:
    """Whatever the role has reached."""
    bench = Bench()
    assert bench.relay.pump({P0: 9}, GROUP, 0) == 0
    assert bench.position() is None


class CountingStore(InMemoryAlertStore):
    """A store that counts how often events are read."""

    reads = 0

    def events(self, partition: TopicPartition, from_offset: int, limit: int) -> StreamPart:
        """Count, and read."""
        self.reads += 1
        return super().events(partition, from_offset, limit)


def test_the_store_is_read_for_what_was_announced_alone() -> None:
    """Once for what it may hold at first, then for each time that there are events."""
    bench = Bench(store=(store := CountingStore()))
    bench.store_events(upto=40)
    for upto in range(1, 9):
        bench.relay.pump({P0: upto}, GROUP, upto)
    assert (store.reads, bench.position()) == (1, 8)
    bench.store_events(41, upto=42)
    for upto in range(42, 50):
        bench.relay.pump({P0: upto}, GROUP, upto)
    assert (store.reads, bench.relayed()) == (2, [41])


@pytest.mark.parametrize("offset", [5, 8])
def test_events_past_what_was_reached_are_left_to_their_owner(offset: int) -> None:
    """Another worker has gone on with the partition: its events are not sent by us, who would not move past them."""
    bench = Bench()
    bench.store_events(3, offset, upto=9)
    bench.relay.pump({P0: 5}, GROUP, 0)
    assert (bench.relayed(), bench.position()) == ([3], 5)


def test_forgotten_partitions_are_left_alone() -> None:
    """After a revocation their events are another's business."""
    bench = Bench()
    bench.store_events(3, upto=5)
    bench.relay.forget([P0])
    bench.relay.announce(P0)
    assert bench.relay.pump({P0: 5}, GROUP, 0) == 0
    assert bench.sink.commits == 0


def test_relayed_events_are_trimmed() -> None:
    """Of what was relayed, the store keeps its retention."""
    bench = Bench(store=InMemoryAlertStore(max_events=2))
    bench.store_events(1, 2, 3, 4, upto=9)
    bench.relay.pump({P0: 9}, GROUP, 0)
    assert [stored.offset for stored in bench.store.events(P0, 0, 10).events] == [3, 4]


class Untrimmable(InMemoryAlertStore):
    """A store that goes away just after the events were read."""

    def trim(self, partition: TopicPartition, before_offset: int) -> None:
        """Fail."""
        raise RetryableError(f"gone before {partition} was trimmed to {before_offset}")


def test_a_failing_trim_does_not_repeat_what_was_sent() -> None:
    """Sent is sent: housekeeping that fails afterwards undoes nothing, for none of the partitions."""
    bench = Bench(store=Untrimmable())
    bench.store_events(1, upto=5)
    bench.store_events(2, upto=5, partition=P1)
    with capture_logs() as lines:
        assert bench.relay.pump({P0: 5, P1: 5}, GROUP, 0) == 2
    assert lines == [{"event": "stream not trimmed", "log_level": "warning", "error": f"gone before {P0} was trimmed to 5"}]
    assert bench.relay.pump({P0: 5, P1: 5}, GROUP, 9) == 0
    assert bench.relayed() == [1, 2]


def test_what_was_to_be_said_of_a_partition_goes_with_it() -> None:
    """It is its next owner's to say; the others are relayed on."""
    bench = Bench()
    bench.store_events(3, upto=5, partition=P1)
    bench.relay.say(P0, control_record(P0, Tick(5)))
    bench.relay.forget([P0])
    assert bench.relay.pump({P1: 5}, GROUP, 0) == 1
    assert [record for record in bench.broker.records("sentiment.signals") if is_control(record)] == []


def test_partitions_are_asked_for_where_there_is_a_source_alone() -> None:
    """That Kafka does not say which there are holds up no event but those that all of them are to know of."""
    bench, sources = Bench(), set[str]()

    def everywhere() -> list[TopicPartition]:
        raise RetryableError("no metadata")

    bench.relay.inhibit(lambda labels: labels["severity"] in sources, everywhere)
    bench.store_events(3, upto=5, labels={"severity": "critical"})
    assert bench.relay.pump({P0: 5}, GROUP, 0) == 1
    sources.add("critical")
    bench.store_events(7, upto=9, labels={"severity": "critical"})
    assert bench.relay.pump({P0: 9}, GROUP, 10) == 0
    assert (bench.relayed(), bench.position()) == ([3], 5)
