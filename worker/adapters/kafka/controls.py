"""Writing control records: what people do about alerts, into all partitions that must know of it, or into none."""

import uuid
from collections.abc import Sequence

import confluent_kafka as ck
from confluent_kafka import KafkaException

from worker.adapters.kafka.config import TIMEOUT_S, client_config, configuring, translated
from worker.adapters.kafka.plain import listing, require
from worker.adapters.kafka.queueing import enqueue
from worker.adapters.kafka.refusals import Refusals
from worker.messages import OutRecord, TopicPartition
from worker.settings import KafkaSettings

_TIMEOUT_S = 10.0


class KafkaControls:
    """A transactional producer for one command, under a transactional id of its own."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._refusals = Refusals("producer", settings)
        name = f"{settings.group_prefix}-operator-{uuid.uuid4().hex}"
        config = {"transactional.id": name, "transaction.timeout.ms": int(_TIMEOUT_S * 1000), "error_cb": self._refusals}
        with configuring():
            self._producer = ck.Producer(client_config(settings) | config)
        self._servers = settings.bootstrap_servers
        with translated(f"starting transactions as {name}"):
            self._refusals.answer(self._producer.init_transactions, self._producer.poll, _TIMEOUT_S)

    def partitions(self, topic: str) -> list[TopicPartition]:
        """Return all partitions of a topic.

        Raises:
            RetryableError: the cluster did not answer, or there is no such topic.
        """
        with translated(f"looking at the topics at {self._servers}"):
            known = self._refusals.answer(listing(self._producer), self._producer.poll, _TIMEOUT_S).topics
            require([topic], known)
        return [TopicPartition(topic, number) for number in sorted(known[topic].partitions)]

    def send(self, records: Sequence[OutRecord]) -> None:
        """Write all of them in one transaction.

        Raises:
            RetryableError: none of them is written.
            FatalError: we may not.
        """
        with translated("writing control records"):
            self._producer.begin_transaction()
            try:
                for record in records:
                    enqueue(self._producer, record)
                self._producer.commit_transaction(TIMEOUT_S)
            except KafkaException:
                self._producer.abort_transaction(TIMEOUT_S)
                raise

    def close(self) -> None:
        """Drop the connection; `send` leaves nothing to wait for."""
        self._producer.purge()
