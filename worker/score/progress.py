"""Know which messages are done, and give them out in the order in which Kafka gave them in.

Batches finish in any order; offsets may only be committed without gaps. What is finished behind a gap waits for it.
"""

from collections.abc import Iterable, Sequence
from itertools import takewhile

import msgspec

from worker.messages import OutRecord, TopicPartition


class _Entry(msgspec.Struct):
    size: int
    outputs: Sequence[OutRecord] | None = None


class Progress:
    """Per partition, the messages in hand by offset, each with what it produced once it is done."""

    def __init__(self) -> None:
        self._partitions: dict[TopicPartition, dict[int, _Entry]] = {}
        self._finished = 0
        self.size = 0
        """The size in bytes, as told to `begin`, of what is in hand."""

    def __len__(self) -> int:
        return sum(map(len, self._partitions.values()))

    @property
    def finished(self) -> int:
        """How many messages are done and not yet taken, those behind a gap included."""
        return self._finished

    def begin(self, partition: TopicPartition, offset: int, size: int = 0) -> None:
        """Take a message of so many bytes in hand.

        Raises:
            ValueError: the offset does not grow; a partition's records come in order, so that is a fault of the source.
        """
        in_hand = self._partitions.setdefault(partition, {})
        if in_hand and offset <= next(reversed(in_hand)):
            raise ValueError(f"{partition.topic}-{partition.partition}: offset {offset} after {next(reversed(in_hand))}")
        in_hand[offset] = _Entry(size)
        self.size += size

    def finish(self, partition: TopicPartition, offset: int, outputs: Sequence[OutRecord]) -> None:
        """Say what a message produced. One that is no longer in hand, its partition lost or rewound, is ignored."""
        entry = self._partitions.get(partition, {}).get(offset)
        if entry is not None and entry.outputs is None:
            entry.outputs = outputs
            self._finished += 1

    def take(self) -> tuple[list[OutRecord], dict[TopicPartition, int]]:
        """Return everything that is done without a gap before it, and for each partition the next offset to read."""
        records: list[OutRecord] = []
        offsets: dict[TopicPartition, int] = {}
        for partition, in_hand in self._partitions.items():
            done = [offset for offset, _ in takewhile(lambda item: item[1].outputs is not None, in_hand.items())]
            for offset in done:
                entry = in_hand.pop(offset)
                records.extend(entry.outputs or ())
                offsets[partition] = offset + 1
                self.size -= entry.size
            self._finished -= len(done)
        return records, offsets

    def clear(self) -> None:
        """Forget everything."""
        self.drop(list(self._partitions))

    def drop(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget these partitions."""
        for partition in partitions:
            in_hand = self._partitions.pop(partition, {})
            self._finished -= sum(entry.outputs is not None for entry in in_hand.values())
            self.size -= sum(entry.size for entry in in_hand.values())
