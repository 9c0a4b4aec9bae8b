"""Reading a topic as it is now, and no further."""

from collections.abc import Callable, Iterator
from typing import Any

import confluent_kafka as ck
from confluent_kafka import IsolationLevel, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from worker.adapters.kafka.config import TIMEOUT_S, client_config, configuring, consumer_config, translated
from worker.adapters.kafka.plain import listing, require
from worker.adapters.kafka.refusals import Refusals
from worker.adapters.kafka.source import to_record
from worker.errors import RetryableError
from worker.messages import Record
from worker.settings import KafkaSettings

_METADATA_TIMEOUT_S = 10.0


def _nothing(_: int) -> None: ...


class TopicSnapshot:
    """A topic up to its end as of the moment this was made, committed records only.

    What is written meanwhile is not seen, so reading ends; what lies in a transaction still open is not waited for.

    Raises:
        RetryableError: the cluster did not answer, or there is no such topic.
    """

    def __init__(self, settings: KafkaSettings, topic: str, purpose: str = "dead-letters") -> None:
        """Look at the topic; `purpose` names the group in whose name it is read, which commits nothing."""
        self._topic = topic
        refusals = Refusals("reader", settings)
        extra = {"enable.partition.eof": True, "error_cb": refusals}
        config = consumer_config(settings, f"{settings.group_prefix}-{purpose}") | extra
        with configuring():
            self._consumer = ck.Consumer(config)
            admin = AdminClient(client_config(settings))
        with translated(f"looking at {topic} at {settings.bootstrap_servers}"):
            known = refusals.answer(listing(self._consumer), self._consumer.poll, _METADATA_TIMEOUT_S).topics
            require([topic], known)
            partitions = sorted(known[topic].partitions)
            firsts = self._offsets(admin, partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
            ends = self._offsets(admin, partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        self._bounds = {partition: (firsts[partition], ends[partition]) for partition in partitions}

    @property
    def offsets(self) -> int:
        """How many offsets it has; a few of them are no records."""
        return sum(max(0, end - first) for first, end in self._bounds.values())

    def records(self, since_ms: int | None = None, passed: Callable[[int], None] = _nothing) -> Iterator[Record]:
        """Yield every record in order of partition and offset, from the first that is not older than `since_ms`.

        `passed` is told how many offsets were left behind.

        Raises:
            RetryableError: the cluster answered with an error, or not at all.
        """
        starts = self._starts(since_ms)
        for partition, (first, end) in self._bounds.items():
            done = first
            for record in self._read(partition, starts[partition], end):
                passed(record.offset + 1 - done)
                done = record.offset + 1
                yield record
            passed(max(0, end - done))

    def record(self, partition: int, offset: int) -> Record | None:
        """Return the record at this place, None if there is none."""
        first, end = self._bounds.get(partition, (0, 0))
        if not first <= offset < end:
            return None
        found = next(self._read(partition, offset, end), None)
        return found if found is not None and found.offset == offset else None

    def close(self) -> None:
        """Drop the connection."""
        self._consumer.close()

    def _read(self, partition: int, start: int, end: int) -> Iterator[Record]:
        """Yield from `start` up to `end`. The last offsets may be markers of transactions, so the broker's word ends it too."""
        if start >= end:
            return
        self._consumer.assign([ck.TopicPartition(self._topic, partition, start)])
        while (message := self._next()) is not None and (message.offset() or 0) < end:
            yield to_record(message)
            if message.offset() == end - 1:
                return

    def _next(self) -> "ck.Message | None":
        """Return the next message, None at the end of the partition."""
        with translated(f"reading {self._topic}"):
            message = self._consumer.poll(TIMEOUT_S)
            if message is None:
                raise RetryableError(f"reading {self._topic} failed: no answer within {TIMEOUT_S:.0f} s")
            error = message.error()
            if error is None:
                return message
            if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its only name
                return None
            raise KafkaException(error)

    def _starts(self, since_ms: int | None) -> dict[int, int]:
        if since_ms is None:
            return {partition: first for partition, (first, _) in self._bounds.items()}
        asked = [ck.TopicPartition(self._topic, partition, max(0, since_ms)) for partition in self._bounds]
        with translated("looking offsets up by time"):
            answers = self._consumer.offsets_for_times(asked, timeout=TIMEOUT_S)
        ends = {partition: end for partition, (_, end) in self._bounds.items()}
        return {a.partition: a.offset if a.offset >= 0 else ends[a.partition] for a in answers}

    def _offsets(self, admin: AdminClient, partitions: list[int], spec: OffsetSpec) -> dict[int, int]:
        asked: dict[Any, Any] = {ck.TopicPartition(self._topic, partition): spec for partition in partitions}
        committed = IsolationLevel.READ_COMMITTED
        answers = admin.list_offsets(asked, isolation_level=committed, request_timeout=TIMEOUT_S)
        return {place.partition: int(answer.result(TIMEOUT_S).offset) for place, answer in answers.items()}
