"""Writing without transactions: nothing is lost, but after a fault some of it comes twice."""

from collections.abc import Mapping, Sequence

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException

from worker.adapters.kafka.config import client_config, configuring
from worker.adapters.kafka.queueing import enqueue
from worker.adapters.kafka.refusals import Refusals, grant
from worker.adapters.kafka.source import Membership
from worker.errors import AbortedError, FatalError, RetryableError
from worker.messages import OutRecord, TopicPartition
from worker.settings import KafkaSettings

_SLACK_S = 15.0


class AtLeastOnceSink:
    """`ports.Sink` over an idempotent producer; offsets are committed by the consumer that read, once all is delivered.

    The broker drops what the producer itself repeats; what is produced again after a rewind it cannot know.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._delivery_s = settings.transaction_timeout_s
        config = client_config(settings) | {
            "enable.idempotence": True,
            "delivery.timeout.ms": int(self._delivery_s * 1000),
            "message.max.bytes": settings.message_max_bytes,
            "compression.type": "lz4",
            "linger.ms": 5,
            "queue.buffering.max.messages": 200_000,
            "queue.buffering.max.kbytes": 256 * 1024,
            "error_cb": Refusals("producer", settings),
        }
        with configuring():
            self._producer = ck.Producer(config)
        self._failed: KafkaError | None = None
        self._failed_topic: str | None = None

    def commit(self, records: Sequence[OutRecord], offsets: Mapping[TopicPartition, int], group: object) -> None:
        """Produce, and then commit.

        1. Produce every record. 2. Wait until each is delivered; the first delivery that fails is latched. 3. Only then commit
        the offsets of what is still ours, fenced by the group's generation.

        Raises:
            AbortedError: something was not delivered, or the offsets were not committed: what was delivered will come again.
            FatalError: the producer or the consumer cannot go on.
        """
        if not isinstance(group, Membership):
            raise FatalError("offsets cannot be committed: the group is not one of this adapter's sources")
        self._failed = self._failed_topic = None
        try:
            for record in records:
                enqueue(self._producer, record, self._delivered)
        except KafkaException as error:
            self._delivered(error.args[0], None)
        self._deliver()
        try:
            group.commit(offsets)
        except RetryableError as error:
            raise AbortedError(f"everything was delivered, but the offsets were not committed: {error}") from error

    def close(self) -> None:
        """See `ports.Sink`. `commit` leaves nothing undelivered, unless it raised."""
        self._producer.purge()
        self._producer.flush(0)

    def _deliver(self) -> None:
        left = self._producer.flush(self._delivery_s + _SLACK_S)
        if left:
            raise FatalError(f"the fate of {left} records is unknown long after their time was up; start anew")
        if self._failed is None:
            return
        if self._failed.fatal():
            raise FatalError(f"the Kafka producer cannot go on: {self._failed.str()}")
        if needed := grant(self._failed, topic=self._failed_topic, doing="Write"):
            raise FatalError(f"a record could not be delivered: {self._failed.str()}; {needed}")
        raise AbortedError(f"a record could not be delivered: {self._failed.str()}")

    def _delivered(self, error: KafkaError | None, message: "ck.Message | None") -> None:
        if error is not None and self._failed is None:
            self._failed, self._failed_topic = error, message.topic() if message else None
