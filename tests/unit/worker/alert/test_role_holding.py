"""The alert role while Kafka takes no events: it holds, is alive, says why, and goes on."""

from collections.abc import Mapping, Sequence

import pytest
from structlog.testing import capture_logs

from tests.unit.worker.alert.test_role import GROUP, KEYS, P0, TOPIC, Bench, at
from worker.errors import AbortedError, RetryableError
from worker.messages import OutRecord, Record, Signal, TopicPartition
from worker.testing.broker import InMemorySink, InMemorySource

LIMIT, AT_ONCE = 20, 4
ONE = frozenset({P0})
HELD, GOING_ON = "holding back: alert events are not relayed to Kafka", "reading on: alert events are relayed again"


class ShutSink(InMemorySink):
    """A sink that rolls every transaction back, for as long as it is shut."""

    shut = True

    def commit(self, records: Sequence[OutRecord], offsets: Mapping[TopicPartition, int], group: object) -> None:
        """Roll back, or commit."""
        if self.shut:
            raise AbortedError("not enough replicas in sync")
        super().commit(records, offsets, group)


class CountingSource(InMemorySource):
    """A source that counts polls, and whose next pauses fail as told."""

    polls = failing_pauses = 0

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """Count, and poll; like the real one, no more than was asked for, whatever the number of partitions."""
        self.polls += 1
        return super().poll(max_records, timeout_s)

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Fail as told, or pause."""
        if self.failing_pauses:
            self.failing_pauses -= 1
            raise RetryableError("the consumer does not answer")
        super().pause(partitions)


class Shut:
    """A role before a sink that is shut, and so many signals of three keys."""

    def __init__(self, signals: int = 100, partitions: int = 1) -> None:
        self.bench = Bench(partitions)
        self.bench.send(*[self.signal(number) for number in range(signals)])
        self.sink, self.source = ShutSink(self.bench.broker), CountingSource(self.bench.broker, GROUP)
        self.role = self.bench.role(self.source, self.sink, max_unrelayed=LIMIT, max_records=AT_ONCE)

    @staticmethod
    def signal(number: int) -> Signal:
        """One a second; all is bad for 20 s, then well for 20 s."""
        return at(number, "positive" if number // 20 % 2 else "negative", alert_key=KEYS[number % 3], message_id=str(number))

    def steps(self, count: int, now_s: float = 0.0) -> None:
        """Go round so often."""
        for _ in range(count):
            self.role.step(0, now_s)

    def undisturbed(self) -> list[str]:
        """The ids of the events that a role before an open sink relays."""
        bench = Bench()
        bench.send(*[self.signal(number) for number in range(self.role.counts.signals)])
        bench.role().run_until_idle()
        return sorted(event.id for event in bench.relayed())


def test_what_is_not_relayed_is_bounded() -> None:
    """However long it takes: past the limit nothing is read, and polling goes on."""
    shut = Shut()
    shut.steps(200)
    assert LIMIT < shut.role.counts.signals <= LIMIT + AT_ONCE
    assert (shut.role.held, shut.source.paused, shut.source.polls) == (True, ONE, 200)


def test_when_kafka_takes_them_again_all_is_made_good() -> None:
    """Every event once, the same as if nothing had been, and nothing is paused or left unread."""
    shut = Shut()
    shut.steps(50)
    shut.sink.shut = False
    shut.role.run_until_idle()
    assert (shut.role.held, shut.source.paused, shut.role.counts.signals) == (False, frozenset(), 100)
    assert sorted(event.id for event in shut.bench.relayed()) == shut.undisturbed() != []


def test_it_says_why_it_holds_and_that_it_goes_on() -> None:
    """Once each, with how far behind; what Kafka has against it stands beside it in the log."""
    shut = Shut()
    with capture_logs() as lines:
        shut.steps(50)
        shut.sink.shut = False
        shut.role.run_until_idle()
    told = [line for line in lines if line["event"] in {HELD, GOING_ON}]
    assert [line["event"] for line in told[:2]] == [HELD, GOING_ON]
    assert LIMIT < told[0]["unrelayed_signals"] <= LIMIT + AT_ONCE
    assert told[0]["limit"] == LIMIT
    assert "not enough replicas in sync" in {line["error"] for line in lines if line["event"] == "relay postponed"}


def test_it_holds_past_the_limit_until_half_is_relayed(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it does not go on and off with each transaction; each time is told once."""
    shut, behind = Shut(), [0, 20, 21, 15, 11, 10, 20, 21, 10, 0]
    numbers = iter(behind)
    monkeypatch.setattr(shut.role._relay, "behind", lambda _: next(numbers))
    held = list[bool]()
    with capture_logs() as lines:
        for _ in behind:
            shut.steps(1)
            held.append(shut.role.held)
    assert held == [False, False, True, True, True, False, False, True, False, False]
    told = [(line["event"], line["unrelayed_signals"]) for line in lines if line["event"] in {HELD, GOING_ON}]
    assert told == [(HELD, 21), (GOING_ON, 10)] * 2


def test_what_a_rebalance_brings_is_held_too() -> None:
    """A partition that comes is not paused by itself, nor is one that was: in the next cycle they are."""
    shut = Shut(partitions=2)
    shut.steps(50)
    taken = shut.role.counts.signals
    for _ in range(5):
        shut.bench.broker.rebalance(GROUP)
        shut.steps(3)
    assert shut.source.paused == {P0, TopicPartition(TOPIC, 1)}
    assert shut.role.counts.signals <= taken + 5 * AT_ONCE


def test_a_store_that_was_away_does_not_end_the_hold() -> None:
    """Waiting for the store resumes the partitions when it answers; they are paused again."""
    shut = Shut()
    shut.steps(4)
    shut.bench.store.trouble = ["before"] * 3
    shut.steps(50)
    assert (shut.role.held, shut.source.paused) == (True, ONE)
    assert LIMIT < shut.role.counts.signals <= LIMIT + 2 * AT_ONCE


def test_a_pause_that_fails_is_tried_again() -> None:
    """In the next cycle."""
    shut = Shut()
    shut.steps(1)  # its partition is loaded, with a pause that is none of this test's
    assert (shut.role.waiting, shut.role.held) == (frozenset(), False)
    shut.source.failing_pauses = 2
    shut.steps(50)
    assert (shut.source.failing_pauses, shut.role.held, shut.source.paused) == (0, True, ONE)
    assert shut.role.counts.signals <= LIMIT + 3 * AT_ONCE


@pytest.mark.parametrize("shut", [True, False])
def test_a_worker_that_begins_far_behind_relays_before_it_reads(shut: bool) -> None:
    """The one before it died with the sink shut: what it left is relayed first."""
    before = Shut()
    before.steps(50)
    before.bench.broker.groups[GROUP].members.clear()
    successor = before.bench.role(
        InMemorySource(before.bench.broker, GROUP), before.sink, max_unrelayed=LIMIT, max_records=AT_ONCE
    )
    before.sink.shut = shut
    for _ in range(5):
        successor.step(0, 0)
    assert successor.held == shut
    assert (successor.counts.signals <= AT_ONCE) == shut


def test_one_that_keeps_up_is_never_held() -> None:
    """However many signals go through, and although positions without events move once a second only."""
    bench = Bench()
    bench.send(*[at(number, "positive") for number in range(100)])
    role = bench.role(max_unrelayed=LIMIT, max_records=AT_ONCE)
    held = []
    for now_s in range(30):
        role.step(0, now_s)
        held.append(role.held)
    assert (role.counts.signals, any(held)) == (100, False)
