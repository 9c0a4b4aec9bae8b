"""A producer for what may be lost: it never waits and never raises, and what does not fit is not taken."""

from contextlib import suppress

import confluent_kafka as ck
from confluent_kafka import KafkaException

from worker.adapters.kafka.config import client_config, configuring
from worker.messages import OutRecord
from worker.settings import KafkaSettings

_MOST_QUEUED = 10_000
_MOST_QUEUED_KB = 16_384
_CLOSING_S = 2.0


class BestEffortProducer:
    """Takes records as long as there is room for them; nobody hears of those that were not delivered.

    Raises:
        SettingsError: the settings are no settings of a client.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        bounds = {"queue.buffering.max.messages": _MOST_QUEUED, "queue.buffering.max.kbytes": _MOST_QUEUED_KB}
        with configuring():
            self._producer = ck.Producer(client_config(settings) | bounds | {"linger.ms": 50, "acks": 1})

    def offer(self, record: OutRecord) -> bool:
        """Queue a record if there is room, and tell whether there was."""
        taken = False
        with suppress(BufferError, KafkaException):
            self._producer.produce(record.topic, record.value, record.key)
            taken = True
        self._producer.poll(0)
        return taken

    def close(self) -> None:
        """Deliver what is queued, within two seconds; the rest is dropped."""
        self._producer.flush(_CLOSING_S)
        self._producer.purge()
