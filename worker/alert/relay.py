"""From the store's stream of alert events to `sentiment.alerts`, exactly once.

The position of a partition of `sentiment.signals` is the alert group's committed offset there: all alert events caused by
signals before it are on `sentiment.alerts`. It moves in the Kafka transaction that produces those events, and never past
where the store itself stood when the events were read: a store that fell back to a lagging replica lacks events that this
worker has handed to it, and to pass over them would lose them.

With an event of an alert that may inhibit others goes, in the same transaction, word of it to every partition of signals, where
those others may be.

Each record says in its headers which signal caused the event, so that `rebuild` can tell what happened from the topic alone.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import structlog

from worker.backoff import back_off_s
from worker.codec import alert_record, control_record
from worker.errors import RetryableError
from worker.messages import AlertEvent, Inhibitor, OutRecord, TopicPartition
from worker.ports import AlertStore, Sink, StoredEvent

log = structlog.get_logger(__name__)


class RelayOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Where events go, how many at a time, and how often the position moves when there are none."""

    topic: str = "sentiment.alerts"
    max_events: int = 500
    """Events of one partition in one transaction (more only where a single signal caused more)."""
    idle_commit_s: float = 1.0
    """Positions past which there was no event are committed this often, so that the group's lag tells the truth."""
    max_pause_s: float = 5.0
    """Pauses between tries that fail grow to this."""


class _Place(msgspec.Struct):
    position: int
    unread: bool = True
    """Whether the stream may hold events at or after the position: at first it may, then only what the role told of."""


class _Move(NamedTuple):
    position: int
    events: list[StoredEvent]
    drained: bool


class Relay:
    """Relays the assigned partitions. Told of them, and driven, by the alert role; never waits but for its neighbours."""

    def __init__(
        self,
        sink: Sink,
        store: AlertStore,
        options: RelayOptions | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._sink = sink
        self._store = store
        self._options = options or RelayOptions()
        self._places: dict[TopicPartition, _Place] = {}
        self._said: dict[TopicPartition, list[OutRecord]] = {}
        self._is_source: Callable[[Mapping[str, str]], bool] = lambda _: False
        self._everywhere: Callable[[], Sequence[TopicPartition]] = lambda: ()
        self._jitter = jitter
        self._failures = 0
        self._committed_at_s = self._not_before_s = float("-inf")

    def inhibit(
        self, is_source: Callable[[Mapping[str, str]], bool], everywhere: Callable[[], Sequence[TopicPartition]]
    ) -> None:
        """Hear by which labels an alert may inhibit others, and which partitions are to know; `everywhere` may raise."""
        self._is_source, self._everywhere = is_source, everywhere

    def assign(self, positions: Mapping[TopicPartition, int | None]) -> None:
        """Take on partitions at their committed positions, None meaning their beginning."""
        self._places.update({partition: _Place(position or 0) for partition, position in positions.items()})

    def forget(self, partitions: Sequence[TopicPartition]) -> None:
        """Let go of partitions."""
        for partition in partitions:
            self._places.pop(partition, None)
            self._said.pop(partition, None)

    def announce(self, partition: TopicPartition) -> None:
        """Hear that new events of a partition are in the store."""
        if partition in self._places:
            self._places[partition].unread = True

    def say(self, partition: TopicPartition, record: OutRecord) -> None:
        """Send a record of that partition's with the next transaction."""
        if partition in self._places:
            self._said.setdefault(partition, []).append(record)
            self.hurry()

    def say_everywhere(self, partition: TopicPartition, control: Inhibitor) -> None:
        """Send word of an alert of that partition's to all partitions with the next transaction; raises RetryableError."""
        for target in self._everywhere():
            self.say(partition, control_record(target, control))

    def behind(self, reached: Mapping[TopicPartition, int]) -> int:
        """Return how many signals the positions are behind the offsets `reached`, all partitions together."""
        return sum(
            max(0, offset - self._places[partition].position)
            for partition, offset in reached.items()
            if partition in self._places
        )

    def hurry(self) -> None:
        """Commit the positions at the next call of `pump`, whether there are events or not."""
        self._committed_at_s = float("-inf")

    def pump(self, reached: Mapping[TopicPartition, int], group: object, now_s: float) -> int:
        """Relay what is in the store of signals before the offsets `reached`, in one transaction; return how many events.

        1. Read each partition's events from its position on.
        2. Produce them and commit the new positions; without events, only when it is time to.
        3. Only then move on in memory, and trim the streams.

        What fails in a way that may pass moves nothing, and is done again at a call a little later. `now_s` is monotonic.

        Raises:
            FatalError: the sink or the store cannot go on.
        """
        if now_s < self._not_before_s:
            return 0
        try:
            moves = {partition: self._read(partition, offset) for partition, offset in reached.items()}
            sent = self._commit({partition: move for partition, move in moves.items() if move is not None}, group, now_s)
        except RetryableError as error:
            self._failures += 1
            pause_s = back_off_s(self._failures, self._options.max_pause_s, self._jitter())
            self._not_before_s = now_s + pause_s
            log.warning("relay postponed", attempt=self._failures, pause_s=round(pause_s, 2), error=str(error))
            return 0
        self._failures = 0
        return sent

    def _read(self, partition: TopicPartition, reached: int) -> _Move | None:
        place = self._places.get(partition)
        if place is None or reached <= place.position:
            return None
        if not place.unread:
            return _Move(reached, [], drained=True)
        part = self._store.events(partition, place.position, self._options.max_events)
        upto = min(reached, part.next_offset or 0)
        events = [stored for stored in part.events if stored.offset < upto]
        if events and len(part.events) >= self._options.max_events:
            return _Move(events[-1].offset + 1, events, drained=False)
        return _Move(upto, events, drained=upto == reached) if upto > place.position else None

    def _commit(self, moves: Mapping[TopicPartition, _Move], group: object, now_s: float) -> int:
        placed = [(partition, stored) for partition, move in moves.items() for stored in move.events]
        records = [alert_record(self._options.topic, partition, stored) for partition, stored in placed]
        if not (moves or self._said) or not (records or now_s - self._committed_at_s >= self._options.idle_commit_s):
            return 0
        said = {partition: self._places[partition].position for partition in self._said}
        positions = said | {partition: move.position for partition, move in moves.items()}
        spread = self._spread([stored.event for _, stored in placed])
        self._sink.commit([*records, *spread, *(one for said in self._said.values() for one in said)], positions, group)
        self._said.clear()
        self._committed_at_s = now_s
        self._places.update({partition: _Place(move.position, not move.drained) for partition, move in moves.items()})
        self._trim({partition: move.position for partition, move in moves.items() if move.events})
        return len(records)

    def _spread(self, events: Sequence[AlertEvent]) -> list[OutRecord]:
        """Return word of those that may inhibit others, for every partition."""
        steps = [event for event in events if event.change in {None, event.state} and self._is_source(event.labels)]
        everywhere = self._everywhere() if steps else ()
        return [control_record(partition, inhibitor_of(event)) for event in steps for partition in everywhere]

    def _trim(self, positions: Mapping[TopicPartition, int]) -> None:
        """Housekeeping: should it fail, what was sent is sent all the same, and the next trim does it."""
        try:
            for partition, position in positions.items():
                self._store.trim(partition, position)
        except RetryableError as error:
            log.warning("stream not trimmed", error=str(error))


def inhibitor_of(event: AlertEvent) -> Inhibitor:
    """Return word of an alert that may inhibit others: one that is stale is not known to be firing."""
    return Inhibitor(event.alert_id, event.labels, event.state == "firing")
