"""A broker in memory with the semantics that matter: offsets, groups with generations, transactions, read_committed.

A transaction writes a marker to every partition it touched, so offsets have gaps, as in Kafka. Records of an aborted
transaction stay in the log and are skipped by readers.
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
import structlog

from worker.codec import decode_alert_record
from worker.errors import AbortedError, FatalError
from worker.messages import Headers, OutRecord, Record, TopicPartition
from worker.ports import RebalanceListener, StoredEvent

_logger = structlog.get_logger(__name__)


class _Entry(msgspec.Struct, frozen=True):
    record: Record | None
    """None for a transaction marker, or a record whose transaction was aborted."""


class GroupMetadata(msgspec.Struct, frozen=True):
    """Who commits: the group and the generation that the member knows."""

    group: str
    generation: int


class _Group(msgspec.Struct):
    generation: int = 0
    members: list["InMemorySource"] = []
    committed: dict[TopicPartition, int] = {}


class InMemoryBroker:
    """Topics, groups and committed offsets. Not for use from several threads."""

    def __init__(self, partitions: Mapping[str, int]) -> None:
        self.logs: dict[TopicPartition, list[_Entry]] = {
            TopicPartition(topic, number): [] for topic, count in partitions.items() for number in range(count)
        }
        self.groups: dict[str, _Group] = {}
        self.starts: dict[TopicPartition, int] = {}
        """Where logs begin from which something has expired; see `expire`."""
        self.now_ms = 1_700_000_000_000
        """The timestamp of what is produced next without one."""

    def produce(self, record: OutRecord, partition: int | None = None) -> TopicPartition:
        """Append a record outside any transaction; by default the key chooses the partition."""
        target = self._partition(record) if partition is None else TopicPartition(record.topic, partition)
        self._append(target, record)
        return target

    def send(self, topic: str, value: bytes | None, *, key: bytes | None = None, headers: Headers = ()) -> TopicPartition:
        """Produce in one line."""
        return self.produce(OutRecord(topic, key, value, headers))

    def records(self, topic: str) -> list[Record]:
        """Everything that a read_committed reader of the topic sees, by partition and offset."""
        partitions = [partition for partition in sorted(self.logs) if partition.topic == topic]
        return [record for partition in partitions for record in self.kept(partition)]

    def kept(self, partition: TopicPartition) -> list[Record]:
        """The records of a partition that have not expired."""
        log = self.logs[partition][self.starts.get(partition, 0) :]
        return [entry.record for entry in log if entry.record is not None]

    def expire(self, partition: TopicPartition, before: int) -> None:
        """Remove what lies before the offset, as retention does."""
        self.starts[partition] = before

    def committed(self, group: str) -> dict[TopicPartition, int]:
        """The committed offsets of a group."""
        return dict(self._group(group).committed)

    def rebalance(self, group: str, *, lost: bool = False) -> None:
        """Start a new generation: the partitions are dealt out anew, each member hears of it when it next polls."""
        members = self._group(group).members
        self._group(group).generation += 1
        for index, member in enumerate(members):
            mine = [p for p in self.logs if p.topic in member.topics]
            member.expect(set(mine[index :: len(members)]), lost=lost)

    def transact(self, records: Sequence[OutRecord], offsets: Mapping[TopicPartition, int], group: GroupMetadata) -> None:
        """Write all and commit the offsets, or raise AbortedError if the group has gone on to another generation."""
        fenced = group.generation != self._group(group.group).generation
        for record in records:
            self._append(self._partition(record), None if fenced else record)
        for partition in {self._partition(record) for record in records}:
            self.logs[partition].append(_Entry(None))
        if fenced:
            raise AbortedError("the group has gone on to another generation")
        self._group(group.group).committed.update(offsets)

    def _group(self, name: str) -> _Group:
        return self.groups.setdefault(name, _Group())

    def _partition(self, record: OutRecord) -> TopicPartition:
        if record.partition is not None:
            return TopicPartition(record.topic, record.partition)
        count = sum(partition.topic == record.topic for partition in self.logs)
        return TopicPartition(record.topic, zlib.crc32(record.key or b"") % count)

    def _append(self, target: TopicPartition, record: OutRecord | None) -> None:
        log = self.logs[target]
        log.append(_Entry(None if record is None else self._stored(target, len(log), record)))

    def _stored(self, target: TopicPartition, offset: int, record: OutRecord) -> Record:
        timestamp_ms = self.now_ms if record.timestamp_ms is None else record.timestamp_ms
        return Record(*target, offset, record.key, record.value, timestamp_ms, record.headers)


class InMemorySource:
    """`ports.Source` over an `InMemoryBroker`; joins and leaves its group as a real member does."""

    def __init__(self, broker: InMemoryBroker, group: str) -> None:
        self._broker = broker
        self._group = group
        self._listener: RebalanceListener | None = None
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._expected: set[TopicPartition] | None = None
        self._lost = False
        self._generation = 0
        self.topics: tuple[str, ...] = ()
        self.expired = 0
        """How many offsets were no longer in the log when they were to be read."""

    @property
    def paused(self) -> frozenset[TopicPartition]:
        """The partitions that are paused."""
        return frozenset(self._paused)

    def expect(self, partitions: set[TopicPartition], *, lost: bool) -> None:
        """Called by the broker: take these partitions over at the next poll."""
        self._expected = partitions
        self._lost = lost

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None:
        """See `ports.Source`."""
        self.topics, self._listener = tuple(topics), listener
        self._broker.groups.setdefault(self._group, _Group()).members.append(self)
        self._broker.rebalance(self._group)

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:  # noqa: ARG002 - nothing arrives while we wait
        """See `ports.Source`."""
        self._take_over()
        records: list[Record] = []
        for partition in sorted(self._positions.keys() - self._paused):
            log = self._broker.logs[partition]
            self._stay_in_reach(partition, self._broker.starts.get(partition, 0), len(log))
            while self._positions[partition] < len(log) and len(records) < max_records:
                entry = log[self._positions[partition]]
                self._positions[partition] += 1
                if entry.record is not None:
                    records.append(entry.record)
        return records

    def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        """See `ports.Source`."""
        self._positions.update({partition: offset for partition, offset in offsets.items() if partition in self._positions})

    def rewind(self, partitions: Sequence[TopicPartition]) -> None:
        """See `ports.Source`."""
        starts = self._broker.starts
        committed = self.committed(partitions)
        self.seek({p: starts.get(p, 0) if offset is None else offset for p, offset in committed.items()})

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int | None]:
        """See `ports.Source`."""
        committed = self._broker.committed(self._group)
        return {partition: committed.get(partition) for partition in partitions}

    def offsets_at(self, partitions: Sequence[TopicPartition], timestamp_ms: int) -> dict[TopicPartition, int]:
        """See `ports.Source`."""
        return {partition: self._offset_at(partition, timestamp_ms) for partition in partitions}

    def partitions(self, topic: str) -> list[TopicPartition]:
        """See `ports.Source`."""
        return sorted(partition for partition in self._broker.logs if partition.topic == topic)

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """See `ports.Source`."""
        self._paused.update(partitions)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """See `ports.Source`."""
        self._paused.difference_update(partitions)

    def group_metadata(self) -> GroupMetadata:
        """See `ports.Source`."""
        return GroupMetadata(self._group, self._generation)

    def close(self) -> None:
        """See `ports.Source`."""
        self.expect(set(), lost=False)
        self._take_over()
        members = self._broker.groups[self._group].members if self._group in self._broker.groups else []
        if self in members:
            members.remove(self)
            self._broker.rebalance(self._group)

    def _stay_in_reach(self, partition: TopicPartition, low: int, high: int) -> None:
        """As a real member: what has expired is counted and told, what the log has lost at its end ends the process."""
        at = self._positions[partition]
        if at > high:
            raise FatalError(f"{partition.topic}-{partition.partition} is to be read on at offset {at}, but ends at {high}")
        if at < low:
            name = f"{partition.topic}-{partition.partition}"
            _logger.error("records expired unread", partition=name, first=at, upto=low, offsets=low - at)
            self.expired += low - at
            self._positions[partition] = low

    def _offset_at(self, partition: TopicPartition, timestamp_ms: int) -> int:
        later = (record.offset for record in self._broker.kept(partition) if record.timestamp_ms >= timestamp_ms)
        return next(later, len(self._broker.logs[partition]))

    def _take_over(self) -> None:
        """Hear of a rebalance: a member that was lost finds out only now, with its partitions already somebody else's.

        As in cooperative rebalancing, a partition comes only after the member that has it let it go; and nothing stays paused.
        """
        if self._expected is None or self._listener is None:
            return
        expected, group = self._expected, self._broker.groups[self._group]
        gone = sorted(self._positions.keys() - expected)
        if not self._lost:
            self._generation = group.generation
        if gone:
            (self._listener.on_lost if self._lost else self._listener.on_revoked)(gone)
        self._generation, self._lost = group.generation, False
        for partition in gone:
            del self._positions[partition]
        self._paused.clear()
        held = {p for member in group.members if member is not self and not member._lost for p in member._positions}  # noqa: SLF001 - its own class
        if expected:
            self._begin(self._listener, sorted(expected - self._positions.keys() - held))
        self._expected = None if self._positions.keys() == expected else expected

    def _begin(self, listener: RebalanceListener, partitions: Sequence[TopicPartition]) -> None:
        starts = listener.on_assigned(partitions)
        group_at = {**dict.fromkeys(partitions, 0), **self._broker.starts, **self._broker.committed(self._group)}
        self._positions.update({p: starts.get(p, group_at[p]) for p in partitions})


class InMemoryAtLeastOnceSink:
    """`ports.Sink` without transactions over an `InMemoryBroker`: what was produced stays, whatever becomes of the offsets."""

    def __init__(self, broker: InMemoryBroker) -> None:
        self._broker = broker
        self.fail_next: Literal["delivery", "commit", "fatal"] | None = None
        """What happens to the next commit: half of it is not delivered, the offsets are not committed, or neither works."""
        self.commits = 0

    def commit(self, records: Sequence[OutRecord], offsets: Mapping[TopicPartition, int], group: object) -> None:
        """See `ports.Sink`."""
        failure, self.fail_next = self.fail_next, None
        if failure == "fatal" or not isinstance(group, GroupMetadata):
            raise FatalError("the producer cannot go on")
        for record in records[: len(records) // 2] if failure == "delivery" else records:
            self._broker.produce(record)
        if failure == "delivery":
            raise AbortedError("a record could not be delivered")
        self._broker.transact((), offsets, GroupMetadata(group.group, -1) if failure == "commit" else group)
        self.commits += 1

    def close(self) -> None:
        """See `ports.Sink`."""


class InMemorySink:
    """`ports.Sink` over an `InMemoryBroker`, able to fail as a real one does."""

    def __init__(self, broker: InMemoryBroker) -> None:
        self._broker = broker
        self.fail_next: Literal["abort", "fatal"] | None = None
        """What happens to the next commit: rolled back, or the producer is fenced."""
        self.commits = 0

    def commit(self, records: Sequence[OutRecord], offsets: Mapping[TopicPartition, int], group: object) -> None:
        """See `ports.Sink`."""
        failure, self.fail_next = self.fail_next, None
        if failure == "fatal":
            raise FatalError("fenced: another producer has this transactional id")
        if not isinstance(group, GroupMetadata):
            raise FatalError("the group metadata is not of this broker")
        self._broker.transact(records, offsets, GroupMetadata(group.group, -1) if failure == "abort" else group)
        self.commits += 1

    def close(self) -> None:
        """See `ports.Sink`."""


class InMemoryHistory:
    """`ports.History` over an `InMemoryBroker`."""

    def __init__(self, broker: InMemoryBroker, alerts: str = "sentiment.alerts") -> None:
        self._broker = broker
        self._alerts = alerts

    def signals(self, partition: TopicPartition, offsets: range) -> list[Record]:
        """See `ports.History`."""
        return [record for record in self._broker.kept(partition) if record.offset in offsets]

    def alert_events(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, list[StoredEvent]]:
        """See `ports.History`."""
        told = [decode_alert_record(record) for record in self._broker.records(self._alerts)]
        found = {p: {(stored.offset, stored.sequence): stored for origin, stored in told if origin == p} for p in partitions}
        return {p: [events[place] for place in sorted(events)] for p, events in found.items()}
