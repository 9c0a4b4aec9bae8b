"""Looking back in Kafka without a group, for what a rebuild of alert state needs."""

from collections.abc import Iterator, Sequence
from itertools import takewhile

import confluent_kafka as ck
import structlog
from confluent_kafka import KafkaError, KafkaException

from worker.adapters.kafka.config import TIMEOUT_S, configuring, consumer_config, translated
from worker.adapters.kafka.refusals import Refusals
from worker.adapters.kafka.source import to_record
from worker.codec import decode_alert_record
from worker.errors import DecodeError, RetryableError
from worker.messages import Record, TopicPartition
from worker.ports import StoredEvent
from worker.settings import KafkaSettings

log = structlog.get_logger(__name__)
_BATCH = 500


class KafkaHistory:
    """`ports.History` over consumers that live as long as one question: it is asked after a loss, not while all is well."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings

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
        with translated(f"looking at {topic}"), _Consumer(self._settings) as consumer:
            known = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
            if known.error is not None:
                raise KafkaException(known.error)
            partitions = sorted(known.partitions)
        for number in partitions:
            yield from self._read(TopicPartition(topic, number), None)

    def _read(self, partition: TopicPartition, offsets: range | None) -> Iterator[Record]:
        """Yield the committed records at these offsets, or all there are now."""
        name = f"{partition.topic}-{partition.partition}"
        with translated(f"reading {name} again"), _Consumer(self._settings) as consumer:
            low, high = consumer.get_watermark_offsets(ck.TopicPartition(*partition), timeout=TIMEOUT_S)
            first, end = (low, high) if offsets is None else (max(low, offsets.start), min(high, offsets.stop))
            if first < end:
                consumer.assign([ck.TopicPartition(*partition, first)])
                yield from takewhile(lambda record: record.offset < end, _records(consumer))


class _Consumer:
    """A consumer that joins no group, is closed whatever happens, and tells of the end of a partition.

    It bears the alert role's group id, so that it needs no permission that the role does not have.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        extra = {"enable.partition.eof": True, "error_cb": Refusals("history", settings)}
        config = consumer_config(settings, f"{settings.group_prefix}-alert") | extra
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
