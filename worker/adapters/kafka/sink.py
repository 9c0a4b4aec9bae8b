"""Writing in transactions."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NoReturn

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException

from worker.adapters.kafka.bounded import BoundedCaller
from worker.adapters.kafka.config import TIMEOUT_S, client_config, configuring, translated
from worker.adapters.kafka.refusals import Refusals, grant
from worker.adapters.kafka.source import Membership
from worker.errors import AbortedError, FatalError
from worker.messages import OutRecord, TopicPartition
from worker.settings import KafkaSettings

_SLACK_S = 15.0
_START_TIMEOUT_S = 10.0
"""Whoever builds a sink tries again, and can be told to stop in between."""


class KafkaSink:
    """`ports.Sink` over a confluent-kafka transactional producer.

    A transaction that has not come back some time after the broker has given it up ends in FatalError: the next process fences
    it and starts from the committed offsets.
    """

    def __init__(self, settings: KafkaSettings, transactional_id: str) -> None:
        refusals = Refusals("producer", settings)
        self._undelivered: str | None = None
        config = client_config(settings) | {
            "transactional.id": transactional_id,
            "transaction.timeout.ms": int(settings.transaction_timeout_s * 1000),
            "message.max.bytes": settings.message_max_bytes,
            "compression.type": "lz4",
            "linger.ms": 5,
            "queue.buffering.max.messages": 200_000,
            "queue.buffering.max.kbytes": 256 * 1024,
            "error_cb": refusals,
            # Only to say which topic it was: that a delivery failed fails the commit by itself.
            "delivery.report.only.error": True,
            "on_delivery": self._on_failed_delivery,
        }
        with configuring():
            self._producer = ck.Producer(config)
        with translated(f"starting transactions as {transactional_id}"):
            refusals.answer(self._producer.init_transactions, self._producer.poll, _START_TIMEOUT_S)
        self._caller = BoundedCaller("kafka-transactions", settings.transaction_timeout_s + _SLACK_S)

    def commit(self, records: Sequence[OutRecord], offsets: Mapping[TopicPartition, int], group: object) -> None:
        """Produce and commit in one transaction.

        1. Begin. 2. Produce every record. 3. Add the offsets, fenced by the group's generation. 4. Commit, which flushes, and
        which fails if the delivery of any record failed: the producer itself latches the first such error. On any error: abort.
        """
        if not isinstance(group, Membership):
            raise FatalError("offsets cannot be committed: the group is not one of this adapter's sources")
        self._caller.call(lambda: self._transact(records, offsets, group.metadata))

    def close(self) -> None:
        """See `ports.Sink`. librdkafka aborts nothing by itself on destruction; `commit` leaves no transaction open."""
        self._caller.close()
        self._producer.purge()
        with suppress(KafkaException):  # a fenced producer says so once more
            self._producer.flush(0)

    def _transact(self, records: Sequence[OutRecord], offsets: Mapping[TopicPartition, int], group: object) -> None:
        try:
            self._producer.begin_transaction()
            for record in records:
                self._produce(record)
            self._producer.send_offsets_to_transaction(
                [ck.TopicPartition(*partition, offset) for partition, offset in offsets.items()], group, TIMEOUT_S
            )
            self._retried(lambda: self._producer.commit_transaction(TIMEOUT_S))
        except KafkaException as error:
            self._abort(error.args[0])

    def _produce(self, record: OutRecord) -> None:
        timestamp_ms = record.timestamp_ms or 0  # 0 is librdkafka's word for "now"
        while True:
            try:
                self._producer.produce(
                    record.topic, record.value, record.key, headers=list(record.headers), timestamp=timestamp_ms
                )
            except BufferError:
                self._producer.poll(0.1)
            else:
                return

    def _on_failed_delivery(self, _error: KafkaError, message: ck.Message) -> None:
        self._undelivered = self._undelivered or message.topic()

    def _abort(self, cause: KafkaError) -> NoReturn:
        where, self._undelivered = self._undelivered, None
        if needed := grant(cause, topic=where, doing="Write"):
            raise FatalError(f"the Kafka producer cannot go on: {cause.str()}; {needed}")
        if cause.fatal():
            raise FatalError(f"the Kafka producer cannot go on: {cause.str()}")
        try:
            self._retried(lambda: self._producer.abort_transaction(TIMEOUT_S))
        except KafkaException as error:
            raise FatalError(f"a transaction could be neither committed nor aborted: {error.args[0].str()}") from error
        raise AbortedError(f"the transaction was rolled back: {cause.str()}")

    def _retried(self, call: Callable[[], None], attempts: int = 5) -> None:
        """Call again as long as librdkafka says that the same call may be repeated."""
        for attempt in range(attempts):
            try:
                return call()
            except KafkaException as error:
                if not error.args[0].retriable() or attempt == attempts - 1:
                    raise
                time.sleep(0.1 * 2**attempt)
        return None
