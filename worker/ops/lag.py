"""How far a consumer group is behind, told from the records that went through this worker's hands.

The age of the oldest record that is not committed is what a person waits for. It grows while a worker is held up, paused or
stuck, where a count of records may stand still.
"""

import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from worker.messages import Record, TopicPartition
from worker.ops.latency import Latency
from worker.ports import PartitionStatistics


class _Place(NamedTuple):
    offset: int
    since_ms: int
    """The record's timestamp in Kafka; where it has none, when it came."""


class Behind(NamedTuple):
    """How far one partition is behind: seconds, records, and the committed offset, None while nothing was committed here."""

    seconds: float
    records: int
    committed: int | None


class _Partition:
    """The records in hand, and the oldest of those that were given back unfinished and will be read again."""

    def __init__(self) -> None:
        self.in_hand: deque[_Place] = deque()
        self.given_back: _Place | None = None
        self.unread_since_ms: int | None = None
        self.committed: int | None = None

    def give_back(self) -> None:
        """Drop what is in hand; its age goes on."""
        if self.in_hand and self.given_back is None:
            self.given_back = self.in_hand[0]
        self.in_hand.clear()

    def commit(self, offset: int, now_ms: int, latency: Latency) -> None:
        """Forget what lies before the offset, and note how old it was."""
        self.committed = offset
        while self.in_hand and self.in_hand[0].offset < offset:
            latency.observe((now_ms - self.in_hand.popleft().since_ms) / 1000)
        if self.given_back is not None and self.given_back.offset < offset:
            self.given_back = None

    def oldest_ms(self) -> int | None:
        """Return the timestamp of the oldest record that is known and not committed."""
        known = [place.since_ms for place in (self.given_back, *list(self.in_hand)[:1]) if place is not None]
        return min(known, default=None)


class Lag:
    """One role's lag by partition. Written by the role's thread, read by the server's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._partitions: dict[TopicPartition, _Partition] = {}
        self._latency = Latency()

    def assigned(self, partitions: Iterable[TopicPartition]) -> None:
        """Take on partitions."""
        with self._lock:
            for partition in partitions:
                self._partitions.setdefault(partition, _Partition())

    def forgotten(self, partitions: Iterable[TopicPartition]) -> None:
        """Let go of partitions: their lag is another worker's to tell."""
        with self._lock:
            for partition in partitions:
                self._partitions.pop(partition, None)

    def taken(self, records: Sequence[Record], now_ms: int) -> None:
        """Take records in hand."""
        with self._lock:
            for record in records:
                partition = self._partitions.get(record.topic_partition)
                if partition is not None:
                    since_ms = record.timestamp_ms if record.timestamp_ms > 0 else now_ms
                    partition.in_hand.append(_Place(record.offset, since_ms))

    def given_back(self, partitions: Iterable[TopicPartition]) -> None:
        """Drop what is in hand of partitions that are read again from an earlier offset."""
        with self._lock:
            for partition in partitions:
                if partition in self._partitions:
                    self._partitions[partition].give_back()

    def committed(self, offsets: Mapping[TopicPartition, int], now_ms: int) -> None:
        """Everything before these offsets is done."""
        with self._lock:
            for partition, offset in offsets.items():
                if partition in self._partitions:
                    self._partitions[partition].commit(offset, now_ms, self._latency)

    def latency(self) -> Latency:
        """Return how old records were when they were done, so far."""
        with self._lock:
            return self._latency.copy()

    def behind(self, statistics: Mapping[TopicPartition, PartitionStatistics], now_ms: int) -> dict[TopicPartition, Behind]:
        """Return how far each partition is behind.

        Records that wait on the broker and have not been seen yet have no known age: it is counted from when it is first
        noticed that they are there, so that it is too small at first rather than wrong for ever.
        """
        with self._lock:
            return {
                name: _behind(partition, statistics.get(name), now_ms) for name, partition in sorted(self._partitions.items())
            }


def _behind(partition: _Partition, known: PartitionStatistics | None, now_ms: int) -> Behind:
    unread = max(0, known.end - known.next_fetch) + known.queued if known else 0
    if not unread:
        partition.unread_since_ms = None
    elif partition.unread_since_ms is None:
        partition.unread_since_ms = now_ms
    since_ms = min((ms for ms in (partition.oldest_ms(), partition.unread_since_ms) if ms is not None), default=now_ms)
    return Behind(max(0, now_ms - since_ms) / 1000, len(partition.in_hand) + unread, partition.committed)
