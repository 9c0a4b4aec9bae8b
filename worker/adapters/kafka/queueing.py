"""Handing records to a librdkafka producer, whose queue is bounded."""

from collections.abc import Callable

import confluent_kafka as ck
from confluent_kafka import KafkaError

from worker.messages import OutRecord

Delivered = Callable[[KafkaError | None, ck.Message], None]
ANY_PARTITION = -1
_WAIT_S = 0.1


def enqueue(producer: ck.Producer, record: OutRecord, on_delivery: Delivered | None = None) -> None:
    """Queue a record, waiting for room; deliveries are reported meanwhile.

    Raises:
        KafkaException: librdkafka does not take it, because it is too large, say.
    """
    partition = ANY_PARTITION if record.partition is None else record.partition
    timestamp_ms = record.timestamp_ms or 0  # 0 is librdkafka's word for "now"
    while True:
        try:
            return producer.produce(
                record.topic,
                record.value,
                record.key,
                partition,
                on_delivery=on_delivery,
                headers=list(record.headers),
                timestamp=timestamp_ms,
            )
        except BufferError:
            producer.poll(_WAIT_S)
