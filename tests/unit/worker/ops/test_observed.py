from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from tests.unit.worker.builders import record
from tests.unit.worker.ops.builders import Clock, watch
from worker.codec import dead_letter
from worker.errors import AbortedError, DecodeError, FencedError, RetryableError
from worker.messages import OutRecord, Record, TopicPartition
from worker.ops.observed import ObservedHistory, ObservedModel, ObservedSink, ObservedSource, ObservedStore
from worker.ops.watch import ModelWatch, RoleWatch
from worker.ports import AlertCommit, PartitionStatistics, SourceStatistics, StoredEvent, TokenBatch
from worker.testing.alert_store import InMemoryAlertStore
from worker.testing.broker import InMemoryBroker, InMemorySink, InMemorySource
from worker.testing.model import FakeModel

P0 = TopicPartition("news", 0)
BATCH = TokenBatch(np.ones((1, 16), np.int64), np.ones((1, 16), np.int64))


class Listener:
    """Takes what it is given."""

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:  # noqa: ARG002 - a protocol
        """Start anywhere."""
        return {}

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Let go."""

    def on_lost(self, partitions: Sequence[TopicPartition]) -> None:
        """Let go."""


class Bench:
    """A member of a group that somebody looks at."""

    def __init__(self) -> None:
        self.broker = InMemoryBroker({"news": 1, "out": 1})
        self.clock = Clock()
        self.watch: RoleWatch = watch(clock=self.clock)
        self.told: SourceStatistics | None = None
        self.source = ObservedSource(InMemorySource(self.broker, "score"), self.watch, lambda: self.told)
        self.sink = ObservedSink(InMemorySink(self.broker), self.watch)

    def join(self) -> None:
        """Join the group and hear of the partition."""
        self.source.subscribe(["news"], Listener())
        self.source.poll(1, 0)

    def said(self, part: str) -> tuple[object, object]:
        """Whether a part is ready, and what is said of it."""
        told = self.watch.health.readiness().parts[part]
        return told["ready"], told["message"]

    def behind(self) -> tuple[float, int, int | None]:
        """How far it is behind, 10 s after what the broker holds by default."""
        figures = self.watch.lag.behind({}, self.broker.now_ms + 10_000)[P0]
        return figures.seconds, figures.records, figures.committed


def statistics(brokers_up: int = 1, in_group: bool = True) -> SourceStatistics:
    """What a consumer tells."""
    return SourceStatistics(brokers_up, in_group, 2, {P0: PartitionStatistics(0, 0, 0)})


def test_a_role_is_ready_once_it_has_a_partition() -> None:
    """Until then it says that none was ever assigned."""
    bench = Bench()
    bench.source.subscribe(["news"], Listener())
    assert bench.said("score") == (False, "joining its group: no partition was ever assigned")
    bench.source.poll(1, 0)
    assert bench.said("score") == (True, "at work on 1 partitions")


def test_a_member_that_none_is_left_for_is_ready_too() -> None:
    """It stands by; a rollout that waits for it must not wait for ever."""
    bench = Bench()
    bench.source.subscribe([], Listener())
    bench.told = statistics(in_group=False)
    bench.source.poll(1, 0)
    assert bench.said("score")[0] is False
    bench.told = statistics(in_group=True)
    bench.source.poll(1, 0)
    assert bench.said("score") == (True, "in its group without a partition: other members have them all")


@pytest.mark.parametrize(("brokers_up", "ready"), [(0, False), (1, True)])
def test_kafka_is_ready_while_a_broker_is_connected(brokers_up: int, ready: bool) -> None:
    """As the consumer itself last told."""
    bench = Bench()
    bench.told = statistics(brokers_up)
    bench.join()
    assert bench.said("kafka")[0] is ready
    assert bench.watch.statistics is bench.told


def test_a_poll_is_a_sign_of_life() -> None:
    """Whether it brings anything or not."""
    bench = Bench()
    bench.join()
    bench.clock.now_s += 60
    assert bench.watch.health.silent_s("score") == 60
    bench.source.poll(1, 0)
    assert bench.watch.health.silent_s("score") == 0


def test_the_lag_follows_what_is_read_committed_and_given_back() -> None:
    """From the poll to the commit; after a rewind from where it is read again; gone with the partition."""
    bench = Bench()
    bench.broker.send("news", b"1")
    bench.broker.send("news", b"2")
    bench.join()
    bench.source.poll(1, 0)
    assert bench.behind() == (10, 2, None)
    bench.sink.commit([], {P0: 1}, bench.source.group_metadata())
    assert bench.behind() == (10, 1, 1)
    bench.source.rewind([P0])
    assert bench.behind() == (10, 0, 1)
    bench.source.poll(10, 0)
    bench.source.seek({P0: 1})
    assert bench.behind() == (10, 0, 1)
    bench.sink.commit([], {P0: 2}, bench.source.group_metadata())
    assert bench.behind() == (0, 0, 2)
    bench.source.close()
    assert bench.watch.lag.behind({}, 0) == {}


def test_only_what_was_committed_is_counted() -> None:
    """Records by topic, dead letters by reason; an abort is counted as such, and takes back the rest."""
    bench = Bench()
    bench.join()
    letters = [dead_letter("out", record(), DecodeError(reason, "")) for reason in ("not_json", "not_json", "not_utf8")]
    forged = OutRecord("out", None, b"", (("tidings.reason", b"mine"), ("tidings.reason", b"too_deep")))
    failing = ObservedSink(Failing(bench.broker), bench.watch)
    with pytest.raises(AbortedError):
        failing.commit(letters, {P0: 1}, bench.source.group_metadata())
    bench.sink.commit([*letters, forged, OutRecord("out", None, b"")], {P0: 1}, bench.source.group_metadata())
    assert bench.watch.published() == ({"out": 5}, {"not_json": 2, "not_utf8": 1, "too_deep": 1})
    assert bench.watch.aborted == 1


class Failing(InMemorySink):
    """Rolls back whatever it is given."""

    def commit(self, *given: Any) -> None:
        """Fail."""
        raise AbortedError(f"rolled back: {given}")


def test_the_model_is_ready_as_long_as_it_answers() -> None:
    """A failure is counted and told, an answer is timed and puts it right."""
    role, figures = watch(), ModelWatch()
    model = ObservedModel(FakeModel(failure=lambda call, _: RetryableError("too slow") if call == 0 else None), role, figures)
    model.submit(BATCH).exception()
    assert role.health.waiting_for() == ["model"]
    assert role.health.readiness().parts["model"]["message"] == "too slow"
    model.submit(BATCH).result()
    assert role.health.waiting_for() == []
    assert figures.failures == 1
    assert [
        sample.value for family in figures.seconds.collect() for sample in family.samples if sample.name.endswith("count")
    ] == [1]
    assert model.info().name == "sentiment"
    model.close()


class Archive:
    """Remembers any record, and no event."""

    def signals(self, partition: TopicPartition, offsets: range) -> list[Record]:
        """Nothing."""
        return [record(topic=partition.topic, offset=offset) for offset in offsets]

    def alert_events(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, list[StoredEvent]]:
        """Nothing."""
        return {partition: [] for partition in partitions}


def test_loading_a_partition_is_a_sign_of_life() -> None:
    """A rebuild may take long, and polls nothing meanwhile: each question to the history or the store counts."""
    clock = Clock()
    role = watch("alert", clock)
    history, store = ObservedHistory(Archive(), role), ObservedStore(InMemoryAlertStore(), role)
    role.health.beat("alert")
    for ask in (lambda: history.signals(P0, range(2)), lambda: history.alert_events([P0]), lambda: store.load(P0)):
        clock.now_s += 60
        assert role.health.silent_s("alert") == 60
        ask()
        assert role.health.silent_s("alert") == 0


class Redis(InMemoryAlertStore):
    """Answers, or does not, or refuses."""

    error: Exception | None = None

    def commit(self, commit: AlertCommit) -> None:
        """Fail as told."""
        if self.error:
            raise self.error
        super().commit(commit)


def test_redis_is_ready_as_long_as_it_answers() -> None:
    """A commit that is fenced is an answer too: no word against Redis."""
    role, redis = watch("alert"), Redis()
    store = ObservedStore(redis, role)
    commit = AlertCommit(partition=P0, expected_offset=None, next_offset=1, max_event_time_ms=0, states={}, due={}, events=())
    redis.error = RetryableError("Redis does not answer: refused")
    with pytest.raises(RetryableError):
        store.commit(commit)
    assert role.health.waiting_for() == ["redis"]
    redis.error = FencedError("another's")
    with pytest.raises(FencedError):
        store.commit(commit)
    assert role.health.waiting_for() == []
    redis.error = None
    store.commit(commit)
    state = store.load(P0)
    assert state is not None
    assert state.next_offset == 1
    assert store.states(P0, ["a"]) == {}
    assert store.events(P0, 0, 1).events == []
    store.trim(P0, 0)
    store.close()
