"""Writing in transactions."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NoReturn

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException

from worker.adapters.kafka.bounded import BoundedCaller
from worker.adapters.kafka.config import TIMEOUT_S, client_config, configuring, translated
from worker.adapters.kafka.queueing import enqueue
from worker.adapters.kafka.refusals import Refusals, grant
from worker.adapters.kafka.source import Membership
from worker.backoff import back_off_s
from worker.errors import AbortedError, FatalError
from worker.messages import OutRecord, TopicPartition
from worker.settings import KafkaSettings

_SLACK_S = 15.0
_START_TIMEOUT_S = 10.0
"""Whoever builds a sink tries again, and can be told to stop in between."""
_FIRST_PAUSE_S = 0.2
_MAX_PAUSE_S = 2.0


class KafkaSink:
    """`ports.Sink` over a confluent-kafka transactional producer.

    A transaction that has not come back some time after the broker has rolled it back ends in FatalError. Whoever has the
    partitions next starts from the committed offsets, under whatever transactional id: by default each process has its own, so
    it is the broker's timeout that ends what a dead process left open, and the group's generation that fences one still alive.
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
                enqueue(self._producer, record)
            self._producer.send_offsets_to_transaction(
                [ck.TopicPartition(*partition, offset) for partition, offset in offsets.items()], group, TIMEOUT_S
            )
            self._retried(lambda: self._producer.commit_transaction(TIMEOUT_S))
        except KafkaException as error:
            self._abort(error.args[0])

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
        for attempt in range(1, attempts + 1):
            try:
                return call()
            except KafkaException as error:
                if not error.args[0].retriable() or attempt == attempts:
                    raise
                time.sleep(back_off_s(attempt, _MAX_PAUSE_S, random.random(), _FIRST_PAUSE_S))  # noqa: S311 - jitter, no secret
        return None
