"""Sending records again, each to a partition of its own, and knowing of each whether it arrived."""

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException
from msgspec.structs import replace

from worker.adapters.kafka.config import TIMEOUT_S, client_config, configuring, translated
from worker.adapters.kafka.plain import listing
from worker.adapters.kafka.queueing import enqueue
from worker.adapters.kafka.refusals import Refusals
from worker.errors import RetryableError
from worker.messages import OutRecord
from worker.settings import KafkaSettings

_METADATA_TIMEOUT_S = 10.0
MAX_NAMED = 20
"""Failures that are kept by name; all are counted."""


class Resender:
    """An idempotent producer that goes on past a record which cannot be delivered.

    No transaction: one that is open keeps every `read_committed` reader of the topic, the worker first of all, from what comes
    behind it. A record without a partition goes where its key says by murmur2, as with Java's producers.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._refusals = Refusals("producer", settings)
        config = {
            "enable.idempotence": True,
            "linger.ms": 5,
            "message.max.bytes": settings.message_max_bytes,
            "partitioner": "murmur2_random",
            "error_cb": self._refusals,
        }
        with configuring():
            self._producer = ck.Producer(client_config(settings) | config)
        self._servers = settings.bootstrap_servers
        self._partitions: dict[str, int] = {}
        self.delivered = 0
        self.failed = 0
        self.failures: dict[str, str] = {}
        """Name to reason, of the first MAX_NAMED that failed."""

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has, 0 if it is not there; asks the cluster once.

        Raises:
            RetryableError: the cluster did not answer.
        """
        if topic not in self._partitions:
            with translated(f"looking at the topics at {self._servers}"):
                known = self._refusals.answer(listing(self._producer), self._producer.poll, _METADATA_TIMEOUT_S).topics
            self._partitions[topic] = len(known[topic].partitions) if topic in known else 0
        return self._partitions[topic]

    def send(self, name: str, record: OutRecord, partition: int | None) -> None:
        """Queue a record, waiting for room; `name` is what a failure is told by."""
        try:
            enqueue(self._producer, replace(record, partition=partition), lambda error, _: self._settle(name, error))
        except KafkaException as error:  # too large, say: librdkafka looks before it sends
            self._settle(name, error.args[0])
        self._producer.poll(0)

    def refuse(self, name: str, why: str) -> None:
        """Count a record that was not sent as failed."""
        self.failed += 1
        if len(self.failures) < MAX_NAMED:
            self.failures[name] = why

    def flush(self) -> None:
        """Wait until it is known of every record whether it arrived.

        Raises:
            RetryableError: of some it is not.
        """
        if left := self._producer.flush(TIMEOUT_S):
            raise RetryableError(
                f"of {left} records it is not known whether they arrived: no answer within {TIMEOUT_S:.0f} s; "
                f"{self.delivered} were delivered, {self.failed} failed"
            )

    def _settle(self, name: str, error: KafkaError | None) -> None:
        if error is None:
            self.delivered += 1
        else:
            self.refuse(name, error.str())
