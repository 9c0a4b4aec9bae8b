"""What the roles need from outside, as protocols. Adapters implement them; `worker.testing` has in-memory ones.

One contract suite (`tests/contract/`) holds every implementation, in memory or real, to the rules written here.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from itertools import pairwise
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from worker.messages import AlertEvent, OutRecord, Record, TopicPartition


class RebalanceListener(Protocol):
    """Told of changes to a consumer's partitions, from within `Source.poll` or `Source.close`, on the same thread.

    Raises nothing but FatalError: a real consumer drops the records of a poll whose callback raised, and reads on behind them.
    """

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Answer with the offset to start from for each partition that should not start at the group's committed offset."""
        ...

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """The partitions are about to go to another member, and are still ours until this returns: commit what is done."""
        ...

    def on_lost(self, partitions: Sequence[TopicPartition]) -> None:
        """The partitions are already somebody else's: drop what is in hand and commit nothing."""
        ...


class PartitionStatistics(msgspec.Struct, frozen=True):
    """What a consumer last knew of a partition: the offset it fetches next, the end, and how many records wait fetched.

    The end is that of a read_committed reader. Of a partition that is paused nothing new is learnt.
    """

    next_fetch: int
    end: int
    queued: int


class SourceStatistics(msgspec.Struct, frozen=True):
    """What a consumer last knew of its cluster and its group: a copy, a few seconds old at most while it polls."""

    brokers_up: int
    in_group: bool
    """Whether it is a member that takes part, with or without partitions."""
    rebalances: int
    partitions: dict[TopicPartition, PartitionStatistics]
    expired: int = 0
    """How many offsets retention had removed before this consumer came to read them."""
    standstills: int = 0
    """How many partitions were begun again because the client had stopped fetching them."""


class Source(Protocol):
    """A consumer in a group. It never commits: offsets go through `Sink.commit` or live with the effects."""

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None:
        """Join the group."""
        ...

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """Return up to `max_records`, in offset order per partition, of currently assigned partitions only.

        Where the offset to read next has expired, it is said how much is lost, and reading goes on where the log begins.

        Raises:
            FatalError: this member can no longer take part in the group, or a log ends before the offset to read next.
        """
        ...

    def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read on from these offsets."""
        ...

    def rewind(self, partitions: Sequence[TopicPartition]) -> None:
        """Read on from the group's committed offsets (or the start of the partition), as after an abort."""
        ...

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int | None]:
        """Return the group's committed offset of each partition, None where there is none."""
        ...

    def offsets_at(self, partitions: Sequence[TopicPartition], timestamp_ms: int) -> dict[TopicPartition, int]:
        """Return for each partition the first offset whose timestamp is at or after `timestamp_ms`, else its end offset."""
        ...

    def partitions(self, topic: str) -> list[TopicPartition]:
        """Return all partitions of a topic, whoever has them, in order.

        Raises:
            RetryableError: the cluster did not answer.
        """
        ...

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Stop returning records of these partitions; polling goes on, and the membership with it."""
        ...

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Undo `pause`."""
        ...

    def group_metadata(self) -> object:
        """Return what `Sink.commit` needs to fence a member that is no longer of the group."""
        ...

    def close(self) -> None:
        """Leave the group."""
        ...


class Sink(Protocol):
    """A transactional producer."""

    def commit(self, records: Sequence[OutRecord], offsets: Mapping[TopicPartition, int], group: object) -> None:
        """Produce `records` and commit `offsets` (each the next one to read) for the group in one transaction.

        Raises:
            AbortedError: rolled back; a `read_committed` reader sees nothing of it.
            FatalError: fenced, or otherwise unable to produce again.
        """
        ...

    def close(self) -> None:
        """Flush nothing, hold nothing: an open transaction is aborted."""
        ...


class TokenBatch(msgspec.Struct, frozen=True):
    """A padded batch: `input_ids` and `attention_mask`, int64, both of shape (texts, tokens).

    A model does not look at `rows`, each with the `item` of its text, where they are told. `headers` go along to a server.
    """

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    rows: Sequence[Any] = ()
    headers: Mapping[str, str] | None = None


class ModelInfo(msgspec.Struct, frozen=True):
    """What the server itself says of a model: versions it serves, tensor name to (datatype, shape) without the batch axis."""

    name: str
    versions: tuple[str, ...]
    platform: str
    max_batch_size: int
    inputs: dict[str, tuple[str, tuple[int, ...]]]
    outputs: dict[str, tuple[str, tuple[int, ...]]]
    server: str


class Model(Protocol):
    """A served classifier, or more than one that answer as one."""

    def info(self) -> ModelInfo:
        """Ask the server.

        Raises:
            RetryableError: the server or the model is not there (yet).
        """
        ...

    def submit(self, batch: TokenBatch) -> "Future[NDArray[np.float32]]":
        """Start inference; the future ends, with answers of shape (texts, columns) or with an error.

        The columns are the logits, one for each label, and behind them what else the model was opened for, such as embeddings.

        ModelError says whether the model was not there or answered this batch with an error, ContractError that it is another
        model than was promised. A request that takes too long is cancelled.
        """
        ...

    def close(self) -> None:
        """Drop the connection; what is in flight fails."""
        ...


class StoredEvent(msgspec.Struct, frozen=True):
    """An alert event in the store's stream. `offset` is the signal that caused it, `sequence` its place among those."""

    offset: int
    sequence: int
    event: AlertEvent


class StreamPart(msgspec.Struct, frozen=True):
    """A part of the store's stream, and where the partition stood at the moment of reading, None if nothing is known of it.

    A store that fell back to an earlier state lacks events that its writer remembers; `next_offset` tells.
    """

    events: list[StoredEvent]
    next_offset: int | None


class PartitionState(msgspec.Struct, frozen=True):
    """Where one partition of `sentiment.signals` stands.

    `next_offset` is the next signal to read, `max_event_time_ms` the largest event time seen (the watermark follows from it),
    `due` maps each alert key with a timer to the event time at which it must be looked at. `suppression` is what keeps alerts
    quiet, encoded; None where nothing was ever stored of it.
    """

    next_offset: int
    max_event_time_ms: int
    due: dict[str, int]
    suppression: bytes | None = None


class AlertCommit(msgspec.Struct, frozen=True, kw_only=True):
    """The effects of a run of signals of one partition, from `expected_offset` (None: nothing stored yet) to `next_offset`.

    `states` maps alert keys to their encoded state; `due` to their timers, None where a timer is to go. `events` are in order
    of (offset, sequence). `open` maps alert ids to their last event, None where the alert has ended; `suppression` is what
    keeps alerts quiet, encoded, None where that is as before.

    Raises:
        ValueError: the offsets do not grow, or the events are not of this run or out of order.
    """

    partition: TopicPartition
    expected_offset: int | None
    next_offset: int
    max_event_time_ms: int
    states: dict[str, bytes]
    due: dict[str, int | None]
    events: tuple[StoredEvent, ...]
    open: dict[str, AlertEvent | None] = {}
    suppression: bytes | None = None

    def __post_init__(self) -> None:
        places = [(stored.offset, stored.sequence) for stored in self.events]
        if self.next_offset <= (-1 if self.expected_offset is None else self.expected_offset):
            raise ValueError(f"next offset {self.next_offset} does not lie past {self.expected_offset}")
        if any(later <= earlier for earlier, later in pairwise(places)) or any(
            not (self.expected_offset or 0) <= offset < self.next_offset for offset, _ in places
        ):
            raise ValueError("events must be of signals of this run, each once, in order")


class AlertStore(Protocol):
    """Where alert state, offsets and the stream of alert events live together."""

    def load(self, partition: TopicPartition) -> PartitionState | None:
        """Return where the partition stands, None if nothing is known of it."""
        ...

    def states(self, partition: TopicPartition, keys: Sequence[str]) -> dict[str, bytes]:
        """Return the stored state of those keys that have one."""
        ...

    def open_alerts(self, partition: TopicPartition) -> dict[str, AlertEvent]:
        """Return the last event of each open alert, by alert id."""
        ...

    def commit(self, commit: AlertCommit) -> None:
        """Write all of it or nothing, in one step.

        Raises:
            FencedError: the stored offset is not the expected one, and not this commit's own result either.
            RetryableError: the store did not answer; calling again with the same commit is safe.
        """
        ...

    def events(self, partition: TopicPartition, from_offset: int, limit: int) -> StreamPart:
        """Return the events of signals at `from_offset` and later, in order; never part of one signal's events.

        At most `limit`, unless a single signal caused more. Events and offset are read in one step.
        """
        ...

    def trim(self, partition: TopicPartition, before_offset: int) -> None:
        """Forget the oldest events past the store's retention, and only such as were caused before `before_offset`."""
        ...

    def close(self) -> None:
        """Drop the connection."""
        ...


class History(Protocol):
    """What Kafka remembers, read without a group and committed records only: how lost alert state is made good."""

    def signals(self, partition: TopicPartition, offsets: range) -> list[Record]:
        """Return the records of a partition at these offsets, in order; what is no longer there, or never was, is left out.

        Raises:
            RetryableError: the cluster did not answer.
        """
        ...

    def alert_events(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, list[StoredEvent]]:
        """Return what `sentiment.alerts` holds of the events that signals of these partitions caused, each once, in order.

        Raises:
            RetryableError: the cluster did not answer.
        """
        ...
