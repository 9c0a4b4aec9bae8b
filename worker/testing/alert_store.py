"""An `AlertStore` in memory, with the semantics of the one in Redis except that nothing expires."""

from collections.abc import Mapping, Sequence
from operator import attrgetter

import msgspec

from worker.errors import FencedError
from worker.messages import AlertEvent, TopicPartition
from worker.ports import AlertCommit, PartitionState, StoredEvent, StreamPart


class _Held(msgspec.Struct):
    next_offset: int
    max_event_time_ms: int
    states: dict[str, bytes]
    due: dict[str, int]
    events: list[StoredEvent]
    last_place: tuple[int, int]
    last_commit: AlertCommit | None
    open: dict[str, AlertEvent] = {}
    suppression: bytes | None = None


class InMemoryAlertStore:
    """Compare-and-set on the offset, all or nothing, events in order and each once.

    `max_events` are kept per partition by `trim`; `hints` are what subscribers would have heard: partition, offset, sequence.
    """

    def __init__(self, max_events: int = 10_000) -> None:
        self._max_events = max_events
        self._held: dict[TopicPartition, _Held] = {}
        self.hints: list[tuple[TopicPartition, int, int]] = []

    def load(self, partition: TopicPartition) -> PartitionState | None:
        """See `AlertStore.load`."""
        held = self._held.get(partition)
        if held is None:
            return None
        return PartitionState(held.next_offset, held.max_event_time_ms, dict(held.due), held.suppression)

    def open_alerts(self, partition: TopicPartition) -> dict[str, AlertEvent]:
        """See `AlertStore.open_alerts`."""
        held = self._held.get(partition)
        return {} if held is None else dict(held.open)

    def states(self, partition: TopicPartition, keys: Sequence[str]) -> dict[str, bytes]:
        """See `AlertStore.states`."""
        held = self._held.get(partition)
        return {} if held is None else {key: held.states[key] for key in keys if key in held.states}

    def commit(self, commit: AlertCommit) -> None:
        """See `AlertStore.commit`."""
        held = self._held.get(commit.partition)
        if held is not None and held.last_commit == commit:
            return
        if (held.next_offset if held else None) != commit.expected_offset:
            raise FencedError(f"{commit.partition}: stored offset is not {commit.expected_offset}")
        if held is None:
            held = self._held[commit.partition] = _Held(0, 0, {}, {}, [], (-1, -1), None)
        self._write(held, commit)

    def events(self, partition: TopicPartition, from_offset: int, limit: int) -> StreamPart:
        """See `AlertStore.events`."""
        held = self._held.get(partition)
        if held is None:
            return StreamPart([], None)
        found = [stored for stored in held.events if stored.offset >= from_offset]
        if len(found) > limit:
            whole = [stored for stored in found[:limit] if stored.offset < found[limit].offset]
            found = whole or [stored for stored in found if stored.offset == found[0].offset]
        return StreamPart(found, held.next_offset)

    def trim(self, partition: TopicPartition, before_offset: int) -> None:
        """See `AlertStore.trim`."""
        held = self._held.get(partition)
        if held is not None:
            excess = max(0, len(held.events) - self._max_events)
            held.events = [stored for stored in held.events[:excess] if stored.offset >= before_offset] + held.events[excess:]

    def close(self) -> None:
        """See `AlertStore.close`."""

    def snapshot(self) -> dict[TopicPartition, bytes]:
        """Everything there is, as a replica holds it that goes no further."""
        return {partition: msgspec.msgpack.encode(held) for partition, held in self._held.items()}

    def fall_back(self, snapshot: Mapping[TopicPartition, bytes]) -> None:
        """Be again what the snapshot says, as after a failover to a replica that lagged."""
        self._held = {partition: msgspec.msgpack.decode(held, type=_Held) for partition, held in snapshot.items()}

    def forget(self, partition: TopicPartition) -> None:
        """Lose all there is of a partition, as a Redis that came back empty does."""
        self._held.pop(partition, None)

    def _write(self, held: _Held, commit: AlertCommit) -> None:
        held.next_offset, held.max_event_time_ms, held.last_commit = commit.next_offset, commit.max_event_time_ms, commit
        held.states.update(commit.states)
        held.due.update({key: at_ms for key, at_ms in commit.due.items() if at_ms is not None})
        for key in [key for key, at_ms in commit.due.items() if at_ms is None]:
            held.due.pop(key, None)
        held.open.update({alert: event for alert, event in commit.open.items() if event is not None})
        for alert in [alert for alert, event in commit.open.items() if event is None]:
            held.open.pop(alert, None)
        held.suppression = held.suppression if commit.suppression is None else commit.suppression
        for stored in sorted(commit.events, key=attrgetter("offset", "sequence")):
            if (stored.offset, stored.sequence) > held.last_place:
                held.events.append(stored)
                held.last_place = (stored.offset, stored.sequence)
                self.hints.append((commit.partition, stored.offset, stored.sequence))
