"""What the alert role says in the log when something is in its way: which partition, what went wrong, how often."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.unit.worker.alert.builders import rules
from tests.unit.worker.alert.test_role import BAD, FIRING, P0, TOPIC, Bench, LosingSource, UnsteadyStore, at
from tests.unit.worker.alert.test_role_attention import INHIBIT, SOURCE, TWO, Two, fired
from tests.unit.worker.alert.test_role_holding import Shut
from worker.alert.role import AlertRole
from worker.errors import RetryableError
from worker.messages import AlertEvent, TopicPartition
from worker.ports import AlertCommit, StreamPart

NAME = "sentiment.signals-0"
LOADED = "partitions loaded"
BEFORE = "the connection broke before the commit"


class Away(UnsteadyStore):
    """A store that cannot be looked at either, as long as there is trouble."""

    def load(self, partition: TopicPartition) -> Any:
        """Fail as told, or load."""
        self._fail("before")
        return super().load(partition)

    def events(self, partition: TopicPartition, from_offset: int, limit: int) -> StreamPart:
        """Fail as told, or answer."""
        self._fail("before")
        return super().events(partition, from_offset, limit)


def line(event: str, level: str = "warning", **fields: Any) -> dict[str, Any]:
    """A line of the log."""
    return {"event": event, "log_level": level, **fields}


def heard(act: Callable[[], object]) -> Sequence[Mapping[str, Any]]:
    """The lines that come of it, without those of what goes well."""
    with capture_logs() as lines:
        act()
    return [one for one in lines if one["event"] not in {LOADED, "alert fired"}]


def working() -> tuple[Bench, AlertRole]:
    """A bench with four signals taken up, and its role."""
    bench = Bench()
    bench.store = Away()
    bench.send(*BAD)
    role = bench.role(store_pause_s=0.0)
    role.run_until_idle()
    assert role.counts.signals == 4
    return bench, role


def test_partitions_that_come_and_go_are_named() -> None:
    """With where they are read from; None is the group's own position."""
    bench = Bench(partitions=2)
    with capture_logs() as lines:
        role = bench.role()
        role.step(0, 0)
        role.on_revoked([P0])
        role.on_lost([TopicPartition(TOPIC, 1)])
    assert [one for one in lines if one.get("partitions")] == [
        line(LOADED, "info", partitions=[NAME, "sentiment.signals-1"], starts=[None, None]),
        line("partitions revoked", "info", partitions=[NAME]),
        line("partitions lost", partitions=["sentiment.signals-1"]),
    ]


def test_a_signal_that_cannot_be_read_is_named() -> None:
    """By its place, so that somebody can look at it."""
    bench, role = working()
    bench.broker.send(TOPIC, b"{}", key=b"entity:acme")
    told = line("signal undecodable", partition=NAME, offset=4, error="Object missing required field `alert_key`")
    assert heard(role.run_until_idle) == [told]


def test_a_store_that_is_waited_for_is_told_of() -> None:
    """Each try, with its number and what the store had against it."""
    bench, role = working()
    bench.send(at(5))
    bench.store.trouble = ["before", "before", "after"]
    told = [line("alert store unavailable", attempt=number, error=BEFORE) for number in (1, 2)]
    last = line("alert store unavailable", attempt=3, error=BEFORE.replace("before", "after"))
    assert [one for one in heard(role.run_until_idle) if one["event"] == "alert store unavailable"] == [*told, last]


def test_a_partition_that_another_took_is_told_of() -> None:
    """And read again from where the other left it."""
    bench, role = working()
    taken = AlertCommit(partition=P0, expected_offset=4, next_offset=5, max_event_time_ms=0, states={}, due={}, events=())
    bench.send(at(5))
    bench.store.commit(taken)
    (told,) = heard(role.run_until_idle)
    assert told == line("partition fenced", partition=NAME, error=told["error"])
    assert "stored offset is not 4" in told["error"]


def test_a_partition_that_goes_while_the_store_is_away_is_told_of() -> None:
    """What was in hand of it is given up."""
    bench = Bench()
    bench.send(at(1))
    source = bench.source()
    role = bench.role(source, store_pause_s=0.0)
    role.step(0, 0)
    bench.store.trouble, bench.store.meanwhile = ["before"], lambda: source.expect(set(), lost=False)
    assert heard(lambda: role.step(0, 0)) == [
        line("alert store unavailable", attempt=1, error=BEFORE),
        line("partitions revoked", "info", partitions=[NAME]),
        line("partition fenced", partition=NAME, error=f"{NAME} was let go while the store did not answer"),
    ]


def test_a_stop_while_the_store_is_away_leaves_signals_for_later() -> None:
    """They are read again by whoever comes next."""
    bench, role = working()
    bench.send(at(5))
    bench.store.trouble, bench.store.meanwhile = ["before"], role._stop.set
    assert heard(lambda: role.step(0, 0)) == [line("signals left for later", partition=NAME, error=BEFORE)]


def test_a_poll_that_fails_is_told_of() -> None:
    """With what is done about it."""
    bench = Bench()
    source = LosingSource(bench.broker, "tidings-alert")
    role = bench.role(source)
    role.step(0, 0)
    bench.send(*BAD)
    source.failures = 1
    told = line("reading failed, reading again from where the store stands", error="the broker went away")
    assert heard(lambda: role.step(0, 1)) == [told]


def test_a_store_that_fell_back_is_told_of() -> None:
    """Where it was left, and how far it has to be made good."""
    bench, role = working()
    lagging = bench.store.snapshot()
    bench.send(at(10))
    role.run_until_idle()
    bench.store.fall_back(lagging)
    assert heard(lambda: role.step(0, time.monotonic() + 10)) == [
        line("the store does not stand where we left it", partition=NAME, left=5),
        line("alert state made good", partition=NAME, replay_from=4, upto=5),
    ]


def test_a_store_that_cannot_be_looked_at_is_told_of() -> None:
    """Once, for each look may take its whole timeout."""
    bench, role = working()
    bench.store.trouble = ["before"]
    told = line("the alert store could not be looked at", error=BEFORE)
    assert heard(lambda: role.step(0, time.monotonic() + 10)) == [told]


def test_partitions_that_cannot_be_loaded_are_told_of() -> None:
    """At the rebalance, and at every try after it."""
    bench = Bench()
    bench.store = Away()
    bench.store.trouble = ["before"] * 2
    role = bench.role(store_pause_s=0.0)
    told = line("partitions cannot be loaded yet", partitions=[NAME], error=BEFORE)
    assert heard(lambda: role.step(0, 0)) == [told, told]


def test_a_silent_partition_is_told_of() -> None:
    """And since when it has been."""
    bench = Bench()
    bench.send(*FIRING)
    role = bench.role(idle_after_s=60.0, check_store_s=1e9)
    role.step(0, 0)
    role.step(0, 1)
    assert heard(lambda: role.step(0, 61)) == [line("partition silent", "info", partition=NAME, for_s=60.0)]


@pytest.mark.parametrize("failing", [1, 2])
def test_a_pause_that_fails_is_told_of(failing: int) -> None:
    """In every cycle in which it does."""
    shut = Shut()
    shut.steps(1)
    shut.source.failing_pauses = failing
    told = line("partitions could be neither held nor let go", error="the consumer does not answer")
    assert [one for one in heard(lambda: shut.steps(20)) if "neither" in one["event"]] == [told] * failing


def test_a_position_that_was_lost_is_told_of() -> None:
    """With what it is taken to be."""
    bench = Bench()
    bench.send(*FIRING)
    bench.role().run_until_idle()
    bench.broker.groups["tidings-alert"].members.clear()
    bench.lose_group()
    told = line("the relay's position was lost, and is taken from the record", partition=NAME, position=5)
    assert told in heard(bench.role().run_until_idle)


def test_sources_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which alert keeps others quiet from now on; and that it could not be said, where the store does not answer."""
    bench = Two(TWO)
    role = fired(bench)
    alert = bench.last(SOURCE)

    def failing(_: TopicPartition) -> dict[str, AlertEvent]:
        raise RetryableError("gone")

    monkeypatch.setattr(bench.store, "open_alerts", failing)
    role._replace_rules(rules(INHIBIT))
    assert heard(lambda: role.step(0, 0)) == [line("open alerts could not be looked at", error="gone")]
    monkeypatch.undo()
    told = line("inhibiting", "info", partition=NAME, alert_id=alert.alert_id, rule="worst")
    assert heard(lambda: role.step(0, 0)) == [told]
    assert heard(lambda: role.step(0, 0)) == []


def test_partitions_are_told_once_they_are_loaded_and_not_before() -> None:
    """A rebalance that brings none is no news, nor is a partition that has to wait: every member hears of every rebalance."""
    with capture_logs() as lines:
        _, role = working()
        role.on_assigned([])
        role.on_assigned([TopicPartition(TOPIC, 1)])
    assert [one["partitions"] for one in lines if one["event"] == LOADED] == [[NAME]]
