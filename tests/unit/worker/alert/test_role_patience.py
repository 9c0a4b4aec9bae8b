"""How long the alert role waits for a store that does not answer, and how often it looks where the store stands."""

import random
from itertools import pairwise
from typing import Any

import pytest

from tests.unit.worker.alert.test_role import BAD, GROUP, P0, Bench, UnsteadyStore, at
from worker.messages import Record, TopicPartition
from worker.ports import StreamPart
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
