"""Load what the store holds of a partition, and make good what it lost."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import structlog

from worker.alert.late import LateSignals
from worker.alert.partition import Effects, PartitionMemory
from worker.alert.rebuild import Past, Reach, past, replay_start
from worker.alert.rules import RuleSet
from worker.alert.state import NEVER_MS
from worker.errors import FatalError, FencedError, RetryableError
from worker.messages import TopicPartition
from worker.ports import AlertCommit, AlertStore, History, PartitionState, Source, StoredEvent

log = structlog.get_logger(__name__)
_NEVER_TIMESTAMP_MS = 1 << 62
"""Later than any record: asked for by it, a partition answers with its end."""


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
    max_future_ms: int = 300_000
    """A signal of a time further ahead of its record's own is taken at the latter."""
    max_records: int = 2_000
    """Signals handled in one cycle."""
    poll_timeout_s: float = 0.2
    store_pause_s: float = 2.0
    """Pauses between tries of a store that does not answer grow to this."""
    max_unrelayed: int = 100_000
    """Signals decided past the relay's position, all partitions together; past it they are paused until half is relayed."""
    idle_after_s: float = 600.0
    """A partition that was silent for longer makes its open alerts stale, by way of a tick that is written into it."""
    check_store_s: float = 5.0
    """How often to see that the store still stands where we left it."""
    relays_at_once: bool = True
    """Whether events and position are relayed in one transaction, so that a signal of which an event is on record is done."""
    restored_events: int = 10_000
    """Of a lost stream, so many events from before the replay are put back; as many as the store keeps."""
    wall_clock: Callable[[], float] = time.time
    """Seconds since the epoch; asked for where in Kafka to begin a rebuild, and for what a tick says, never for a decision."""


class Loaded(NamedTuple):
    """A partition as it goes on: its memory, the relay's position, and whether the store had lost some of it."""

    memory: PartitionMemory
    position: int | None
    is_rebuilt: bool


class _Standing(NamedTuple):
    """Where a partition stands: the relay's position, what the store holds, and what is on record where one of them is lost."""

    position: int | None
    stored: PartitionState | None
    known: Sequence[StoredEvent] = ()

    @property
    def is_behind(self) -> bool:
        return self.position is not None and (self.stored is None or self.stored.next_offset < self.position)

    @property
    def is_whole(self) -> bool:
        return self.position is not None and not self.is_behind


class Loader:
    """Loads partitions from the ports; see `rebuild` for what happens where the store is behind.

    Where the group has lost the relay's position, the record on `sentiment.alerts` gives it back: see `_on_record`.
    """

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
        """Return those of which neither the store nor the group has lost anything, so that to load them takes no time.

        Raises:
            RetryableError: the store or Kafka did not answer.
        """
        positions = self._source.committed(partitions)
        return [p for p in partitions if _Standing(positions[p], self._store.load(p)).is_whole]

    def load(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Loaded]:
        """Load them all.

        Raises:
            RetryableError: the store or Kafka did not answer, for one of them at least.
            FatalError: the record tells of signals that one of them has never held.
        """
        return {partition: self._recall(partition, at) for partition, at in self._standings(partitions).items()}

    def _standings(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, _Standing]:
        positions = self._source.committed(partitions)
        found = {partition: _Standing(positions[partition], self._store.load(partition)) for partition in partitions}
        ends = self._ends_of_lost([partition for partition in partitions if positions[partition] is None])
        wanted = [partition for partition, standing in found.items() if standing.is_behind or partition in ends]
        known = self._history.alert_events(wanted) if wanted else {}
        placed = {partition: _on_record(partition, known[partition], ends[partition]) for partition in ends}
        return found | {p: _Standing(placed.get(p, positions[p]), found[p].stored, events) for p, events in known.items()}

    def _ends_of_lost(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the end offsets of those that may have had a position: in an empty topic there was no signal to relay for."""
        if not self._options.relays_at_once:
            return {}
        ends = self._source.offsets_at(partitions, _NEVER_TIMESTAMP_MS)
        return {partition: end for partition, end in ends.items() if end > 0}

    def _recall(self, partition: TopicPartition, at: _Standing) -> Loaded:
        memory = PartitionMemory(self._rules, self._options.allowed_lateness_ms, self._options.cached_keys)
        stored = at.stored
        if at.is_behind and at.position is not None:
            memory.past = past(at.position, at.known)
            stored = stored or self._begin_rebuild(partition, memory.past)
            log.warning("alert state made good", partition=name_of(partition), replay_from=stored.next_offset, upto=at.position)
        if stored is not None:
            memory.resume(stored)
        return Loaded(memory, at.position, at.is_behind)

    def _begin_rebuild(self, partition: TopicPartition, known: Past) -> PartitionState:
        """Put what lies before the replay back on the stream, and say where the replay begins."""
        lateness_ms, now_ms = self._options.allowed_lateness_ms, int(self._options.wall_clock() * 1_000)
        # Once for the watermark, which lies that far back, and once for signals that may be that much out of order.
        reach = Reach(self._rules.span_ms + 2 * lateness_ms, now_ms, self._options.max_future_ms)
        start = replay_start(self._source, self._history, partition, known.position, reach)
        before = known.before(start)
        # An event was decided at a boundary that the watermark had passed, so no older signal may count now; but one that says
        # "stale" may have been caused by a clock. The newest event time of all may lie later, but nothing on record tells.
        passed_ms = (stored.event.at_ms for stored in before if stored.event.state != "stale")
        newest_ms = max((at_ms + lateness_ms for at_ms in passed_ms), default=NEVER_MS)
        effects = Effects(start, newest_ms, {}, {}, before[-self._options.restored_events :], LateSignals())
        try:
            self._store.commit(alert_commit(partition, None, effects))
        except FencedError as error:
            raise RetryableError(f"{name_of(partition)} is being rebuilt by another worker") from error
        return PartitionState(start, newest_ms, {})


def _on_record(partition: TopicPartition, known: Sequence[StoredEvent], end: int) -> int | None:
    """Return the relay's position as the record has it, None where it knows of no event.

    All events of one signal go out in one transaction, in the order of signals, so what comes up to the last one is done.

    Raises:
        FatalError: an event was caused by a signal past the end of the partition.
    """
    if not known:
        return None
    last = known[-1].offset
    if last >= end:
        raise FatalError(
            f"{name_of(partition)} ends at {end}, but its alerts on record go up to offset {last}: it was deleted and made"
            " anew, or has lost its end; make the alerts' topic anew too (or name another one, kafka.topics.alerts), and remove"
            " the alert state from Redis"
        )
    log.warning("the relay's position was lost, and is taken from the record", partition=name_of(partition), position=last + 1)
    return last + 1


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
        open=effects.open,
        suppression=effects.suppression,
    )


def name_of(partition: TopicPartition) -> str:
    """Return the partition as logs name it."""
    return f"{partition.topic}-{partition.partition}"
