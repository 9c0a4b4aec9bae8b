"""Looking back in Kafka without a group, for what a rebuild of alert state needs."""

import time
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any

import confluent_kafka as ck
import structlog
from confluent_kafka import IsolationLevel, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from worker.adapters.kafka.config import TIMEOUT_S, client_config, configuring, consumer_config, translated
from worker.adapters.kafka.refusals import Refusals
from worker.adapters.kafka.source import to_record
from worker.codec import decode_alert_record
from worker.errors import DecodeError, RetryableError
from worker.messages import Record, TopicPartition
from worker.ports import StoredEvent
from worker.settings import KafkaSettings

log = structlog.get_logger(__name__)
_BATCH = 500
_SLACK_S = 15.0
"""How much later than its timeout the broker may abort a transaction whose producer is gone."""
_LOOK_AGAIN_S = 0.5


class KafkaHistory:
    """`ports.History` over consumers that live as long as one question: it is asked after a loss, not while all is well."""

    def __init__(self, settings: KafkaSettings, role: str = "alert") -> None:
        self._settings = settings
        self._role = role

    def signals(self, partition: TopicPartition, offsets: range) -> list[Record]:
        """See `ports.History`."""
        return list(self._read(partition, offsets)) if offsets else []

    def alert_events(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, list[StoredEvent]]:
        """See `ports.History`. Takes one pass over all of `sentiment.alerts`, which keeps 30 days by default."""
        found: dict[TopicPartition, dict[tuple[int, int], StoredEvent]] = {partition: {} for partition in partitions}
        for record in self._alerts():
            try:
                partition, stored = decode_alert_record(record)
            except DecodeError as error:
                log.warning("alert record not used", partition=record.partition, offset=record.offset, error=str(error))
                continue
            if partition in found:
                found[partition][stored.offset, stored.sequence] = stored
        return {partition: [events[place] for place in sorted(events)] for partition, events in found.items()}

    def _alerts(self) -> Iterator[Record]:
        topic = self._settings.topics.alerts
        with translated(f"looking at {topic}"), _Consumer(self._settings, self._role) as consumer:
            known = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
            if known.error is not None:
                raise KafkaException(known.error)
            partitions = sorted(known.partitions)
        everything = [TopicPartition(topic, number) for number in partitions]
        ends = self._ends(everything)
        for partition in everything:
            yield from self._read(partition, range(ends[partition]), whole=True)

    def _ends(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the offsets behind the last record, of a transaction still open too."""
        with configuring():
            admin = AdminClient(client_config(self._settings))
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked: dict[Any, Any] = {ck.TopicPartition(*partition): latest for partition in partitions}
        with translated("looking at the ends of the alerts"):
            answers = admin.list_offsets(asked, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=TIMEOUT_S)
            return {TopicPartition(at.topic, at.partition): int(told.result(TIMEOUT_S).offset) for at, told in answers.items()}

    def _read(self, partition: TopicPartition, offsets: range, *, whole: bool = False) -> Iterator[Record]:
        """Yield the committed records at these offsets. Where `whole`, open transactions are waited for, else left out."""
        name = f"{partition.topic}-{partition.partition}"
        with translated(f"reading {name} again"), _Consumer(self._settings, self._role) as consumer:
            low, high = self._stable_bounds(consumer, partition, offsets.stop if whole else 0)
            first, end = max(low, offsets.start), min(high, offsets.stop)
            if first < end:
                consumer.assign([ck.TopicPartition(*partition, first)])
                yield from takewhile(lambda record: record.offset < end, _records(consumer))

    def _stable_bounds(self, consumer: ck.Consumer, partition: TopicPartition, wanted: int) -> tuple[int, int]:
        """Return the first offset and the end of what is committed, when that has come as far as `wanted`.

        What lies behind another worker's open transaction is committed, but cannot be read yet: to do without it would be to
        forget alerts.
        """
        deadline = time.monotonic() + self._settings.transaction_timeout_s + _SLACK_S
        while True:
            low, high = consumer.get_watermark_offsets(ck.TopicPartition(*partition), timeout=TIMEOUT_S)
            if high >= wanted:
                return low, high
            if time.monotonic() > deadline:
                raise RetryableError(
                    f"{partition.topic}-{partition.partition} cannot be read whole: a transaction is open there"
                )
            time.sleep(_LOOK_AGAIN_S)


class _Consumer:
    """A consumer that joins no group, is closed whatever happens, and tells of the end of a partition.

    It bears the group id of the role that asks, so that it needs no permission that the role does not have.
    """

    def __init__(self, settings: KafkaSettings, role: str) -> None:
        # Offsets that go while we read are an error, so that the question is put again, with the bounds of then.
        extra = {"enable.partition.eof": True, "auto.offset.reset": "error", "error_cb": Refusals("history", settings)}
        config = consumer_config(settings, f"{settings.group_prefix}-{role}") | extra
        with configuring():
            self._consumer = ck.Consumer(config)

    def __enter__(self) -> ck.Consumer:
        return self._consumer

    def __exit__(self, *_: object) -> None:
        self._consumer.close()


def _records(consumer: ck.Consumer) -> Iterator[Record]:
    """Yield the records up to the end of the partition.

    Raises:
        RetryableError: nothing came for `TIMEOUT_S`.
    """
    while (first := consumer.poll(TIMEOUT_S)) is not None:
        for message in (first, *consumer.consume(_BATCH, 0)):
            error = message.error()
            if error is None:
                yield to_record(message)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - that is its public name
                return
            else:
                raise KafkaException(error)
    raise RetryableError(f"a partition's end did not come within {TIMEOUT_S:.0f} s")
