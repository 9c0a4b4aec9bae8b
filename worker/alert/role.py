"""The alert role: reads signals, decides, stores the effects of each run of them at once, and has them relayed.

The offset lives with the effects, in the store; the consumer group's committed offset is the relay's position.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec
import structlog

from worker.alert.partition import Effects, PartitionMemory, Placed
from worker.alert.rebuild import replay_start
from worker.alert.relay import Relay
from worker.alert.rules import RuleSet
from worker.codec import decode_signal
from worker.errors import DecodeError, FatalError, FencedError, RetryableError
from worker.messages import AlertEvent, Record, Signal, TopicPartition
from worker.ports import AlertCommit, AlertStore, Source

T = TypeVar("T")
_Offsets = dict[TopicPartition, int | None]

log = structlog.get_logger(__name__)


class AlertOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How much at a time, how late, and how patient."""

    topic: str = "sentiment.signals"
    allowed_lateness_ms: int = 5_000
    """How far behind the newest signal of a partition one may still count."""
    cached_keys: int = 100_000
    """States held in memory per partition; the others are fetched when needed."""
    max_records: int = 2_000
    """Signals handled in one cycle."""
    poll_timeout_s: float = 0.2
    store_patience: int = 30
    """Tries of the store, with pauses that grow to `store_pause_s`, before the process gives up."""
    rebalance_patience: int = 5
    """The same within a rebalance, where the whole group waits for us."""
    store_pause_s: float = 2.0
    wall_clock: Callable[[], float] = time.time
    """Seconds since the epoch; asked only for where in Kafka to begin a rebuild, never for a decision."""
    sleep: Callable[[float], None] = time.sleep
    """Waits between tries where polling is not possible, inside a rebalance."""


class AlertCounts(msgspec.Struct):
    """What the role has done since it started."""

    signals: int = 0
    undecodable: int = 0
    late: int = 0
    fired: int = 0
    resolved: int = 0
    relayed: int = 0
    fenced: int = 0
    store_retries: int = 0


class AlertRole:
    """Reads the partitions of `sentiment.signals` that the group assigns to it; one thread, one consumer."""

    def __init__(
        self, source: Source, store: AlertStore, relay: Relay, rules: RuleSet, options: AlertOptions | None = None
    ) -> None:
        self._source = source
        self._store = store
        self._relay = relay
        self._rules = rules
        self._options = options or AlertOptions()
        self._memory: dict[TopicPartition, PartitionMemory] = {}
        self._backlog: list[Record] = []
        self._subscribed = False
        self.counts = AlertCounts()

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; the cycle under way is finished.

        Raises:
            FatalError: this process cannot go on.
        """
        while not stop.is_set():
            self.step(self._options.poll_timeout_s, time.monotonic())

    def run_until_idle(self, timeout_s: float = 0.0) -> None:
        """Work until a cycle of `timeout_s` brings no signal and relays no event, as tests and backfills want it."""
        relayed = -1
        while self.step(timeout_s, time.monotonic()) or self.counts.relayed != relayed:
            relayed = self.counts.relayed

    def step(self, timeout_s: float, now_s: float) -> int:
        """Do one cycle and return how many signals it took; `now_s` is monotonic.

        1. Poll; partitions may come and go in it.
        2. Decide each partition's run of signals and commit its effects with the new offset.
        3. Relay what is new on the stream.
        """
        if not self._subscribed:
            self._source.subscribe([self._options.topic], self)
            self._subscribed = True
        records = self._take(timeout_s)
        holders = dict(self._memory)
        for partition, run in _by_partition(records).items():
            if partition in holders and self._memory.get(partition) is holders[partition]:
                self._advance(partition, holders[partition], run)
        reached = {partition: memory.next_offset or 0 for partition, memory in self._memory.items()}
        self.counts.relayed += self._relay.pump(reached, self._source.group_metadata(), now_s)
        return len(records)

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Load where the partitions stand and answer with where to read on; see `RebalanceListener`."""
        starts, positions = self._until_loaded(partitions)
        self._relay.assign(positions)
        log.info("partitions assigned", partitions=_names(partitions), starts=[starts[partition] for partition in partitions])
        return {partition: start for partition, start in starts.items() if start is not None}

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Drop the partitions; every cycle has committed what it did, so nothing is left to do."""
        self._forget(partitions)
        log.info("partitions revoked", partitions=_names(partitions))

    def on_lost(self, partitions: Sequence[TopicPartition]) -> None:
        """Drop the partitions; the store would refuse what we might still commit."""
        self._forget(partitions)
        log.warning("partitions lost", partitions=_names(partitions))

    def _take(self, timeout_s: float) -> list[Record]:
        backlog, self._backlog = self._backlog, []
        return backlog or self._source.poll(self._options.max_records, timeout_s)

    def _advance(self, partition: TopicPartition, memory: PartitionMemory, records: Sequence[Record]) -> None:
        _check_onward(partition, memory, records)
        try:
            self._commit(partition, memory, [Placed(record.offset, self._decode(record)) for record in records])
        except FencedError as error:
            self.counts.fenced += 1
            log.warning("partition fenced", partition=_name(partition), error=str(error))
            if partition in self._memory:
                self._reload(partition)

    def _reload(self, partition: TopicPartition) -> None:
        """Throw away what is in hand and read on from where the store stands."""
        self._forget([partition])
        starts = self.on_assigned([partition])
        if starts:
            self._source.seek(starts)
        else:
            self._source.rewind([partition])

    def _commit(self, partition: TopicPartition, memory: PartitionMemory, run: Sequence[Placed]) -> None:
        keys = memory.missing(run)
        memory.learn(keys, self._patiently(partition, lambda: self._store.states(partition, keys)) if keys else {})
        effects = memory.apply(run)
        commit = _alert_commit(partition, memory.next_offset, effects)
        self._patiently(partition, lambda: self._store.commit(commit))
        memory.settle(effects.next_offset)
        self._account(partition, len(run), effects)

    def _account(self, partition: TopicPartition, signals: int, effects: Effects) -> None:
        self.counts.signals += signals
        self.counts.late += effects.late
        if effects.events:
            self._relay.announce(partition)
        for stored in effects.events:
            self._announce(stored.event)

    def _announce(self, event: AlertEvent) -> None:
        told = {"rule": event.rule, "key": event.alert_key, "alert_id": event.alert_id, "reason": event.reason}
        figures = {"share": round(event.evidence.negative_share, 3), "messages": event.evidence.messages}
        if event.state == "firing":
            self.counts.fired += 1
            log.warning("alert fired", severity=event.severity, **told, **figures)
        else:
            self.counts.resolved += 1
            log.info("alert resolved", severity=event.severity, **told, **figures)

    def _decode(self, record: Record) -> Signal | None:
        try:
            return decode_signal(record.value)
        except DecodeError as error:
            self.counts.undecodable += 1
            log.warning("signal undecodable", partition=_name(record.topic_partition), offset=record.offset, error=str(error))
            return None

    def _patiently(self, partition: TopicPartition, call: Callable[[], T]) -> T:
        """Call the store until it answers. Meanwhile poll on, paused, so that the group does not take us for dead.

        Raises:
            FencedError: the partition went to another member meanwhile.
            FatalError: the store did not answer in all that time.
        """
        attempt = 0
        try:
            for attempt in range(self._options.store_patience):
                if attempt and partition not in self._memory:
                    raise FencedError(f"{_name(partition)} went to another member while the store did not answer")
                try:
                    return call()
                except RetryableError as error:
                    self._wait(attempt, error)
        finally:
            if attempt:
                self._source.resume(list(self._memory))
        raise FatalError("the alert store did not answer for too long; is Redis up?")

    def _wait(self, attempt: int, error: RetryableError) -> None:
        self.counts.store_retries += 1
        log.warning("alert store unavailable", attempt=attempt + 1, error=str(error))
        self._source.pause(list(self._memory))
        self._backlog += self._source.poll(self._options.max_records, self._pause_s(attempt))

    def _pause_s(self, attempt: int) -> float:
        return min(0.05 * 2.0**attempt, self._options.store_pause_s)

    def _until_loaded(self, partitions: Sequence[TopicPartition]) -> tuple[_Offsets, _Offsets]:
        """Return where to read each partition from, and its relay position."""
        for attempt in range(self._options.rebalance_patience):
            try:
                positions = self._source.committed(partitions)
                return {partition: self._load(partition, positions[partition]) for partition in partitions}, positions
            except RetryableError as error:
                log.warning("partitions cannot be loaded yet", attempt=attempt + 1, error=str(error))
                self._options.sleep(self._pause_s(attempt))
        raise FatalError("the state of newly assigned partitions could not be loaded; are Redis and Kafka up?")

    def _load(self, partition: TopicPartition, position: int | None) -> int | None:
        memory = PartitionMemory(self._rules, self._options.allowed_lateness_ms, self._options.cached_keys)
        memory.announce_from = position or 0
        stored = self._store.load(partition)
        self._memory[partition] = memory
        if stored is not None:
            memory.resume(stored.next_offset, stored.max_event_time_ms, stored.due)
            return stored.next_offset
        if position is None:
            return None
        now_ms = int(self._options.wall_clock() * 1_000)
        start = replay_start(self._source, partition, position, now_ms, self._rules.span_ms + self._options.allowed_lateness_ms)
        log.warning("alert state rebuilt from signals", partition=_name(partition), start=start, known_until=position)
        return start

    def _forget(self, partitions: Iterable[TopicPartition]) -> None:
        gone = set(partitions)
        for partition in gone:
            self._memory.pop(partition, None)
        self._backlog = [record for record in self._backlog if record.topic_partition not in gone]
        self._relay.forget(list(gone))


def _by_partition(records: Iterable[Record]) -> dict[TopicPartition, list[Record]]:
    runs: dict[TopicPartition, list[Record]] = {}
    for record in records:
        runs.setdefault(record.topic_partition, []).append(record)
    return runs


def _check_onward(partition: TopicPartition, memory: PartitionMemory, records: Sequence[Record]) -> None:
    """Refuse to pass over signals in silence: a topic that was made anew begins before the offset that the store holds."""
    if records[0].offset < (memory.next_offset or 0):
        raise FatalError(
            f"{_name(partition)} gave offset {records[0].offset}, but alerts are stored up to {memory.next_offset}: was the"
            " topic deleted and made anew? Then remove its alert state from Redis, or choose another redis.prefix"
        )


def _alert_commit(partition: TopicPartition, expected_offset: int | None, effects: Effects) -> AlertCommit:
    return AlertCommit(
        partition=partition,
        expected_offset=expected_offset,
        next_offset=effects.next_offset,
        max_event_time_ms=effects.max_event_time_ms,
        states=effects.states,
        due=effects.due,
        events=effects.events,
    )


def _name(partition: TopicPartition) -> str:
    return f"{partition.topic}-{partition.partition}"


def _names(partitions: Iterable[TopicPartition]) -> list[str]:
    return [_name(partition) for partition in partitions]
