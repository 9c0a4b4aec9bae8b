"""The ports with somebody looking on: each passes every call to the real one, and tells `Health` and the metrics how it went.

The roles know nothing of it. A loop that comes round polls its source, so that a poll is the sign of life.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from worker.errors import AbortedError, FencedError, RetryableError, TidingsError
from worker.messages import AlertEvent, OutRecord, Record, TopicPartition
from worker.ops.watch import ModelWatch, RoleWatch
from worker.ports import (
    AlertCommit,
    AlertStore,
    History,
    Model,
    ModelInfo,
    PartitionState,
    RebalanceListener,
    Sink,
    Source,
    SourceStatistics,
    StoredEvent,
    StreamPart,
    TokenBatch,
)

_REASON = "tidings.reason"


class ObservedSource:
    """A `Source` that tells of every poll, of what is in hand, and of how the group goes."""

    def __init__(self, source: Source, watch: RoleWatch, statistics: Callable[[], SourceStatistics | None]) -> None:
        self._source = source
        self._watch = watch
        self._statistics = statistics
        self._assigned: set[TopicPartition] = set()
        self._ever_assigned = False

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None:
        """See `Source`."""
        self._tell()
        self._source.subscribe(topics, _ObservedListener(listener, self))

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """See `Source`."""
        self._watch.health.beat(self._watch.name)
        records = self._source.poll(max_records, timeout_s)
        if records:
            self._watch.lag.taken(records, int(time.time() * 1000))
        if (told := self._statistics()) is not self._watch.statistics:
            self._watch.statistics = told
            self._tell()
        return records

    def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        """See `Source`."""
        self._source.seek(offsets)
        self._watch.lag.given_back(offsets)

    def rewind(self, partitions: Sequence[TopicPartition]) -> None:
        """See `Source`."""
        self._source.rewind(partitions)
        self._watch.lag.given_back(partitions)

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int | None]:
        """See `Source`."""
        return self._source.committed(partitions)

    def offsets_at(self, partitions: Sequence[TopicPartition], timestamp_ms: int) -> dict[TopicPartition, int]:
        """See `Source`."""
        return self._source.offsets_at(partitions, timestamp_ms)

    def partitions(self, topic: str) -> list[TopicPartition]:
        """See `Source`."""
        return self._source.partitions(topic)

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """See `Source`."""
        self._source.pause(partitions)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """See `Source`."""
        self._source.resume(partitions)

    def group_metadata(self) -> object:
        """See `Source`."""
        return self._source.group_metadata()

    def close(self) -> None:
        """See `Source`."""
        self._source.close()

    def came(self, partitions: Sequence[TopicPartition]) -> None:
        """Hear that the listener has taken partitions on."""
        self._assigned.update(partitions)
        self._ever_assigned = self._ever_assigned or bool(partitions)
        self._watch.lag.assigned(partitions)
        self._tell()

    def went(self, partitions: Sequence[TopicPartition]) -> None:
        """Hear that the listener has let partitions go."""
        self._assigned.difference_update(partitions)
        self._watch.lag.forgotten(partitions)
        self._tell()

    def _tell(self) -> None:
        told, name = self._watch.statistics, self._watch.name
        in_group = self._ever_assigned or (told is not None and told.in_group)
        self._watch.health.report(name, name, in_group, self._standing(in_group))
        if told is not None:
            connected = told.brokers_up > 0
            self._watch.health.report(
                "kafka", name, connected, "connected" if connected else "no broker is connected; the worker goes on trying"
            )

    def _standing(self, in_group: bool) -> str:
        if self._assigned:
            return f"at work on {len(self._assigned)} partitions"
        if in_group:
            return "in its group without a partition: other members have them all"
        return "joining its group: no partition was ever assigned"


class _ObservedListener:
    def __init__(self, listener: RebalanceListener, source: ObservedSource) -> None:
        self._listener = listener
        self._source = source

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        starts = self._listener.on_assigned(partitions)
        self._source.came(partitions)
        return starts

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        self._listener.on_revoked(partitions)
        self._source.went(partitions)

    def on_lost(self, partitions: Sequence[TopicPartition]) -> None:
        self._listener.on_lost(partitions)
        self._source.went(partitions)


class ObservedSink:
    """A `Sink` that counts what was committed, and only that: what an abort takes back is not counted."""

    def __init__(self, sink: Sink, watch: RoleWatch) -> None:
        self._sink = sink
        self._watch = watch

    def commit(self, records: Sequence[OutRecord], offsets: Mapping[TopicPartition, int], group: object) -> None:
        """See `Sink`."""
        try:
            with self._watch.commit_seconds.time():
                self._sink.commit(records, offsets, group)
        except AbortedError:
            self._watch.aborted += 1
            raise
        self._watch.lag.committed(offsets, int(time.time() * 1000))
        self._watch.count(Counter(record.topic for record in records), Counter(filter(None, map(_reason, records))))

    def close(self) -> None:
        """See `Sink`."""
        self._sink.close()


class ObservedModel:
    """A `Model` that says how it answers."""

    def __init__(self, model: Model, role: RoleWatch, watch: ModelWatch) -> None:
        self._model = model
        self._role = role
        self._watch = watch

    def info(self) -> ModelInfo:
        """See `Model`."""
        return self._model.info()

    def submit(self, batch: TokenBatch) -> "Future[NDArray[np.float32]]":
        """See `Model`."""
        sent_s = time.monotonic()
        future = self._model.submit(batch)
        future.add_done_callback(lambda done: self._answered(done, time.monotonic() - sent_s))
        return future

    def close(self) -> None:
        """See `Model`."""
        self._model.close()

    def _answered(self, done: "Future[NDArray[np.float32]]", seconds: float) -> None:
        error = None if done.cancelled() else done.exception()
        if isinstance(error, TidingsError):
            self._watch.failures += 1
            self._role.health.report("model", self._role.name, False, str(error))
        elif not done.cancelled():
            self._watch.seconds.observe(seconds)
            self._role.health.report("model", self._role.name, True, "answers")


class ObservedStore:
    """An `AlertStore` that says whether it answers."""

    def __init__(self, store: AlertStore, watch: RoleWatch) -> None:
        self._store = store
        self._watch = watch

    def load(self, partition: TopicPartition) -> PartitionState | None:
        """See `AlertStore`."""
        with self._asked():
            return self._store.load(partition)

    def states(self, partition: TopicPartition, keys: Sequence[str]) -> dict[str, bytes]:
        """See `AlertStore`."""
        with self._asked():
            return self._store.states(partition, keys)

    def open_alerts(self, partition: TopicPartition) -> dict[str, AlertEvent]:
        """See `AlertStore`."""
        with self._asked():
            return self._store.open_alerts(partition)

    def commit(self, commit: AlertCommit) -> None:
        """See `AlertStore`."""
        with self._asked():
            self._store.commit(commit)

    def events(self, partition: TopicPartition, from_offset: int, limit: int) -> StreamPart:
        """See `AlertStore`."""
        with self._asked():
            return self._store.events(partition, from_offset, limit)

    def trim(self, partition: TopicPartition, before_offset: int) -> None:
        """See `AlertStore`."""
        with self._asked():
            self._store.trim(partition, before_offset)

    def close(self) -> None:
        """See `AlertStore`."""
        self._store.close()

    @contextmanager
    def _asked(self) -> Iterator[None]:
        self._watch.health.beat(self._watch.name)
        try:
            yield
        except RetryableError as error:
            self._watch.health.report("redis", self._watch.name, False, str(error))
            raise
        except FencedError:
            self._watch.health.report("redis", self._watch.name, True, "answers")
            raise
        self._watch.health.report("redis", self._watch.name, True, "answers")


class ObservedHistory:
    """A `History` whose answers are a sign of life: loading a partition takes many of them, and no poll comes in between."""

    def __init__(self, history: History, watch: RoleWatch) -> None:
        self._history = history
        self._watch = watch

    def signals(self, partition: TopicPartition, offsets: range) -> list[Record]:
        """See `History`."""
        self._watch.health.beat(self._watch.name)
        return self._history.signals(partition, offsets)

    def alert_events(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, list[StoredEvent]]:
        """See `History`."""
        self._watch.health.beat(self._watch.name)
        return self._history.alert_events(partitions)


def _reason(record: OutRecord) -> str | None:
    """Return the reason of a dead letter, None for any other record; added headers come last."""
    if not record.headers:
        return None
    found = next((value for name, value in reversed(record.headers) if name == _REASON), None)
    return found.decode() if found is not None else None
