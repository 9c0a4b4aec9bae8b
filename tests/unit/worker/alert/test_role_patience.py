"""How long the alert role waits for a store that does not answer, and how often it looks where the store stands."""

import random
import threading
from itertools import pairwise
from typing import Any

import pytest

from tests.unit.worker.alert.test_role import BAD, GROUP, KEYS, P0, TOPIC, Bench, UnsteadyStore, at
from tests.unit.worker.alert.test_role_holding import CountingSource
from worker.messages import Record, TopicPartition
from worker.ports import AlertCommit, StreamPart
from worker.testing.broker import InMemorySource

GROWING_S = [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
"""Pauses without jitter, up to the two seconds that are the role's default."""


class CountingStore(UnsteadyStore):
    """A store that cannot be loaded from while there is trouble, and notes who asked for what."""

    def __init__(self) -> None:
        super().__init__()
        self.loads = 0
        self.looks: list[tuple[int, int]] = []

    def load(self, partition: TopicPartition) -> Any:
        """Count, and fail as told, or load."""
        self.loads += 1
        self._fail("before")
        return super().load(partition)

    def events(self, partition: TopicPartition, from_offset: int, limit: int) -> StreamPart:
        """Note, and answer."""
        self.looks.append((from_offset, limit))
        return super().events(partition, from_offset, limit)


class TimedSource(InMemorySource):
    """A source that notes for how long it may wait in each poll."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench.broker, GROUP)
        self.waits: list[float] = []

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """Note, and poll."""
        self.waits.append(timeout_s)
        return super().poll(max_records, timeout_s)


def bench_with(store: CountingStore) -> Bench:
    """A bench with this store."""
    bench = Bench()
    bench.store = store
    bench.send(*BAD)
    return bench


@pytest.fixture(autouse=True)
def _no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "random", lambda: 1.0)


def test_partitions_are_loaded_ever_less_often_while_the_store_is_away() -> None:
    """The store is not asked in every cycle; once they are loaded, the next trouble begins with short pauses again."""
    bench = bench_with(store := CountingStore())
    role, tried_s = bench.role(), list[float]()
    for _ in range(2):
        store.trouble = ["before"] * 100
        for tick in range(200):
            before = store.loads
            role.step(0, tick / 20)
            tried_s += [tick / 20] if store.loads > before else []
        assert [later - sooner for sooner, later in pairwise(tried_s)] == pytest.approx([*GROWING_S, 2.0], abs=0.06)
        store.trouble.clear()
        role.step(0, 20)
        assert role.waiting == frozenset()
        role._reload(P0)
        tried_s.clear()


def test_the_store_is_waited_for_ever_longer_at_a_poll() -> None:
    """A commit that fails is tried again after each poll, which waits for records, of which there are none while paused."""
    bench = bench_with(store := CountingStore())
    source = TimedSource(bench)
    role = bench.role(source)
    role.step(0.0, 0)
    bench.send(at(5))
    for _ in range(2):
        source.waits.clear()
        store.trouble = ["after"] * 7
        role.step(0.5, 0)
        assert source.waits == [0.5, *GROWING_S]
        bench.send(at(6))


def test_the_store_is_looked_at_every_few_seconds() -> None:
    """One event past where it was left is asked for, however often the role goes round."""
    bench = bench_with(store := CountingStore())
    role = bench.role(check_store_s=5.0)
    role.step(0, 0.0)
    role.step(0, 4.0)
    store.looks.clear()
    looked_s = []
    for now_s in (5.0, 6.0, 9.9, 10.0, 10.1, 14.9, 15.0):
        before = len(store.looks)
        role.step(0, now_s)
        looked_s += [now_s] * (len(store.looks) - before)
    assert looked_s == [5.0, 10.0, 15.0]
    assert set(store.looks) == {(4, 1)}


def test_the_role_waits_for_records_as_long_as_it_is_told() -> None:
    """At each poll; a backfill by default not at all."""
    bench, stop = bench_with(CountingStore()), threading.Event()
    source = TimedSource(bench)
    role = bench.role(source, poll_timeout_s=0.25)
    role.run_until_idle()
    assert set(source.waits) == {0.0}
    source.waits.clear()
    role.run_until_idle(0.5)
    assert set(source.waits) == {0.5}
    source.waits.clear()
    bench.send(at(5))
    bench.store.trouble, bench.store.meanwhile = ["before"], stop.set
    role.run(stop)
    assert source.waits == [0.25]


def test_what_comes_while_the_store_is_waited_for_is_neither_lost_nor_counted_twice() -> None:
    """A partition that needs no loading is read at once, goes to another before it is taken up, and comes again."""
    bench, other = Bench(partitions=2), TopicPartition(TOPIC, 1)
    bench.send(*[at(0, alert_key=key) for key in KEYS])
    source = bench.source()
    role = bench.role(source)
    role.run_until_idle()
    source.expect({P0}, lost=False)
    role.run_until_idle()
    held = [{P0, other}, {P0}, {P0, other}, {P0, other}]
    bench.store.trouble = ["before"] * len(held)
    bench.store.meanwhile = lambda: source.expect(held.pop(0), lost=False)
    bench.send(*[at(second, alert_key=key) for second in (1, 2, 3, 4, 10) for key in KEYS])
    assert {record.partition for record in bench.broker.records(TOPIC)} == {0, 1}
    for _ in range(3):
        role.run_until_idle()
    assert (held, role.counts.signals) == ([], 6 * len(KEYS))
    assert sorted(bench.states()) == [(key, "firing") for key in sorted(KEYS)]


def test_signals_are_read_again_where_kafka_does_not_answer_either() -> None:
    """The consumer cannot be paused while the store is away: what is in hand is given up, and nothing is passed over."""
    bench = bench_with(store := CountingStore())
    source = CountingSource(bench.broker, GROUP)
    role = bench.role(source, store_pause_s=0.0)
    role.run_until_idle()
    bench.send(at(10))
    store.trouble, source.failing_pauses = ["before"], 1
    role.run_until_idle()
    assert (role.counts.signals, role.counts.store_retries, source.failing_pauses) == (5, 1, 0)
    assert bench.states() == [("entity:acme", "firing")]


def test_every_time_that_another_has_gone_on_is_counted() -> None:
    """Two of them are two."""
    bench = bench_with(CountingStore())
    role = bench.role()
    role.run_until_idle()
    for offset in (4, 5):
        bench.send(at(offset))
        bench.store.commit(
            AlertCommit(
                partition=P0, expected_offset=offset, next_offset=offset + 1, max_event_time_ms=0, states={}, due={}, events=()
            )
        )
        role.run_until_idle()
    assert role.counts.fenced == 2


def test_every_loss_of_the_store_is_counted() -> None:
    """Two of them are two."""
    bench = bench_with(CountingStore())
    role = bench.role()
    role.run_until_idle()
    for second in (5, 6):
        bench.store.forget(P0)
        bench.send(at(second))
        role.run_until_idle()
    assert role.counts.rebuilt == 2
