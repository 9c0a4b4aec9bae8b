"""Load what the store holds of a partition, and make good what it lost."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import structlog

from worker.alert.partition import Effects, PartitionMemory
from worker.alert.rebuild import Past, Reach, past, replay_start
from worker.alert.rules import RuleSet
from worker.alert.state import NEVER_MS
from worker.errors import FencedError, RetryableError
from worker.messages import TopicPartition
from worker.ports import AlertCommit, AlertStore, History, PartitionState, Source, StoredEvent

log = structlog.get_logger(__name__)


class AlertPorts(msgspec.Struct, frozen=True):
    """What the role reads from, keeps its state in, and looks back in after a loss."""

    source: Source
    store: AlertStore
    history: History


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
    store_pause_s: float = 2.0
    """Pauses between tries of a store that does not answer grow to this."""
    check_store_s: float = 5.0
    """How often to see that the store still stands where we left it."""
    restored_events: int = 10_000
    """Of a lost stream, so many events from before the replay are put back; as many as the store keeps."""
    wall_clock: Callable[[], float] = time.time
    """Seconds since the epoch; asked only for where in Kafka to begin a rebuild, never for a decision."""


class Loaded(NamedTuple):
    """A partition as it goes on: its memory, the relay's position, and whether the store had lost some of it."""

    memory: PartitionMemory
    position: int | None
    is_rebuilt: bool


class _Standing(NamedTuple):
    """Where a partition stands: the relay's position, what the store holds, and what is on record if that is behind."""

    position: int | None
    stored: PartitionState | None
    known: Sequence[StoredEvent] = ()

    @property
    def is_behind(self) -> bool:
        return self.position is not None and (self.stored is None or self.stored.next_offset < self.position)


class Loader:
    """Loads partitions from the ports; see `rebuild` for what happens where the store is behind."""

    def __init__(self, ports: AlertPorts, rules: RuleSet, options: AlertOptions) -> None:
        self._source = ports.source
        self._store = ports.store
        self._history = ports.history
        self._rules = rules
        self._options = options

    def replace_rules(self, rules: RuleSet) -> None:
        """Load under these rules from now on."""
        self._rules = rules

    def whole(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        """Return those of which the store has lost nothing, so that to load them takes no time.

        Raises:
            RetryableError: the store or Kafka did not answer.
        """
        positions = self._source.committed(partitions)
        return [p for p in partitions if not _Standing(positions[p], self._store.load(p)).is_behind]

    def load(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Loaded]:
        """Load them all.

        Raises:
            RetryableError: the store or Kafka did not answer, for one of them at least.
        """
        return {partition: self._recall(partition, at) for partition, at in self._standings(partitions).items()}

    def _standings(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, _Standing]:
        positions = self._source.committed(partitions)
        found = {partition: _Standing(positions[partition], self._store.load(partition)) for partition in partitions}
        behind = [partition for partition, standing in found.items() if standing.is_behind]
        known = self._history.alert_events(behind) if behind else {}
        return found | {partition: found[partition]._replace(known=events) for partition, events in known.items()}

    def _recall(self, partition: TopicPartition, at: _Standing) -> Loaded:
        memory = PartitionMemory(self._rules, self._options.allowed_lateness_ms, self._options.cached_keys)
        stored = at.stored
        if at.is_behind and at.position is not None:
            memory.past = past(at.position, at.known)
            stored = stored or self._begin_rebuild(partition, memory.past)
            log.warning("alert state made good", partition=name_of(partition), replay_from=stored.next_offset, upto=at.position)
        if stored is not None:
            memory.resume(stored.next_offset, stored.max_event_time_ms, stored.due)
        return Loaded(memory, at.position, at.is_behind)

    def _begin_rebuild(self, partition: TopicPartition, known: Past) -> PartitionState:
        """Put what lies before the replay back on the stream, and say where the replay begins."""
        lateness_ms, now_ms = self._options.allowed_lateness_ms, int(self._options.wall_clock() * 1_000)
        # Once for the watermark, which lies that far back, and once for signals that may be that much out of order.
        reach = Reach(self._rules.span_ms + 2 * lateness_ms, now_ms)
        start = replay_start(self._source, self._history, partition, known.position, reach)
        restored = known.before(start)[-self._options.restored_events :]
        effects = Effects(start, NEVER_MS, {}, {}, restored, 0)
        try:
            self._store.commit(alert_commit(partition, None, effects))
        except FencedError as error:
            raise RetryableError(f"{name_of(partition)} is being rebuilt by another worker") from error
        return PartitionState(start, NEVER_MS, {})


def alert_commit(partition: TopicPartition, expected_offset: int | None, effects: Effects) -> AlertCommit:
    """Return the commit of these effects, which go on from `expected_offset`."""
    return AlertCommit(
        partition=partition,
        expected_offset=expected_offset,
        next_offset=effects.next_offset,
        max_event_time_ms=effects.max_event_time_ms,
        states=effects.states,
        due=effects.due,
        events=effects.events,
    )


def name_of(partition: TopicPartition) -> str:
    """Return the partition as logs name it."""
    return f"{partition.topic}-{partition.partition}"
