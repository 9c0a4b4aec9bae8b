"""Reading and writing without a group or a transaction, for the commands that look at topics or fill them."""

from collections.abc import Callable, Container, Iterator, Sequence

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin._metadata import ClusterMetadata

from worker.adapters.kafka.config import TIMEOUT_S, client_config, configuring, consumer_config, translated
from worker.adapters.kafka.queueing import enqueue
from worker.adapters.kafka.refusals import Refusals
from worker.adapters.kafka.source import to_record
from worker.errors import RetryableError
from worker.messages import OutRecord, Record
from worker.settings import KafkaSettings

_METADATA_TIMEOUT_S = 10.0
_REFUSED = KafkaError._AUTHENTICATION  # noqa: SLF001 - that is its public name


class PlainReader:
    """Reads whole topics, committed records only, without joining a group."""

    def __init__(self, settings: KafkaSettings, topics: Sequence[str], *, from_beginning: bool) -> None:
        self._refusals = refusals = Refusals("reader", settings)
        with configuring():
            config = consumer_config(settings, f"{settings.group_prefix}-tail") | {"error_cb": refusals}
            self._consumer = ck.Consumer(config)
        start = ck.OFFSET_BEGINNING if from_beginning else ck.OFFSET_END
        with translated(f"looking at the topics at {settings.bootstrap_servers}"):
            known = refusals.answer(listing(self._consumer), self._consumer.poll, _METADATA_TIMEOUT_S).topics
            require(topics, known)
            partitions = [(topic, partition) for topic in topics for partition in known[topic].partitions]
            self._consumer.assign([ck.TopicPartition(*partition, start) for partition in partitions])

    def read(self, timeout_s: float) -> Iterator[Record]:
        """Yield what arrives within the time, or at once what is already here.

        A connection that is refused is tried again by librdkafka: one can be while its token is being renewed.

        Raises:
            RetryableError: the cluster answered with an error.
            FatalError: the brokers have refused us for half a minute, or a permission is lacking.
        """
        self._refusals.raise_lasting()
        with translated("reading topics"):
            for message in self._consumer.consume(500, timeout_s):
                error = message.error()
                if error is None:
                    yield to_record(message)
                elif error.code() == _REFUSED:
                    self._refusals(error)
                else:
                    raise KafkaException(error)

    def close(self) -> None:
        """Drop the connection."""
        self._consumer.close()


class PlainProducer:
    """An idempotent producer: what it sends arrives once and in order, as long as the process lives."""

    def __init__(self, settings: KafkaSettings) -> None:
        config = {"enable.idempotence": True, "linger.ms": 5, "message.max.bytes": settings.message_max_bytes}
        self._refusals = Refusals("producer", settings)
        with configuring():
            self._producer = ck.Producer(client_config(settings) | config | {"error_cb": self._refusals})
        self._servers = settings.bootstrap_servers
        self._failed: KafkaError | None = None

    def require(self, topic: str) -> None:
        """Raise RetryableError unless the topic is there; producing to one that is not fails only after half a minute."""
        with translated(f"looking at the topics at {self._servers}"):
            found = self._refusals.answer(listing(self._producer), self._producer.poll, _METADATA_TIMEOUT_S)
            require([topic], found.topics)

    def send(self, record: OutRecord) -> None:
        """Queue a record, waiting for room.

        Raises:
            RetryableError: an earlier record could not be delivered, or this one is too large.
        """
        self._raise_failure()
        with translated("sending a record"):
            enqueue(self._producer, record, self._delivered)
            self._producer.poll(0)

    def flush(self) -> None:
        """Wait until everything is delivered.

        Raises:
            RetryableError: something was not.
        """
        left = self._producer.flush(TIMEOUT_S)
        self._raise_failure()
        if left:
            raise RetryableError(f"{left} records were not delivered within {TIMEOUT_S:.0f} s")

    def _delivered(self, error: KafkaError | None, _message: object) -> None:
        self._failed = self._failed or error

    def _raise_failure(self) -> None:
        if self._failed is not None:
            raise RetryableError(f"a record could not be delivered: {self._failed.str()}")


def listing(client: ck.Consumer | ck.Producer) -> Callable[[float], ClusterMetadata]:
    """Return the question what topics there are, which takes the seconds it may wait."""
    return lambda timeout_s: client.list_topics(timeout=timeout_s)


def require(topics: Sequence[str], known: Container[str]) -> None:
    """Raise RetryableError unless all of the topics are known."""
    if missing := [topic for topic in topics if topic not in known]:
        raise RetryableError(
            f"no such topic: {', '.join(missing)}; `tidings check --create-topics` makes those of the settings"
        )
